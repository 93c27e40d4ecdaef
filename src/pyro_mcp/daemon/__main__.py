"""`python -m pyro_mcp.daemon READINESS_FD`: how the SDK starts the daemon."""

import sys

from pyro_mcp.daemon.server import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
