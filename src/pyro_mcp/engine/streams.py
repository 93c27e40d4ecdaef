"""Output of a guest on its way out: redacted as it passes, held back only where a secret may be beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.model.redacted_stream import StreamRedactor
from pyro_mcp.model.redaction import Redactor

QUIET_SECONDS = 0.25
"""After so long without output what was held back is let go, unless it is too much like a secret."""

Emit = Callable[[OutputStream, bytes], Awaitable[None]]


class Redacted:
    """`async with Redacted(redactor, emit) as output: await output.add(stream, data)`; leaving lets go of the rest.

    Left by an error, it drops that. `emit` gets the bytes of each stream in order, one call at a time.
    """

    def __init__(self, redactor: Redactor, emit: Emit) -> None:
        self._emit = emit
        self._streams = {stream: StreamRedactor(redactor) for stream in OutputStream} if redactor else {}
        self._locks = {stream: asyncio.Lock() for stream in self._streams}
        self._timers: dict[OutputStream, asyncio.TimerHandle] = {}
        self._letting_go: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Redacted:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for timer in self._timers.values():
            timer.cancel()
        if error is not None:
            for task in self._letting_go:
                task.cancel()
            await asyncio.gather(*self._letting_go, return_exceptions=True)
            return
        await asyncio.gather(*self._letting_go)
        for stream, redactor in self._streams.items():
            await self._pass(stream, redactor.flush(final=True))

    def pass_over(self, stream: OutputStream, data: bytes) -> None:
        """What stood before the first bytes of `stream`: a secret may have begun in it."""
        if (redactor := self._streams.get(stream)) is not None:
            redactor.pass_over(data)

    async def frame(self, stream: OutputStream, data: bytes) -> None:
        """As `add`, for bytes of a guest that sends an empty piece where the next one does not follow the last."""
        if data:
            await self.add(stream, data)
        else:
            await self.gap(stream)

    async def add(self, stream: OutputStream, data: bytes) -> None:
        """The next bytes of `stream`."""
        redactor = self._streams.get(stream)
        if redactor is None:
            await self._emit(stream, data)
            return
        self._is_not_quiet(stream)
        async with self._locks[stream]:
            await self._pass(stream, redactor.feed(data))
        if redactor.held:
            self._timers[stream] = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._is_quiet, stream)

    async def gap(self, stream: OutputStream) -> None:
        """What comes next does not follow what came before, or is not the beginning of all."""
        if (redactor := self._streams.get(stream)) is not None:
            self._is_not_quiet(stream)
            async with self._locks[stream]:
                await self._pass(stream, redactor.gap())

    def _is_not_quiet(self, stream: OutputStream) -> None:
        if (timer := self._timers.pop(stream, None)) is not None:
            timer.cancel()

    def _is_quiet(self, stream: OutputStream) -> None:
        # A task of its own, which nothing that comes meanwhile cancels: what it passes on must arrive.
        task = asyncio.create_task(self._let_go(stream))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def _let_go(self, stream: OutputStream) -> None:
        async with self._locks[stream]:
            await self._pass(stream, self._streams[stream].flush(final=False))

    async def _pass(self, stream: OutputStream, data: bytes) -> None:
        if data:
            await self._emit(stream, data)
