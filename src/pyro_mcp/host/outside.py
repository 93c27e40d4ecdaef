"""Putting something new where a user says, in whole or not at all, though others may move things there meanwhile."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_mcp.errors import HostError, PyroError, UsageError
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.model.printable import printable

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_SYMLINKS = 40  # as the kernel, path_resolution(7)


@contextmanager
def new_place(output: Path) -> Iterator[tuple[Beneath, bytes]]:
    """A directory and a name in it, hidden, for what shall be at `output`, an absolute path.

    What the block has made under that name is renamed to `output` if the block ends well, and deleted otherwise. The
    directory is looked up once; all that follows happens in that one. Raises UsageError `output-exists`,
    `output-parent-missing`, `output-in-symlinked-directory`, `output-not-writable`, or HostError `no-space`.
    """
    if not output.is_absolute() or output.name in ("", ".."):
        raise UsageError(f"{_shown(output)} is no absolute path of something new", code="invalid-output-path")
    name = os.fsencode(output.name)
    hidden = b".pyro-export-" + secrets.token_hex(8).encode()
    try:
        with Beneath(_open_directory(output.parent)) as directory:
            _refuse_existing(directory, name)
            try:
                yield directory, hidden
                directory.rename_new(hidden, name)
            except BaseException:
                directory.remove_tree(hidden)
                raise
    except OSError as error:
        raise _error(output, error) from error


def _refuse_existing(directory: Beneath, name: bytes) -> None:
    try:
        directory.lstat(name)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _open_directory(path: Path) -> int:
    """A descriptor, for which the path is walked step by step: no symlink is followed that a stranger put there."""
    here = os.open("/", _STEP)
    waiting = os.fsencode(path).split(b"/")[::-1]
    symlinks = 0
    try:
        while waiting:
            if (part := waiting.pop()) in (b"", b"."):
                continue
            step = os.open(part, _STEP, dir_fd=here)
            if not stat.S_ISLNK(os.fstat(step).st_mode):
                os.close(here)
                here = step
                continue
            text = _read_symlink(step, path)
            if (symlinks := symlinks + 1) > _MOST_SYMLINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if text.startswith(b"/"):
                os.close(here)
                here = os.open("/", _STEP)
            waiting += text.split(b"/")[::-1]
        if not stat.S_ISDIR(os.fstat(here).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    except BaseException:
        os.close(here)
        raise
    return here


def _read_symlink(step: int, path: Path) -> bytes:
    """The text of the symlink behind the descriptor, which is closed."""
    try:
        if os.fstat(step).st_uid not in (0, os.geteuid()):
            raise UsageError(
                f"the way to {_shown(path)} leads through a symlink of another user",
                code="output-in-symlinked-directory",
                hint="name the directory itself",
            )
        return os.readlink(b"", dir_fd=step)
    finally:
        os.close(step)


def _error(output: Path, error: OSError) -> PyroError:
    reason = (error.strerror or str(error)).lower()
    match error.errno:
        case errno.EEXIST:
            return UsageError(f"{_shown(output)} exists already", code="output-exists", hint="name something new")
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return UsageError(
                f"there is no directory {_shown(output.parent)}", code="output-parent-missing", hint="make it first"
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return UsageError(f"{_shown(output.parent)} cannot be written to: {reason}", code="output-not-writable")
        case errno.ENAMETOOLONG | errno.EINVAL:
            return UsageError(f"{_shown(output)} cannot be: {reason}", code="invalid-output-path")
        case errno.ENOSPC | errno.EDQUOT:
            return HostError(f"no space left for {_shown(output)}", code="no-space")
        case _:
            return HostError(f"{_shown(output)} cannot be written: {reason}", code="io-error")


def _shown(path: Path) -> str:
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"), 300)
