"""Files that last: written whole or not at all, recognised again without reading them, removed with all below."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells an untouched file from a changed one without reading it.

    The change time cannot be set by user programs: whoever writes to the file or moves another in its place moves it.
    """

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


def fingerprint(path: Path) -> Fingerprint:
    """Raises OSError."""
    found = path.stat()
    return Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def sha256(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """The file's digest in hex; `on_bytes` is told now and then how much was read so far. Raises OSError."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_CHUNK))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            done += count
            if on_bytes is not None:
                on_bytes(done)
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path` so that every reader, also after a power cut, finds the old file or the new one, whole."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with partial.open("xb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a directory, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_beginning(path: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file, or all of it. Symlinks are followed. Raises OSError."""
    # Without O_NONBLOCK the opening of a FIFO would wait for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most)


def allocated_bytes(path: Path) -> int:
    """What a file takes on the disk; less than its size if it has holes. Raises OSError."""
    return path.stat().st_blocks * 512


class Verified:
    """Files that were found to be good, so that nobody checks them again until they are touched. For all threads."""

    def __init__(self) -> None:
        self._known: dict[Path, Fingerprint] = {}
        self._lock = threading.Lock()

    def check(self, path: Path, verify: Callable[[], object]) -> None:
        """Call `verify` unless it has passed since the file last changed. It raises, or mends the file."""
        with self._lock:
            known = self._known.get(path)
            if known is None or not path.exists() or fingerprint(path) != known:
                verify()
                self._known[path] = fingerprint(path)
