"""Many streams over one serial port: the host's side of the multiplexer (protocol/README.md, section 2).

One task reads the port and sorts what arrives into the streams. It never waits for a stream: credit bounds what each
may hold. A guest that breaks a rule fails all streams at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path

from pyro_mcp.agent.wire import (
    MUX_HEADER_BYTES,
    MUX_PAYLOAD_BYTES,
    RESYNC_ZERO_BYTES,
    STREAM_CREDIT_BYTES,
    STREAMS_OPEN,
    MuxHeader,
    MuxKind,
    decode_mux_header,
    encode_mux,
    violation,
    welcome_frame,
)
from pyro_mcp.errors import GuestError
from pyro_mcp.host import sockets

_SKIP_BYTES = 65536
# What a widened stream may hold. Each WINDOW interrupts a guest that sends in bulk, so it gets few and large ones.
_WIDE_CREDIT_BYTES = 4 * STREAM_CREDIT_BYTES
# The guest is given credit back in this part of the whole: often enough that it never runs dry.
_WINDOW_PART = 4


class MuxStream:
    """One stream of a MuxClient. At most one task reads and one writes at a time."""

    def __init__(self, mux: MuxClient, number: int) -> None:
        self._mux = mux
        self._number = number
        self._inbox = bytearray()
        self._read_since_window = 0
        self._window = STREAM_CREDIT_BYTES
        self._guest_credit = STREAM_CREDIT_BYTES
        self._own_credit = STREAM_CREDIT_BYTES
        self._guest_finished = False
        self._finished = False
        self._failure: GuestError | None = None
        self._changed = asyncio.Event()

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes; empty when the guest has finished. Raises GuestError when the stream broke off."""
        while not self._inbox:
            self._raise_failure()
            if self._guest_finished:
                return b""
            await self._change()
        data = bytes(self._inbox[:limit])
        del self._inbox[:limit]
        await self._give_credit(len(data))
        return data

    async def widen(self) -> None:
        """Let the guest send 1 MiB ahead of what is read, instead of 256 KiB: for answers in bulk."""
        self._raise_failure()
        more, self._window = _WIDE_CREDIT_BYTES - self._window, _WIDE_CREDIT_BYTES
        await self._grant(more)

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting for credit. Raises GuestError when the stream broke off."""
        rest = memoryview(data)
        while rest:
            self._raise_failure()
            if not self._own_credit:
                await self._change()
                continue
            size = min(len(rest), self._own_credit, MUX_PAYLOAD_BYTES)
            self._own_credit -= size
            await self._mux.send(self._number, MuxKind.DATA, rest[:size])
            rest = rest[size:]

    async def close(self) -> None:
        """Say that no more data will be written; reading goes on."""
        self._raise_failure()
        if not self._finished:
            self._finished = True
            await self._mux.send(self._number, MuxKind.FIN)
            self._forget_if_over()

    def reset(self) -> None:
        """End both directions now, whatever is under way. Does nothing to a stream that is over."""
        if self._mux.forget(self._number):
            self._mux.post(self._number, MuxKind.RESET)
            self.fail(GuestError("the stream was reset by the host", code="guest-reset"))

    # What the reader task of the MuxClient calls.

    def receive(self, kind: MuxKind, payload: bytes) -> None:
        """Take a frame of the guest. Raises GuestError if it breaks the protocol."""
        match kind:
            case MuxKind.DATA:
                self._receive_data(payload)
            case MuxKind.WINDOW:
                if len(payload) != 4:
                    raise violation("sent a window frame of wrong length")
                self._own_credit += int.from_bytes(payload, "big")
            case MuxKind.FIN:
                self._guest_finished = True
                self._forget_if_over()
            case MuxKind.RESET:
                self._mux.forget(self._number)
                self.fail(GuestError("the guest ended the stream early", code="guest-reset"))
            case _:
                raise violation(f"sent a {kind.name} frame, which only a host may send")
        self._changed.set()

    def fail(self, failure: GuestError) -> None:
        """Drop what was not read and make every use raise `failure`."""
        self._failure = failure
        self._inbox.clear()
        self._changed.set()

    def _receive_data(self, payload: bytes) -> None:
        self._guest_credit -= len(payload)
        if not payload or self._guest_finished or self._guest_credit < 0:
            raise violation("sent data that it had no right to send")
        self._inbox += payload

    async def _give_credit(self, size: int) -> None:
        self._read_since_window += size
        if self._read_since_window >= self._window // _WINDOW_PART and not self._guest_finished:
            credit, self._read_since_window = self._read_since_window, 0
            await self._grant(credit)

    async def _grant(self, credit: int) -> None:
        self._guest_credit += credit
        await self._mux.send(self._number, MuxKind.WINDOW, credit.to_bytes(4, "big"))

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _forget_if_over(self) -> None:
        if self._finished and self._guest_finished:
            self._mux.forget(self._number)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise _again(self._failure) from self._failure


class MuxClient:
    """The host's end of one port. Made by `connect`, ended by `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: int) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._streams: dict[int, MuxStream] = {}
        self._last_number = 0
        self._failure: GuestError | None = None
        self._receiving = asyncio.create_task(self._receive(), name="guest-mux")

    @classmethod
    async def connect(cls, path: Path, *, deadline: float) -> MuxClient:
        """Open the port behind the socket `path` and resynchronise with the guest, within `deadline` seconds.

        Raises GuestError: `guest-gone` if nobody holds the port, `guest-silent` at the deadline.
        """
        session = secrets.randbits(64) or 1
        try:
            async with asyncio.timeout(deadline):
                reader, writer = await asyncio.open_unix_connection(sock=await sockets.connect(path))
                try:
                    await _resynchronise(reader, writer, session)
                except BaseException:
                    writer.transport.abort()
                    raise
        except TimeoutError as error:
            raise GuestError(f"the guest did not answer within {deadline:g} s", code="guest-silent") from error
        except OSError as error:
            raise _gone(error) from error
        return cls(reader, writer, session)

    def open_stream(self) -> MuxStream:
        """A new stream. Raises GuestError when the guest is gone, `guest-busy` when 256 are open already."""
        self._raise_failure()
        if len(self._streams) >= STREAMS_OPEN:
            raise GuestError(f"{STREAMS_OPEN} requests to this guest are under way already", code="guest-busy")
        self._last_number += 1
        stream = self._streams[self._last_number] = MuxStream(self, self._last_number)
        self.post(self._last_number, MuxKind.OPEN)
        return stream

    async def close(self) -> None:
        """End the connection; all streams fail with `guest-gone`. Idempotent."""
        self._fail(_gone(None))
        self._receiving.cancel()
        await asyncio.gather(self._receiving, return_exceptions=True)

    # What streams call.

    async def send(self, stream: int, kind: MuxKind, payload: bytes | memoryview = b"") -> None:
        """Send a frame and wait until the port has room again."""
        self.post(stream, kind, payload)
        with contextlib.suppress(OSError):  # the reader task learns of it too, and says it to all
            await self._writer.drain()
        self._raise_failure()

    def post(self, stream: int, kind: MuxKind, payload: bytes | memoryview = b"") -> None:
        """Send a frame without waiting; what a stream posts is bounded by what it may send at all."""
        if self._failure is None:
            self._writer.write(encode_mux(self._session, stream, kind, payload))

    def forget(self, stream: int) -> bool:
        """The stream is over; frames for it are ignored from now on. False if it was over before."""
        return self._streams.pop(stream, None) is not None

    async def _receive(self) -> None:
        try:
            while True:
                header, payload = await self._frame()
                self._dispatch(header, payload)
        except GuestError as error:
            self._fail(error)
        except (OSError, EOFError) as error:
            self._fail(_gone(error))

    async def _frame(self) -> tuple[MuxHeader, bytes]:
        header = decode_mux_header(await self._reader.readexactly(MUX_HEADER_BYTES))
        if header.session != self._session:
            raise violation("sent a frame of another session")
        return header, await self._reader.readexactly(header.length)

    def _dispatch(self, header: MuxHeader, payload: bytes) -> None:
        if not 0 < header.stream <= self._last_number:
            raise violation("sent a frame for a stream that was never opened")
        stream = self._streams.get(header.stream)
        if stream is not None:
            stream.receive(header.kind, payload)

    def _fail(self, failure: GuestError) -> None:
        if self._failure is None:
            self._failure = failure
            self._writer.transport.abort()
        for stream in self._streams.values():
            stream.fail(self._failure)
        self._streams.clear()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise _again(self._failure) from self._failure


