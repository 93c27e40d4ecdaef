"""The parts of an EROFS image (Documentation/filesystems/erofs.rst of Linux, fs/erofs/erofs_fs.h). Pure.

Only what a tree of plain files needs, as every Linux since 5.4 mounts it: extended inodes, data in whole blocks and the
rest of it behind the inode. mkfs.erofs is not used because version 1.5, Debian 12's, drops the last byte of a name of
255, aborts at paths that are too long to be opened at once, and takes 4 KiB of memory for each file.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

BLOCK: Final = 4096
INODE: Final = 64
SLOT: Final = 32
"""Inodes begin at multiples of this; their number ("nid") is their offset in such slots."""

SUPERBLOCK_AT: Final = 1024
FIRST_FREE: Final = SUPERBLOCK_AT + 128
LINKS_AT: Final = 44
"""Where in an inode its number of links stands, 32 bits."""
MOST_INLINE: Final = BLOCK - INODE

_MAGIC = 0xE0F5E1E2
_HAS_MTIMES = 2
_BLOCK_BITS = 12
_EXTENDED = 1
_FLAT_PLAIN, _FLAT_INLINE = 0 << 1, 2 << 1
_NO_BLOCK = 0xFFFFFFFF

_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sI")
_INODE = struct.Struct("<HHHHQIIIIqII16x")
_DIRENT = struct.Struct("<QHBx")
_TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFLNK: 7}

Entry = tuple[bytes, int, int]
"""Name, inode number and mode of what is in a directory; of the mode the type counts."""


def superblock(*, root: int, inodes: int, blocks: int, uuid: UUID) -> bytes:
    """For SUPERBLOCK_AT. `root` is the number of the root's inode, which has 16 bits."""
    return _SUPERBLOCK.pack(
        *(_MAGIC, 0, _HAS_MTIMES, _BLOCK_BITS, 0, root, inodes, 0, 0, blocks, 0, 0), uuid.bytes, bytes(16), 0
    )


def inode(
    *, mode: int, size: int, mtime_ns: int, number: int, block: int | None, inline: bool, links: int = 1
) -> bytes:
    """`block` is the first of those with data, if there are any; `inline` if the rest of the data follows the inode.

    Owned by root. `number` is what stat(2) shows on 32-bit systems, so of no matter, but mkfs.erofs counts it.
    """
    seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
    layout = _EXTENDED | (_FLAT_INLINE if inline else _FLAT_PLAIN)
    first = _NO_BLOCK if block is None else block
    return _INODE.pack(layout, 0, mode, 0, size, first, number, 0, 0, seconds, nanoseconds, links)


def split(size: int, most_inline: int = MOST_INLINE) -> tuple[int, int]:
    """How data of this size lies: in so many whole blocks, with so many bytes behind the inode."""
    blocks, rest = divmod(size, BLOCK)
    return (blocks, rest) if rest <= most_inline else (blocks + 1, 0)


def directory_size(names: Sequence[bytes]) -> int:
    """Of the data that `directory` makes of entries of these names, which must be sorted, `.` and `..` among them."""
    *full, last = _per_block(names)
    return len(full) * BLOCK + sum(_DIRENT.size + len(name) for name in names[last])


def directory(entries: Sequence[Entry]) -> bytes:
    """A directory's data. It is searched by halving, so entries must be sorted, `.` and `..` among them."""
    names = [name for name, _, _ in entries]
    blocks = [_dirents(entries[part]) for part in _per_block(names)]
    return b"".join(block.ljust(BLOCK, b"\0") for block in blocks[:-1]) + blocks[-1]


def _dirents(entries: Sequence[Entry]) -> bytes:
    at = len(entries) * _DIRENT.size
    heads = []
    for name, number, mode in entries:
        heads.append(_DIRENT.pack(number, at, _TYPES[stat.S_IFMT(mode)]))
        at += len(name)
    return b"".join((*heads, *(name for name, _, _ in entries)))


def _per_block(names: Sequence[bytes]) -> Iterator[slice]:
    """Which of the entries share a block; no entry lies in two."""
    start = used = 0
    for index, name in enumerate(names):
        needed = _DIRENT.size + len(name)
        if used + needed > BLOCK:
            yield slice(start, index)
            start, used = index, 0
        used += needed
    yield slice(start, len(names))
