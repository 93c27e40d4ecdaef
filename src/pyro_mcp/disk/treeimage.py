"""Writing an EROFS image of a directory of the host: front to back, with little memory, with holes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pyro_mcp.errors import HostError, PyroError
from pyro_mcp.host import erofs
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.erofs import BLOCK
from pyro_mcp.host.holes import write_at, write_with_holes
from pyro_mcp.host.limits import LIMITS
from pyro_mcp.host.walk import changed, too_large, unreadable

_CHUNK = 256 << 10

# Looking at a tree (`git status`, `find`) reads every inode. They lie close together: with all that is left of files'
# data behind them there would be one or two in a block, and a look at 50,000 files seven times as slow in an emulated
# guest. What is left of small files is little, and saves them a block each.
_MOST_INLINE_OF_FILES = 192
_SMALL = erofs.INODE + _MOST_INLINE_OF_FILES

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class _Place:
    """Where an inode lies, which number it has, and where the blocks of its data begin."""

    at: int
    number: int
    size: int
    blocks: int
    first: int | None
    links: int = 1

    @property
    def nid(self) -> int:
        return self.at // erofs.SLOT

    @property
    def in_blocks(self) -> int:
        """So many bytes of the data do not follow the inode."""
        return min(self.size, self.blocks * BLOCK)


class TreeImage:
    """An image in the making, in a new file.

    Inodes, with what lies behind them, have blocks of their own between those with data, and the small ones are apart
    from the others. So nothing of a directory must be known in advance but the names in it.
    """

    def __init__(self, file: int, *, size: int, skipped: Collection[bytes], cancel: Cancellation | None) -> None:
        """`size` is that of the image in the end, `skipped` are paths that are left out."""
        self._file = file
        self._size = size
        self._skipped = frozenset(skipped)
        self._cancel = cancel
        self._next_block = 1
        # What is free in the last block for small inodes and in that for others: from, to.
        self._free = {True: (erofs.FIRST_FREE, BLOCK), False: (0, 0)}
        self._inodes = self._entries = 0
        self._linked: dict[tuple[int, int], _Place] = {}

    def write(self, tree: Path, uuid: UUID) -> bool:
        """All below the directory `tree`, without sockets, FIFOs and devices. Once. Raises as `make_baseline`.

        Returns whether any file in it has several names.
        """
        try:
            top = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise unreadable(os.fsencode(tree), error) from error
        root = self._directory(top, b"", parent=None, depth=1)
        with _writing():
            for place in self._linked.values():
                os.pwrite(self._file, place.links.to_bytes(4, "little"), place.at + erofs.LINKS_AT)
            block = erofs.superblock(root=root.nid, inodes=self._inodes, blocks=self._next_block, uuid=uuid)
            os.pwrite(self._file, block, erofs.SUPERBLOCK_AT)
            os.ftruncate(self._file, self._size)
        return any(place.links > 1 for place in self._linked.values())

    def _directory(self, directory: int, path: bytes, *, parent: _Place | None, depth: int) -> _Place:
        """Closes `directory`."""
        where = path
        try:
            status = os.fstat(directory)
            children = self._children(directory, path)
            place = self._reserve(erofs.directory_size(sorted((b".", b"..", *(name for name, _ in children)))))
            entries = [(b".", place.nid, stat.S_IFDIR), (b"..", (parent or place).nid, stat.S_IFDIR)]
            for name, kind in children:
                where = path + b"/" + name if path else name
                self._check(where, depth)
                if kind == stat.S_IFDIR:
                    opened = os.open(name, _LISTED, dir_fd=directory)
                    child = self._directory(opened, where, parent=place, depth=depth + 1)
                elif kind == stat.S_IFLNK:
                    child = self._symlink(directory, name)
                else:
                    child = self._regular(directory, name, where)
                entries.append((name, child.nid, kind))
        except OSError as error:
            raise unreadable(where, error) from error
        finally:
            os.close(directory)
        data = erofs.directory(sorted(entries))
        place.links = sum(kind == stat.S_IFDIR for _, _, kind in entries)
        self._put(place, status, [data[: place.in_blocks]], [data[place.in_blocks :]])
        return place

    def _children(self, directory: int, path: bytes) -> list[tuple[bytes, int]]:
        """Names and types of what is in a directory and belongs into the image, sorted."""
        found = []
        with os.scandir(directory) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if self._skipped and (path + b"/" + name if path else name) in self._skipped:
                    continue
                self._entries += 1
                if self._entries > LIMITS.entries:
                    raise too_large(f"more than {LIMITS.entries} entries")
                if entry.is_dir(follow_symlinks=False):
                    found.append((name, stat.S_IFDIR))
                elif entry.is_symlink():
                    found.append((name, stat.S_IFLNK))
                elif entry.is_file(follow_symlinks=False):
                    found.append((name, stat.S_IFREG))
        return sorted(found)

    def _symlink(self, directory: int, name: bytes) -> _Place:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        target = os.readlink(name, dir_fd=directory)
        place = self._reserve(len(target))
        self._put(place, status, [target[: place.in_blocks]], [target[place.in_blocks :]])
        return place

    def _regular(self, directory: int, name: bytes, path: bytes) -> _Place:
        file = os.open(name, _OPENED, dir_fd=directory)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise changed(path)
            inode = status.st_dev, status.st_ino
            if (known := self._linked.get(inode)) is not None:
                known.links += 1
                return known
            place = self._reserve(status.st_size, _MOST_INLINE_OF_FILES)
            if status.st_nlink > 1:
                self._linked[inode] = place
            whole = self._read(file, place.in_blocks, path)
            rest = self._read(file, place.size - place.in_blocks, path)
            self._put(place, status, whole, rest)
            return place
        finally:
            os.close(file)

    def _read(self, file: int, count: int, path: bytes) -> Iterator[bytes]:
        """Exactly so many bytes."""
        while count:
            self._check_cancelled()
            try:
                data = os.read(file, min(count, _CHUNK))
            except OSError as error:
                raise unreadable(path, error) from error
            if not data:
                raise changed(path)
            count -= len(data)
            yield data

    def _check(self, path: bytes, depth: int) -> None:
        self._check_cancelled()
        if depth > LIMITS.depth or len(path) > LIMITS.path:
            raise too_large("its directories are too deep")

    def _check_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise PyroError("making the image was cancelled", code="cancelled")

    def _reserve(self, size: int, most_inline: int = erofs.MOST_INLINE) -> _Place:
        """A place for an inode with so much data."""
        blocks, rest = erofs.split(size, most_inline)
        needed = erofs.INODE + -(-rest // erofs.SLOT) * erofs.SLOT
        small = needed <= _SMALL
        at, end = self._free[small]
        if at + needed > end:
            at = self._take(1) * BLOCK
            end = at + BLOCK
        self._free[small] = at + needed, end
        self._inodes += 1
        return _Place(at, self._inodes, size, blocks, self._take(blocks) if blocks else None)

    def _take(self, blocks: int) -> int:
        first = self._next_block
        self._next_block += blocks
        if self._next_block * BLOCK > self._size:
            raise too_large(f"more than {self._size >> 30} GiB")
        return first

    def _put(self, place: _Place, status: os.stat_result, whole: Iterable[bytes], rest: Iterable[bytes]) -> None:
        """Write an inode with its data: first what is in blocks of its own, then what follows the inode."""
        inode = erofs.inode(
            mode=status.st_mode,
            size=place.size,
            mtime_ns=status.st_mtime_ns,
            number=place.number,
            block=place.first,
            inline=place.size > place.in_blocks,
            links=place.links,
        )
        with _writing():
            if place.first is not None:
                write_with_holes(self._file, whole, 0, [(place.first * BLOCK, place.in_blocks)])
            write_at(self._file, memoryview(b"".join((inode, *rest))), place.at)


@contextmanager
def _writing() -> Iterator[None]:
    """What the file system says about the image, so that it is not taken for something about the tree."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HostError("no space left for the image of the seed", code="no-space") from error
        reason = (error.strerror or str(error)).lower()
        raise HostError(f"the image of the seed cannot be written: {reason}", code="io-error") from error
