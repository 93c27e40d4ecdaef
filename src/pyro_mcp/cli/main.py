"""Entry of the `pyro` executable: from here on every ending is an exit status, never a traceback."""

from __future__ import annotations

import os
import sys

from pyro_mcp._version import __version__


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        # Asked by scripts and editors all the time: answered before anything is loaded.
        try:
            os.write(1, f"pyro {__version__}\n".encode())
        except OSError:
            sys.exit(1)
        return
    try:
        from pyro_mcp.cli.app import run  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(arguments))
