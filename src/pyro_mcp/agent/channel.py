"""How requests reach a guest: a stream each, whatever carries it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from pyro_mcp.agent.mux import MuxClient


class Stream(Protocol):
    """A reliable two-way byte stream for one request. Every use raises GuestError once it has broken off.

    A cancelled `read` or `write` leaves it fit for `reset` only.
    """

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes; empty when the guest has finished."""
        ...

    async def widen(self) -> None:
        """Expect an answer in bulk: let the guest be further ahead of what is read."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`, as fast as the guest takes it."""
        ...

    async def close(self) -> None:
        """Say that no more data will be written; reading goes on."""
        ...

    def reset(self) -> None:
        """End both directions now; the guest stops the work behind them. Does nothing to a stream that is over."""
        ...


class Connector(Protocol):
    """One guest's address, as something that opens streams to it."""

    async def open(self) -> Stream:
        """A new stream. Raises GuestError: `guest-gone`, `guest-silent`, `guest-busy`."""
        ...

    async def close(self) -> None:
        """End all streams and what carries them. Idempotent."""
        ...


class SerialConnector:
    """All streams share one multiplexed port, opened at first use and kept.

    A port that failed stays failed: its guest broke the protocol or is gone. `deadline_seconds` bounds the first
    contact, so it has to cover the boot of a guest that was only just started.
    """

    def __init__(self, path: Path, *, deadline_seconds: float) -> None:
        self._path = path
        self._deadline = deadline_seconds
        self._connecting = asyncio.Lock()
        self._mux: MuxClient | None = None

    async def open(self) -> Stream:
        async with self._connecting:
            if self._mux is None:
                self._mux = await MuxClient.connect(self._path, deadline=self._deadline)
        return self._mux.open_stream()

    async def close(self) -> None:
        if self._mux is not None:
            await self._mux.close()
