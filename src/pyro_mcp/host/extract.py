"""Making files of a hostile archive's members: everything beneath one directory, nothing through a symlink.

Modes and times of directories come last, when nothing is written into them any more; until then all of them are open to
us. Modes are kept whole, with setuid bits; owners are not: everything belongs to us.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyro_mcp.errors import HostError, PyroError
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.host.holes import write_with_holes
from pyro_mcp.host.limits import Limits
from pyro_mcp.host.tarheader import bad
from pyro_mcp.host.tarmember import Kind, Member, Members
from pyro_mcp.model.printable import printable

_SKIPPED_NAMED = 100
_IMPLIED_MODE = 0o755
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Extraction:
    """A tree in the making, beneath a directory that is empty and ours. `add` member after member, then `finish`."""

    def __init__(self, root: Beneath, limits: Limits) -> None:
        self.entries = 0
        self.bytes = 0
        self.skipped: list[bytes] = []
        """The first hundred of `skipped_count` devices and FIFOs."""
        self.skipped_count = 0
        self._root = root
        self._limits = limits
        # By inode: names would take gigabytes where an archive is made to have long ones.
        self._directories: dict[int, tuple[int, int | None]] = {os.fstat(root.descriptor).st_ino: (_IMPLIED_MODE, None)}

    def add(self, member: Member, members: Members) -> None:
        """Raises UsageError or HostError (`no-space`); OSError where files change under our hands."""
        path = relative(member.name, self._limits)
        with told(path):
            match member.kind:
                case Kind.DIRECTORY:
                    self._add_directory(path, member)
                case Kind.SPECIAL:
                    self.skipped_count += 1
                    if len(self.skipped) < _SKIPPED_NAMED:
                        self.skipped.append(path)
                case _ if not path:
                    raise bad("its root is no directory")
                case Kind.FILE:
                    file = self._new(path, Kind.FILE, lambda: self._root.create(path))
                    fill(file, member, members)
                    self.bytes += member.size
                case Kind.SYMLINK:
                    self._new(path, Kind.SYMLINK, lambda: self._root.symlink(target(member, self._limits), path))
                    set_symlink_time(self._root, path, member)
                case Kind.LINK:
                    self._add_link(path, relative(member.link, self._limits))

    def finish(self) -> None:
        """Give directories their modes and times. Raises OSError."""
        top = self._root.open(b".", _LISTED)
        try:
            self._settle(top)
        finally:
            os.close(top)

    def _add_directory(self, path: bytes, member: Member) -> None:
        if path:
            try:
                self._in_parent(path, lambda: self._root.mkdir(path))
                self._count()
            except FileExistsError:
                pass  # looked at below
            found = self._root.lstat(path)
        else:
            found = os.fstat(self._root.descriptor)
        if not stat.S_ISDIR(found.st_mode):
            raise _collision(path)
        self._directories[found.st_ino] = member.mode, member.mtime_ns

    def _add_link(self, path: bytes, old: bytes) -> None:
        if not old:
            raise bad(f"{_shown(path)} is a hard link to a directory")
        try:
            file = self._root.open(old, os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise bad(f"{_shown(path)} is a hard link to what is not there") from error
        try:
            found = os.fstat(file)
            if stat.S_ISLNK(found.st_mode):
                raise bad(f"{_shown(path)} is a hard link to a symlink", "archive-traversal")
            if not stat.S_ISREG(found.st_mode):
                raise bad(f"{_shown(path)} is a hard link to a directory")
            if not self._is(path, found):
                self._new(path, Kind.FILE, lambda: self._root.link(file, path))
        finally:
            os.close(file)

    def _new(self, path: bytes, kind: Kind, make: Callable[[], int | None]) -> int:
        """Make what is no directory. As tar does it, a later member takes the place of an earlier one, if both are
        files or both symlinks; it is another file then, and other names of the earlier one keep that."""
        try:
            made = self._in_parent(path, make)
            self._count()
        except FileExistsError:
            found = self._root.lstat(path)
            if not (stat.S_ISREG if kind is Kind.FILE else stat.S_ISLNK)(found.st_mode):
                raise _collision(path) from None
            self._root.unlink(path)
            if kind is Kind.FILE and found.st_nlink == 1:
                self.bytes -= found.st_size
            made = make()
        return -1 if made is None else made

    def _in_parent(self, path: bytes, make: Callable[[], int | None]) -> int | None:
        """Do it, and if the directory for it is not there yet, make that first: archives may leave it out."""
        try:
            return make()
        except FileNotFoundError:
            parts = path.split(b"/")
            for depth in range(1, len(parts)):
                self._imply(b"/".join(parts[:depth]))
            return make()

    def _imply(self, path: bytes) -> None:
        try:
            self._root.mkdir(path)
        except FileExistsError:
            return
        self._count()
        self._directories[self._root.lstat(path).st_ino] = _IMPLIED_MODE, None

    def _is(self, path: bytes, found: os.stat_result) -> bool:
        try:
            return os.path.samestat(self._root.lstat(path), found)
        except FileNotFoundError:
            return False

    def _count(self) -> None:
        self.entries += 1
        if self.entries > self._limits.entries:
            raise bad(f"more than {self._limits.entries} entries", "archive-too-large")

    def _settle(self, directory: int) -> None:
        """From the bottom up: what is inside cannot be reached any more once a directory has its mode."""
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        for name in names:
            child = os.open(name, _LISTED, dir_fd=directory)
            try:
                self._settle(child)
            finally:
                os.close(child)
        known = self._directories.get(os.fstat(directory).st_ino)
        if known is None:
            raise OSError(errno.EBUSY, "a directory was put there by somebody else")
        mode, mtime_ns = known
        os.fchmod(directory, mode)
        if mtime_ns is not None:
            os.utime(directory, ns=(mtime_ns, mtime_ns))


def relative(name: bytes, limits: Limits) -> bytes:
    """What a member's name is beneath the root: nothing for the root itself. Raises UsageError.

    `.` in a path and one slash behind it mean nothing; a path that is absolute or has `..` or `//` in it is refused.
    """
    if len(name) > limits.path:
        raise bad("a path that is too long", "archive-too-large", limit=limits.path)
    parts = [part for part in name.removesuffix(b"/").split(b"/") if part != b"."]
    if b"" in parts or b".." in parts or b"\0" in name:
        raise bad(f"the path {_shown(name)!r} is absolute or has '..', '//' or a NUL in it", "archive-traversal")
    if len(parts) > limits.depth:
        raise bad("a path of too many directories", "archive-too-large", limit=limits.depth)
    if parts and max(map(len, parts)) > limits.name:
        raise bad("a name that is too long", "archive-too-large", limit=limits.name)
    return b"/".join(parts)


def target(member: Member, limits: Limits) -> bytes:
    """A symlink's text: any, for nobody here follows it. Raises UsageError."""
    if not member.link or b"\0" in member.link:
        raise bad("a symlink without a text")
    if len(member.link) > limits.target:
        raise bad("a symlink with too long a text", "archive-too-large", limit=limits.target)
    return member.link


