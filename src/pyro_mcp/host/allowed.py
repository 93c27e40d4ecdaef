"""Paths of this host that a stranger names: only what lies beneath a few directories is theirs, wherever links lead.

openat2(2) (Linux 5.6) walks a path and checks each step as it goes. In contrast to `host/beneath.py` symlinks are
followed, as long as they are relative and stay beneath: people have such in their trees.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pyro_mcp.errors import PyroError, UsageError
from pyro_mcp.host.beneath import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2
from pyro_mcp.model.printable import printable

_LOOK = os.O_PATH | os.O_CLOEXEC
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_GONE = (errno.ENOENT, errno.ENOTDIR)
_LEADS_OUT = (errno.EXDEV, errno.ELOOP)


class AllowedRoots:
    """The directories beneath which a stranger may name paths. Errors name them in their hint."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """Relative paths begin in the first of `roots`. Without any, nothing is allowed.

        Raises UsageError `root-not-found` for one that is no directory.
        """
        self.roots = tuple(_directory(root) for root in roots)
        # Also by the names they were given by: symlinks in those are their owner's own words.
        self._names = tuple(
            (PurePosixPath(name), real)
            for given, real in zip(roots, self.roots, strict=True)
            for name in dict.fromkeys((str(real), str(given.absolute())))
        )

    @classmethod
    def here(cls) -> AllowedRoots:
        """The working directory; nothing where that is `/` or gone: nobody means all files by saying nothing."""
        try:
            directory = Path.cwd()
        except OSError:
            return cls(())
        return cls(() if directory == Path("/") else (directory,))

    def existing(self, name: str, value: object, *, missing: str) -> Path:
        """The real path of what is there. `name` is what errors call it.

        Raises UsageError: `path-not-allowed`, and the code `missing` for what is not there.
        """

        def look(root: Path, inner: PurePosixPath) -> Path:
            return _real(root, inner, _LOOK)

        return self._first(name, _text(name, value), missing, look)

    def new(self, name: str, value: object, *, missing: str) -> Path:
        """The real path of what is not there yet, in a directory that is. Raises as `existing`, and `output-exists`."""
        text = _text(name, value)

        def look(root: Path, inner: PurePosixPath) -> Path:
            if inner.name == "..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            place = _real(root, inner.parent, _LOOK | os.O_DIRECTORY) / inner.name
            if os.path.lexists(place):
                raise UsageError(f"{_shown(text)} exists already", code="output-exists", hint="name something new")
            return place

        return self._first(name, text, missing, look)

    def _first(self, name: str, text: str, missing: str, look: Callable[[Path, PurePosixPath], Path]) -> Path:
        """What `look` finds beneath the first root that has it."""
        if not _possible(text):
            raise self._refusal(name, text, "has a character that no path can have")
        failure = self._refusal(name, text, "is in none of the directories that are allowed")
        for root, inner in self._places(text):
            try:
                return look(root, inner)
            except OSError as error:
                if error.errno in _GONE:
                    failure = UsageError(f"there is no {_shown(text)}", code=missing, hint=self._hint())
                elif error.errno not in _LEADS_OUT:
                    failure = self._refusal(name, text, f"cannot be used: {error.strerror}")
        raise failure

    def _places(self, text: str) -> Iterator[tuple[Path, PurePosixPath]]:
        """Each root that `text` may lie beneath, and its path from there. What `..` means is the kernel's to say."""
        if text.startswith("~") or _SCHEME.match(text):
            return  # a shell's and a browser's words: whoever writes them means another place than we would find
        if not text.startswith("/"):
            yield from ((root, PurePosixPath(text)) for root in self.roots[:1])
            return
        path = PurePosixPath("/" + text.lstrip("/"))
        for name, real in self._names:
            if path.is_relative_to(name):
                yield real, path.relative_to(name)

    def _refusal(self, name: str, text: str, why: str) -> PyroError:
        return UsageError(f"{name} {_shown(text)} {why}", code="path-not-allowed", hint=self._hint())

    def _hint(self) -> str:
        if not self.roots:
            return "no directory is allowed; `pyro mcp serve --allow-root DIR` allows one"
        first, *_ = shown = [_shown(str(root)) for root in self.roots]
        return f"allowed: what lies in {', '.join(shown)}; relative paths begin in {first}"


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} must be a non-empty path")
    return value


def _possible(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _directory(root: Path) -> Path:
    real = Path(os.path.realpath(root))
    if not real.is_dir():
        raise UsageError(f"there is no directory {_shown(str(root))}", code="root-not-found")
    return real


def _real(root: Path, inner: PurePosixPath, flags: int) -> Path:
    """The path of `inner`, beneath `root`, without symlinks. Raises OSError: EXDEV, ELOOP for one that leads out."""
    directory = os.open(root, _LOOK | os.O_DIRECTORY)
    try:
        descriptor = openat2(directory, os.fsencode(str(inner)), flags, resolve=RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH)
    finally:
        os.close(directory)
    try:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if not path.is_relative_to(root):
            raise OSError(errno.EXDEV, "it was moved away meanwhile")
        return path
    finally:
        os.close(descriptor)


def _shown(text: str) -> str:
    return printable(text, limit=300)
