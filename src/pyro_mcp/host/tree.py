"""Trees of the host on their way into a guest: what is in them, and the same as a tar stream."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.host import tarwrite
from pyro_mcp.host.limits import LIMITS, Limits
from pyro_mcp.host.walk import Found, changed, too_large, unreadable, walk

_CHUNK = 256 << 10
_SKIPPED_BYTES = 1 << 20
"""Of names: they must fit on a command line (`host/erofs.py`)."""

_OPENED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Names = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a directory, or the one file, holds. `bytes` are those of files, holes included, each file counted once.

    `skipped` are all sockets, FIFOs and devices, which are no entries.
    """

    entries: int
    bytes: int
    skipped: Names


def survey(root: Path, *, limits: Limits = LIMITS) -> Survey:
    """Look at everything below `root`, and whether it may be read. Blocks.

    Raises UsageError `seed-unreadable`, naming the first such entry, or `seed-too-large`, ConflictError
    `source-changed`.
    """
    entries = size = named = 0
    skipped = []
    names = _HardLinks()
    for found in walk(root, limits):
        if _is_special(found):
            skipped.append(found.path)
            if (named := named + len(found.path)) > _SKIPPED_BYTES:
                raise too_large("too many sockets, FIFOs and devices")
            continue
        entries += not found.is_top_directory
        if not stat.S_ISREG(found.stat.st_mode):
            continue
        if not os.access(found.name, os.R_OK, dir_fd=found.directory, effective_ids=True):
            raise unreadable(found.path, PermissionError(13, "permission denied"))
        if names.first(found) is None and (size := size + found.stat.st_size) > limits.total_bytes:
            raise too_large(f"more than {limits.total_bytes >> 30} GiB")
    return Survey(entries, size, tuple(skipped))


def tar_chunks(root: Path, *, limits: Limits = LIMITS) -> Iterator[bytes]:
    """A PAX archive of all below the directory `root`, or of the one file, which is called `.` then.

    Sockets, FIFOs and devices are left out. Blocks between chunks of about 256 KiB. Raises as `survey`; the same for a
    file that is shorter than it was.
    """
    waiting: list[bytes] = []
    count = 0
    for piece in _pieces(root, limits):
        waiting.append(piece)
        count += len(piece)
        if count >= _CHUNK:
            yield b"".join(waiting)
            waiting, count = [], 0
    yield b"".join(waiting)


def _pieces(root: Path, limits: Limits) -> Iterator[bytes]:
    names = _HardLinks()
    size = 0
    for found in walk(root, limits):
        mode = found.stat.st_mode
        if stat.S_ISDIR(mode):
            yield _header((found.path or b".") + b"/", found.stat, tarwrite.DIRECTORY)
        elif stat.S_ISLNK(mode):
            yield _header(found.path, found.stat, tarwrite.SYMLINK, link=_target(found))
        elif not stat.S_ISREG(mode):
            continue
        elif (first := names.first(found)) is not None:
            yield _header(found.path, found.stat, tarwrite.HARD_LINK, link=first)
        else:
            if (size := size + found.stat.st_size) > limits.total_bytes:
                raise too_large(f"more than {limits.total_bytes >> 30} GiB")
            yield from _file(found)
    yield tarwrite.END


def _file(found: Found) -> Iterator[bytes]:
    try:
        file = os.open(found.name, _OPENED, dir_fd=found.directory)
        try:
            now = os.fstat(file)
            if not stat.S_ISREG(now.st_mode):
                raise changed(found.path)
            yield _header(found.path or b".", now, tarwrite.FILE, size=now.st_size)
            left = now.st_size
            while left:
                data = os.read(file, min(left, _CHUNK))
                if not data:
                    raise changed(found.path)
                left -= len(data)
                yield data
            yield tarwrite.padding(now.st_size)
        finally:
            os.close(file)
    except OSError as error:
        raise unreadable(found.path, error) from error


def _target(found: Found) -> bytes:
    try:
        return os.readlink(found.name, dir_fd=found.directory)
    except OSError as error:
        raise unreadable(found.path, error) from error


def _header(name: bytes, status: os.stat_result, kind: bytes, *, size: int = 0, link: bytes = b"") -> bytes:
    mode = stat.S_IMODE(status.st_mode)
    return tarwrite.header(name, kind, mode=mode, mtime_ns=status.st_mtime_ns, size=size, link=link)


def _is_special(found: Found) -> bool:
    mode = found.stat.st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


class _HardLinks:
    """Which name of a file came first."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], bytes] = {}

    def first(self, found: Found) -> bytes | None:
        """None for a file that was not met before."""
        if found.stat.st_nlink < 2:
            return None
        inode = found.stat.st_dev, found.stat.st_ino
        if (known := self._names.get(inode)) is None:
            self._names[inode] = found.path
        return known