def fill(file: int, member: Member, members: Members) -> None:
    """Write a member's data, set mode and time, close."""
    try:
        segments = None if member.sparse is None else member.sparse.segments
        write_with_holes(file, members.data(), member.size, segments)
        os.fchmod(file, member.mode)
        os.utime(file, ns=(member.mtime_ns, member.mtime_ns))
    finally:
        os.close(file)


def set_symlink_time(root: Beneath, path: bytes, member: Member) -> None:
    directory, name = root.parent(path)
    os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=directory, follow_symlinks=False)


@contextmanager
def told(path: bytes) -> Iterator[None]:
    """What the file system says about a member, in our words."""
    try:
        yield
    except OSError as error:
        raise _error(path, error) from error


def _error(path: bytes, error: OSError) -> PyroError:
    reason = (error.strerror or str(error)).lower()
    match error.errno:
        case errno.ELOOP | errno.EXDEV:
            return bad(f"the path {_shown(path)} leads through a symlink", "archive-traversal")
        case errno.ENOTDIR | errno.EISDIR:
            return _collision(path)
        case errno.EFBIG:
            return bad(f"{_shown(path)} is too large for this file system", "archive-too-large")
        case errno.ENAMETOOLONG | errno.EINVAL | errno.EILSEQ | errno.EMLINK | errno.EOVERFLOW:
            return bad(f"{_shown(path)} cannot be on this file system: {reason}", "archive-unsupported")
        case number if number in _NO_SPACE:
            return HostError(f"no space left for what is unpacked, at {_shown(path)}", code="no-space")
        case _:
            return HostError(f"{_shown(path)} cannot be written: {reason}", code="io-error")


def _collision(path: bytes) -> PyroError:
    return bad(f"{_shown(path)} is there twice, as things of different kinds")


def _shown(path: bytes) -> str:
    return printable(path.decode("utf-8", "backslashreplace"), 200)
