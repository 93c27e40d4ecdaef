"""A stream of bytes cut to measure: nothing seeks, and nothing is held but what was asked for and one chunk."""

from __future__ import annotations

from collections.abc import Callable

from pyro_mcp.errors import HostError
from pyro_mcp.host.tarheader import bad

Read = Callable[[int], bytes]
"""Gives up to so many bytes, at least one; none at the end. May block."""

CHUNK = 256 << 10


class Source:
    """Raises UsageError `bad-archive` where it ends too early, HostError `archive-unreadable` for what `read` meets."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._chunk = b""
        self._at = 0

    def at_end(self) -> bool:
        if self._at == len(self._chunk):
            try:
                self._chunk, self._at = self._read(CHUNK), 0
            except OSError as error:  # not to be taken for one of what is written meanwhile
                reason = (error.strerror or str(error)).lower()
                raise HostError(f"the archive cannot be read: {reason}", code="archive-unreadable") from error
        return not self._chunk

    def take(self, count: int) -> bytes:
        """Exactly so many bytes. Raises UsageError `bad-archive` where the stream ends before."""
        data = self._some(count)
        if len(data) == count:
            return data
        pieces, missing = [data], count - len(data)
        while missing:
            if self.at_end():
                raise bad("it ends in the middle")
            pieces.append(self._some(missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def zeros(self, most: int) -> bool:
        """Whether nothing but zeros is left, and not more than `most`. Reads to the end, or until that is decided."""
        count = 0
        while not self.at_end():
            piece = self._some(CHUNK)
            count += len(piece)
            if piece.count(0) != len(piece) or count > most:
                return False
        return True

    def _some(self, most: int) -> bytes:
        """Up to so many bytes of the chunk at hand."""
        data = self._chunk[self._at : self._at + most]
        self._at += len(data)
        return data
