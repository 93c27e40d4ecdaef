"""What a client sends to an operation that is under way already, a piece per request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Inbox:
    """One piece at a time: who sends the next one waits until this one is taken. An empty piece is the end."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self._closed = asyncio.Event()

    @classmethod
    def closed(cls) -> Inbox:
        inbox = cls()
        inbox.close()
        return inbox

    async def put(self, piece: bytes) -> bool:
        """Whether it was taken in. False once nobody will read any more."""
        putting = asyncio.ensure_future(self._pieces.put(piece))
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({putting, closing}, return_when=asyncio.FIRST_COMPLETED)
            return putting.done() and not self._closed.is_set()
        finally:
            putting.cancel()
            closing.cancel()

    async def read(self) -> AsyncIterator[bytes]:
        """The pieces, to the end."""
        while piece := await self._pieces.get():
            yield piece

    def close(self) -> None:
        self._closed.set()
