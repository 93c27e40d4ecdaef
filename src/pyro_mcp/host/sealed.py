"""Files in memory that nobody can change any more, whoever gets hold of them: memfd_create(2) and its seals."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 64 << 10
_ZEROS = bytes(_CHUNK)
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Sealed:
    """A sealed file. A process that is given the descriptor may map it privately and write to that; no more.

    `digest` (SHA-256, hex) is over size and content; where there are holes makes no difference to it. The memory is
    given back when nobody refers to this object any more and all others have let go of the file, too.
    """

    def __init__(self, descriptor: int, digest: str) -> None:
        """Takes over `descriptor`."""
        self.descriptor = descriptor
        self.digest = digest
        weakref.finalize(self, os.close, descriptor)

    @property
    def path(self) -> Path:
        """A name for this file in this process."""
        return Path(f"/proc/self/fd/{self.descriptor}")

    def copy_to(self, path: Path) -> None:
        """Write the content to the new file `path`, with holes where it is zero. Raises OSError."""
        with path.open("xb", buffering=0) as file:
            size = os.fstat(self.descriptor).st_size
            file.truncate(size)
            for offset, chunk in _content(self.descriptor, size):
                _write_all(file.fileno(), chunk, offset)


def seal(path: Path) -> Sealed:
    """The content of `path` as it is now. What is zero takes no memory. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        copy = os.memfd_create(path.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            size = os.fstat(file.fileno()).st_size
            os.ftruncate(copy, size)
            digest = hashlib.sha256(size.to_bytes(8, "big"))
            for offset, chunk in _content(file.fileno(), size):
                _write_all(copy, chunk, offset)
                digest.update(offset.to_bytes(8, "big"))
                digest.update(chunk)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(copy)
            raise
    return Sealed(copy, digest.hexdigest())


def _content(file: int, size: int) -> Iterator[tuple[int, memoryview]]:
    """The chunks that are not all zero, and where they are."""
    buffer = memoryview(bytearray(_CHUNK))
    offset = 0
    while offset < size and (data := _next_data(file, offset)) is not None:
        offset = data - data % _CHUNK
        count = os.preadv(file, [buffer], offset)
        if count == 0:
            return
        # Shorter than a chunk only at the end, or where a file changes under us: then the digest will not fit.
        chunk = buffer[:count]
        if chunk != _ZEROS[:count]:
            yield offset, chunk
        offset += count


def _next_data(file: int, offset: int) -> int | None:
    try:
        return max(os.lseek(file, offset, os.SEEK_DATA), offset)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _write_all(file: int, chunk: memoryview, offset: int) -> None:
    while chunk:
        written = os.pwrite(file, chunk, offset)
        chunk, offset = chunk[written:], offset + written
