"""Copying images: shared blocks where the file system can, otherwise only the bytes that are there."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from pyro_mcp.errors import HostError

_FICLONE = 0x40049409
"""_IOW(0x94, 9, int) of linux/fs.h."""

# What file systems answer that cannot share blocks or copy by themselves, or not between these two files.
_CANNOT_SHARE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM})


def clone(source: Path, destination: Path) -> None:
    """Make `destination`, which must not exist, an independent copy of `source` with the same holes and mode 0600.

    A copy that fails leaves nothing. Raises FileExistsError, HostError (`no-space`) or another OSError.
    """
    with source.open("rb") as original:
        copy = os.open(destination, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fill(original.fileno(), copy)
        except BaseException as error:
            destination.unlink()
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HostError(f"no space left for {destination}", code="no-space") from error
            raise
        finally:
            os.close(copy)


def fill(source: int, destination: int) -> None:
    """The same from descriptor to descriptor of an empty file. Raises OSError."""
    if not _share_blocks(source, destination):
        _copy_data(source, destination)


def _share_blocks(source: int, destination: int) -> bool:
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_SHARE:
            return False
        raise
    return True


def _copy_data(source: int, destination: int) -> None:
    size = os.fstat(source).st_size
    for start, end in _data(source, size):
        while start < end:
            copied = _copy_some(source, destination, start, end - start)
            if copied == 0:
                raise OSError(errno.EIO, "the image became shorter while it was copied")
            start += copied
    os.ftruncate(destination, size)


def _copy_some(source: int, destination: int, at: int, count: int) -> int:
    """Copy up to `count` bytes in the kernel; two file systems may have only the older way in common."""
    try:
        return os.copy_file_range(source, destination, count, offset_src=at, offset_dst=at)
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
    os.lseek(destination, at, os.SEEK_SET)
    return os.sendfile(destination, source, at, count)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that are not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                # Nothing but a hole until the end.
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
