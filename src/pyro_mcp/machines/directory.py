"""A machine's directory, gone with all that is in it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from pyro_mcp.host.removal import remove_strange_tree

HOST_WORKSPACE = "workspace"
"""Where commands begin that run on the host itself: the one place in there that pyro does not write alone."""


async def remove_directory(directory: Path) -> None:
    """Delete a machine's directory with all it holds. The VMM owns single files in it; commands on the host a tree."""
    await asyncio.to_thread(_remove_tree, directory)


def _remove_tree(directory: Path) -> None:
    if (workspace := directory / HOST_WORKSPACE).is_dir():
        remove_strange_tree(workspace)
    for path in (directory, *directory.glob("*/")):
        with suppress(FileNotFoundError):
            path.chmod(0o700)  # a VMM's room may be closed
    shutil.rmtree(directory, ignore_errors=False, onerror=_ignore_missing)


def _ignore_missing(_function: object, _path: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
