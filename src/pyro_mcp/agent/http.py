"""One HTTP/1.1 request and its answer on one stream (protocol/README.md, section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import h11

from pyro_mcp.agent.channel import Connector, Stream
from pyro_mcp.agent.wire import JSON_BODY_BYTES, violation
from pyro_mcp.errors import GuestError

# Status line and headers, the header of a chunk, trailers: whatever is not body.
_HEAD_BYTES = 16384
_CLOSE_SECONDS = 1.0
_ENDED = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


class Exchange:
    """A request under way. The body of the request may still be sent while the answer is read.

    Times out nothing by itself: callers hold deadlines around what they await.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)

    async def request(self, method: str, path: str, body: bytes = b"", *, more: bool = False) -> None:
        """Send the head and `body` in one piece: all of the body, unless there is `more` to come."""
        length = ("Transfer-Encoding", "chunked") if more else ("Content-Length", str(len(body)))
        head = h11.Request(method=method, target=path, headers=[("Host", "guest"), ("Connection", "close"), length])
        events = [head, *([h11.Data(data=body)] if body else []), *([] if more else [h11.EndOfMessage()])]
        await self._stream.write(b"".join(self._http.send(event) or b"" for event in events))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """The request's body is complete."""
        await self._send(h11.EndOfMessage())

    async def status(self) -> int:
        """The answer's status. Raises GuestError if what comes is not the head of an answer."""
        event = await self._next()
        if not isinstance(event, h11.Response):
            raise violation("answered with something that is not a final status")
        return event.status_code

    async def body(self) -> bytes:
        """The next bytes of the answer's body; empty at its end."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def whole_body(self) -> bytes:
        """All of the answer's body. Raises GuestError if it is larger than an object may be."""
        whole = bytearray()
        while data := await self.body():
            whole += data
            if len(whole) > JSON_BODY_BYTES:
                raise violation(f"sent an answer of more than {JSON_BODY_BYTES} bytes")
        return bytes(whole)

    @property
    def complete(self) -> bool:
        """Whether request and answer were sent to their ends."""
        return self._http.our_state in _ENDED and self._http.their_state in _ENDED

    def abort(self) -> None:
        """Break the exchange off: who waits for its answer gets a GuestError."""
        self._stream.reset()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.write(data)

    async def _next(self) -> h11.Event:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.read())
        except h11.RemoteProtocolError as error:
            raise violation("sent something that is not HTTP") from error
        assert isinstance(event, h11.Event)
        return event


@asynccontextmanager
async def exchange(connector: Connector, *, bulk: bool = False) -> AsyncIterator[Exchange]:
    """An exchange on a stream of its own, which is over when the block is left, whichever way.

    `bulk` says that the answer may be large.
    """
    stream = await connector.open()
    try:
        if bulk:
            await stream.widen()
        http = Exchange(stream)
        yield http
        if http.complete:
            # The answer stands, whether or not the guest still hears that we are done with it.
            with suppress(GuestError):
                async with deadline(_CLOSE_SECONDS, "the end of a request"):
                    await stream.close()
    finally:
        stream.reset()


@asynccontextmanager
async def deadline(seconds: float, what: str) -> AsyncIterator[None]:
    """Bound a block; a guest that is late raises GuestError `guest-silent`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise GuestError(f"the guest did not answer {what} within {seconds:g} s", code="guest-silent") from error
