"""pyro: a computer of its own for a coding agent.

from pyro_mcp import Pyro

print(Pyro().run_in_vm(environment="debian:12", command="git --version")["stdout"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pyro_mcp._version import __version__

if TYPE_CHECKING:
    from pyro_mcp.errors import PyroError
    from pyro_mcp.mcp_server.server import create_server
    from pyro_mcp.sdk.aio import AsyncPyro
    from pyro_mcp.sdk.client import Pyro

__all__ = ["AsyncPyro", "Pyro", "PyroError", "__version__", "create_server"]

_HOMES = {
    "AsyncPyro": "pyro_mcp.sdk.aio",
    "Pyro": "pyro_mcp.sdk.client",
    "PyroError": "pyro_mcp.errors",
    "create_server": "pyro_mcp.mcp_server.server",
}


def __getattr__(name: str) -> object:
    """Load the faces on first use: `pyro --version` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
