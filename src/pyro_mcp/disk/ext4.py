"""Blank file systems to copy: formatted once, and given to every machine as its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from uuid import UUID

from pyro_mcp.errors import HostError
from pyro_mcp.host import command, mke2fs

_INODE_FOR_BYTES = 16384
_UUID = UUID("3c3a6c0a-9a2b-4d8f-8b1e-5b1d7a3f2c01")
_DEADLINE_SECONDS = 120


def blank(path: Path, size: int, *, journal_mib: int = 0) -> None:
    """Make `path` an empty ext4 image of `size` bytes, in place of whatever is there; a few hundred KiB on the disk.

    Takes milliseconds. Never write to it: `clone` it. Several processes may do so at once. Raises HostError.
    """
    if size % mke2fs.BLOCK:
        raise ValueError(f"{size} is not a multiple of {mke2fs.BLOCK}")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _format(partial, size, journal_mib)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _command(image: Path, size: int, journal_mib: int) -> list[str | Path]:
    wanted = mke2fs.Format(
        image=image,
        blocks=size // mke2fs.BLOCK,
        inodes=size // _INODE_FOR_BYTES,
        uuid=_UUID,
        label="pyro",
        journal_mib=journal_mib,
    )
    variables = (f"{name}={value}" for name, value in mke2fs.VARIABLES.items())
    return ["env", *variables, *mke2fs.command(wanted)]


def _format(image: Path, size: int, journal_mib: int) -> None:
    formatted = command.run(_command(image, size, journal_mib), deadline_seconds=_DEADLINE_SECONDS)
    if formatted.succeeded:
        return
    missing = formatted.status == 127
    raise HostError(
        "the program mke2fs is not installed" if missing else f"mke2fs failed: {formatted.last_words()}",
        code="tool-missing" if missing else "mke2fs-failed",
        hint="sudo apt-get install e2fsprogs",
    )