async def _resynchronise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: int) -> None:
    """Say HELLO and drop stale bytes up to its WELCOME, keeping no more of them than could be its beginning.

    The WELCOME is known byte for byte: the random session and nonce tell it from anything that older clients caused.
    """
    nonce = secrets.token_bytes(16)
    welcome = welcome_frame(session, nonce)
    writer.write(bytes(RESYNC_ZERO_BYTES) + encode_mux(session, 0, MuxKind.HELLO, nonce))
    await writer.drain()
    seen = b""
    while (found := seen.find(welcome)) < 0:
        chunk = await reader.read(_SKIP_BYTES)
        if not chunk:
            raise _gone(None)
        seen = seen[-(len(welcome) - 1) :] + chunk
    if found + len(welcome) != len(seen):
        # No stream is open yet, so a guest has nothing to say after its WELCOME.
        raise violation("spoke before it was asked")


def _gone(cause: BaseException | None) -> GuestError:
    detail = f": {cause.strerror}" if isinstance(cause, OSError) and cause.strerror else ""
    return GuestError(f"the connection to the guest is closed{detail}", code="guest-gone")


def _again(failure: GuestError) -> GuestError:
    """A copy to raise: one exception object raised by many tasks would collect all their tracebacks."""
    return GuestError(failure.message, code=failure.code, hint=failure.hint, details=failure.details)
