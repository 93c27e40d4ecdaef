"""Walking a tree of the host that others may change meanwhile: by descriptors, never through a symlink."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pyro_mcp.errors import ConflictError, PyroError, UsageError
from pyro_mcp.host.limits import Limits
from pyro_mcp.model.printable import printable

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})


@dataclass(frozen=True, slots=True)
class Found:
    """One entry: its path below the root, its lstat, and where to open it until the next one is asked for."""

    path: bytes
    """Empty for the root itself."""
    stat: os.stat_result
    directory: int | None
    name: bytes

    @property
    def is_top_directory(self) -> bool:
        return not self.path and stat.S_ISDIR(self.stat.st_mode)


def walk(root: Path, limits: Limits) -> Iterator[Found]:
    """The root and all below it, sorted by name, directories before what is in them. `root` may be a symlink.

    Raises UsageError `seed-unreadable` or `seed-too-large`, ConflictError `source-changed`.
    """
    try:
        found = root.stat()
        yield Found(b"", found, None, os.fsencode(root.resolve()))
        if not stat.S_ISDIR(found.st_mode):
            return
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(os.fsencode(root), error) from error
    for count, entry in enumerate(_below(top, b"", 1, limits)):
        if count == limits.entries:
            raise too_large(f"more than {limits.entries} entries")
        yield entry


def _below(directory: int, path: bytes, depth: int, limits: Limits) -> Iterator[Found]:
    """Closes `directory` in the end."""
    where = path
    try:
        with os.scandir(directory) as entries:
            names = sorted(os.fsencode(entry.name) for entry in islice(entries, limits.entries + 1))
        for name in names:
            where = path + b"/" + name if path else name
            if depth > limits.depth or len(where) > limits.path:
                raise too_large(f"{shown(where)} lies too deep")
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            yield Found(where, found, directory, name)
            if stat.S_ISDIR(found.st_mode):
                yield from _below(os.open(name, _LISTED, dir_fd=directory), where, depth + 1, limits)
    except OSError as error:
        raise unreadable(where, error) from error
    finally:
        os.close(directory)


def unreadable(path: bytes, error: OSError) -> PyroError:
    if error.errno in _CHANGED:
        return changed(path)
    reason = (error.strerror or str(error)).lower()
    return UsageError(
        f"{shown(path)} cannot be read: {reason}",
        code="seed-unreadable",
        hint="make it readable, or leave it out",
        details={"path": shown(path)},
    )


def changed(path: bytes) -> ConflictError:
    return ConflictError(
        f"{shown(path)} changed while it was read",
        code="source-changed",
        hint="try again when nobody writes there",
        details={"path": shown(path)},
    )


def too_large(reason: str) -> UsageError:
    return UsageError(f"the source is too large: {reason}", code="seed-too-large")


def shown(path: bytes) -> str:
    return printable(path.decode("utf-8", "backslashreplace"), 300)
