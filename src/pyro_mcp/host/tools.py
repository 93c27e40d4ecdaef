"""Programs of this host, found where ordinary users do not look either."""

from __future__ import annotations

import shutil

from pyro_mcp.errors import HostError

# Ordinary users have no sbin on their PATH, but their tools are there.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def find(name: str) -> str | None:
    """The path of a program, if it is installed."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def require(name: str, package: str) -> str:
    """The path of a program. Raises HostError `NAME-missing`, which says the Debian package that has it."""
    path = find(name)
    if path is None:
        raise HostError(f"{name} is not installed", code=f"{name}-missing", hint=f"sudo apt-get install {package}")
    return path
