"""The environments that exist. Their version is the package's own."""

from __future__ import annotations

import difflib

from pyro_mcp._version import __version__
from pyro_mcp.errors import NotFoundError
from pyro_mcp.model.environment import CatalogEntry

VERSION = __version__

# kmod is what lets a guest load the modules that a container engine or a tunnel asks for.
_BASE = ("kmod",)
_TOOLS = (*_BASE, "git", "python3", "curl", "ca-certificates", "procps", "iproute2", "less", "ripgrep")
_BUILD = (*_TOOLS, "build-essential", "pkg-config", "cmake", "python3-venv", "python3-dev")

VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""What Debian gives root; the locale needs no files."""


def _debian(name: str, description: str, packages: tuple[str, ...], build_mib: int) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        description=description,
        distribution="debian",
        distribution_version="12",
        suite="bookworm",
        packages=packages,
        build_bytes=build_mib << 20,
    )


_ENTRIES = {
    entry.name: entry
    for entry in (
        _debian("debian:12", "Debian 12 with Git, Python 3 and the everyday tools of a coding agent", _TOOLS, 1200),
        _debian("debian:12-base", "Debian 12 with a shell and the core tools, nothing else", _BASE, 900),
        _debian(
            "debian:12-build", "Debian 12 with compilers, CMake and Python headers for building software", _BUILD, 2400
        ),
    )
}


def entries() -> tuple[CatalogEntry, ...]:
    return tuple(_ENTRIES.values())


def find(name: str) -> CatalogEntry:
    """Raises NotFoundError (`environment-not-found`) with the nearest name, if one is near."""
    entry = _ENTRIES.get(name)
    if entry is not None:
        return entry
    near = difflib.get_close_matches(name, _ENTRIES, n=1)
    raise NotFoundError(
        f"there is no environment {name[:80]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        code="environment-not-found",
        hint="pyro env list",
    )
