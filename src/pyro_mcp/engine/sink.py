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
    """The first `limit` bytes of a stream, and whether there was more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self.truncated = self.truncated or len(data) > room

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
