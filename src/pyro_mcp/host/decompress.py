"""Archives as they lie on the disk, read as what they hold: plain, gzip (zlib) or Zstandard (the program zstd).

What it is, its first bytes tell, not its name.
"""

from __future__ import annotations

import os
import stat
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_mcp.errors import HostError, UsageError
from pyro_mcp.host.tarheader import bad
from pyro_mcp.host.tarsource import Read
from pyro_mcp.model.printable import printable

_GZIP = b"\x1f\x8b"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_GZIP_WRAPPED = 31  # zlib.h, inflateInit2: a gzip header, the largest window
_CHUNK = 128 << 10


@contextmanager
def decompressed(path: Path) -> Iterator[Read]:
    """What the file holds, to be read once, in order. All that was started for it has ended when the block is left.

    Raises UsageError (`archive-unreadable`; in the middle `bad-archive`, also for what was cut off) or HostError
    `zstd-missing`.
    """
    descriptor = _open(path)
    try:
        first = os.pread(descriptor, 4, 0)
        if first.startswith(_GZIP):
            yield _Gzip(descriptor).read
        elif first == _ZSTANDARD:
            with _zstd(descriptor) as read:
                yield read
        else:
            yield lambda count: os.read(descriptor, count)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        # O_NONBLOCK: opening a FIFO would wait for somebody to write.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unreadable(path, "it is no regular file")
    return descriptor


class _Gzip:
    """Members one behind the other, as `cat a.gz b.gz` makes them, and zeros behind the last, as tapes have them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._input = b""
        self._member = zlib.decompressobj(_GZIP_WRAPPED)

    def read(self, count: int) -> bytes:
        while self._has_input():
            try:
                data = self._member.decompress(self._input, count)
            except zlib.error as error:
                raise bad("its gzip stream is damaged") from error
            self._input = self._member.unconsumed_tail or self._member.unused_data
            if data:
                return data
        return b""

    def _has_input(self) -> bool:
        """False at the end, which is only between members."""
        if self._member.eof:
            while not (rest := self._input.lstrip(b"\0")):
                if not self._refill():
                    return False
            self._input, self._member = rest, zlib.decompressobj(_GZIP_WRAPPED)
        elif not self._input and not self._refill():
            raise bad("its gzip stream is cut off")
        return True

    def _refill(self) -> bool:
        self._input = os.read(self._descriptor, _CHUNK)
        return bool(self._input)


@contextmanager
def _zstd(descriptor: int) -> Iterator[Read]:
    try:
        process = subprocess.Popen(
            ("zstd", "--decompress", "--stdout", "--quiet"),
            stdin=descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HostError(
            "the program zstd is not installed", code="zstd-missing", hint="sudo apt-get install zstd"
        ) from error
    with process:
        assert process.stdout is not None
        output = process.stdout.fileno()

        def read(count: int) -> bytes:
            if data := os.read(output, count):
                return data
            if process.wait() != 0:
                raise bad("its Zstandard stream is damaged, cut off, or needs more than 128 MiB of memory")
            return b""

        try:
            yield read
        finally:
            process.kill()


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(f"{printable(str(path))} cannot be read: {reason}", code="archive-unreadable")
