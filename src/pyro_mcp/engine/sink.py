"""Where a use case tells its caller what is happening while it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pyro_mcp.agent.messages import OutputStream


class Sink(Protocol):
    """Both calls wait until the caller took the data: a slow reader slows its own command, nothing else."""

    async def event(self, event: Mapping[str, object]) -> None:
        """A named moment, such as `{"event": "phase", "phase": "start", …}`."""
        ...

    async def output(self, stream: OutputStream, data: bytes) -> None:
        """Bytes the command wrote, exactly as it wrote them."""
        ...


class KeptOutput:
    """Of a stream at most `limit` bytes: beginning and end, and between them a line that says how much is missing.

    Errors stand at the end, what led to them at the beginning.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head_bytes = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    @property
    def truncated(self) -> bool:
        return self._total > self._limit

    def add(self, data: bytes) -> None:
        self._total += len(data)
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        keep = self._limit - self._head_bytes
        if len(self._tail) > 2 * keep:  # not at every call: moving bytes costs
            del self._tail[:-keep]

    def text(self) -> str:
        """Decoded as UTF-8 with replacement."""
        return self.data().decode("utf-8", "replace")

    def data(self) -> bytes:
        if not self.truncated:
            return bytes(self._head + self._tail)
        # The mark's length depends on the number in it, which depends on the mark's length: take the room it may need.
        keep = self._limit - self._head_bytes - len(_mark(self._total))
        mark = _mark(self._total - self._head_bytes - keep)
        return bytes(self._head + mark.ljust(len(_mark(self._total)), b"\n") + self._tail[-keep:])


def _mark(count: int) -> bytes:
    return f"\n[pyro: {count} bytes are left out here]\n".encode()
