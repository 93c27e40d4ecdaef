"""Files by name beneath a directory, where no symlink and no `..` leads out, whoever moves things meanwhile.

Looking where a path leads and then opening it loses against somebody who renames in between. openat2(2) (Linux 5.6)
resolves and checks in one: here without symlinks altogether, so a name means what it says or nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pyro_mcp.errors import HostError

# Numbers of x86_64, asm/unistd_64.h.
_OPENAT2 = 437
_RENAMEAT2 = 316

# linux/openat2.h.
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_RESOLVE = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
_RENAME_NOREPLACE = 1

# The kernel gives up with EAGAIN when something was renamed while it looked. Longer than this is an attack.
_BUSY_SECONDS = 2.0

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


class Beneath:
    """A directory held open. Paths are relative to it, bytes, and without `..`.

    The directory of the last path stays open for the next: if somebody moves it away meanwhile, files that were meant
    for it follow it, and go nowhere else. Everything raises OSError: ELOOP for a symlink on the way, EXDEV for `..`.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes over `descriptor`, which may be one of O_PATH."""
        self.descriptor = descriptor
        self._held: tuple[bytes, int] | None = None

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Symlinks in `directory` itself are followed: it is the caller's own name for the place."""
        return cls(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._let_go()
        os.close(self.descriptor)

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A descriptor, closed on exec. With O_PATH and O_NOFOLLOW a symlink at the very end is opened itself."""
        return openat2(self.descriptor, path, flags, mode, resolve=_RESOLVE)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory that `path` lies in, and the name there. Valid until the next path is used."""
        directory, _, name = path.rpartition(b"/")
        if name in (b"", b".", b".."):
            raise OSError(errno.EXDEV, "not a name", path)
        if not directory:
            return self.descriptor, name
        if self._held is None or self._held[0] != directory:
            descriptor = self.open(directory, _DIRECTORY)
            self._let_go()
            self._held = directory, descriptor
        return self._held[1], name

    def lstat(self, path: bytes) -> os.stat_result:
        directory, name = self.parent(path)
        return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def mkdir(self, path: bytes, mode: int = 0o700) -> None:
        directory, name = self.parent(path)
        os.mkdir(name, mode, dir_fd=directory)

    def create(self, path: bytes, mode: int = 0o600) -> int:
        """A descriptor for a new file, to write to."""
        directory, name = self.parent(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=directory)

    def symlink(self, target: bytes, path: bytes) -> None:
        directory, name = self.parent(path)
        os.symlink(target, name, dir_fd=directory)

    def link(self, file: int, path: bytes) -> None:
        """Another name for the file behind a descriptor, which may be one of O_PATH."""
        directory, name = self.parent(path)
        os.link(b"/proc/self/fd/%d" % file, name, dst_dir_fd=directory, follow_symlinks=True)

    def unlink(self, path: bytes) -> None:
        directory, name = self.parent(path)
        os.unlink(name, dir_fd=directory)

    def rename_new(self, old: bytes, new: bytes) -> None:
        """Rename within one directory. Raises FileExistsError for whatever is at `new`."""
        directory, name = self.parent(new)
        place, _, former = old.rpartition(b"/")
        if place != new.rpartition(b"/")[0]:
            raise ValueError("old and new lie in different directories")
        _rename_new(directory, former, name)

    def remove_tree(self, path: bytes) -> None:
        """Delete `path` and all below, also in directories without permissions. That nothing is there is fine."""
        directory, name = self.parent(path)
        with suppress(FileNotFoundError):
            _remove(directory, name)

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held[1])
            self._held = None


def openat2(directory: int, path: bytes, flags: int, mode: int = 0, *, resolve: int) -> int:
    """openat2(2): a descriptor, closed on exec. `resolve` says where the way may lead. Raises OSError, HostError."""
    if b"\0" in path:
        raise OSError(errno.EINVAL, "a NUL in a path")
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    deadline = None
    while True:
        answer = _syscall(_long(_OPENAT2), directory, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)))
        if answer >= 0:
            return int(answer)
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            raise HostError(
                "the kernel of this host has no openat2: it is older than 5.6, or a sandbox hides it",
                code="kernel-too-old",
                hint="run pyro on Linux 5.6 or newer",
            )
        deadline = deadline or time.monotonic() + _BUSY_SECONDS
        if number not in (errno.EAGAIN, errno.EINTR) or time.monotonic() > deadline:
            raise OSError(number, os.strerror(number), path)


def _rename_new(directory: int, old: bytes, new: bytes) -> None:
    if _syscall(_long(_RENAMEAT2), directory, old, directory, new, ctypes.c_uint(_RENAME_NOREPLACE)) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), new)
    # NFS and some others cannot promise it; there a name made in this very moment could be replaced.
    with suppress(FileNotFoundError):
        os.stat(new, dir_fd=directory, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)


def _remove(directory: int, name: bytes) -> None:
    """Depth first; as deep as the tree is, but never through a symlink."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    place = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        # By way of /proc: an O_PATH descriptor cannot be changed itself, and the name could mean another by now.
        Path(f"/proc/self/fd/{place}").chmod(0o700)
        listed = os.open(b".", _LISTED, dir_fd=place)
    finally:
        os.close(place)
    try:
        with os.scandir(listed) as children:
            names = [os.fsencode(child.name) for child in children]
        for child in names:
            _remove(listed, child)
    finally:
        os.close(listed)
    os.rmdir(name, dir_fd=directory)


def _long(number: int) -> ctypes.c_long:
    return ctypes.c_long(number)
