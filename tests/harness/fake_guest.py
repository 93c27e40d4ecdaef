"""A guest without a machine: it listens where a VMM would and plays whatever script a test gives it.

A script drives one connection through a `Port`. It may keep to the protocol or break it; when it returns, the
connection stays open and silent, which is one more thing that a guest may do.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\xffPYROMX\x01"
HELLO, WELCOME, OPEN, DATA, WINDOW, FIN, RESET = range(1, 8)
START, STDIN, STDIN_EOF, STARTED, STDOUT, STDERR, EXIT = 1, 2, 3, 16, 17, 18, 19

_ZEROES = bytes(32_800)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the host."""

    stream: int
    kind: int
    payload: bytes


class Port:
    """The guest's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.session = 0
        self.received: list[Frame] = []

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send(self, stream: int, kind: int, payload: bytes = b"") -> None:
        await self.raw(frame(self.session, stream, kind, payload))

    async def hello(self) -> bytes:
        """Take the zeros and the HELLO; the nonce in it."""
        assert await self._reader.readexactly(len(_ZEROES)) == _ZEROES
        hello = await self.receive()
        assert (hello.stream, hello.kind) == (0, HELLO)
        return hello.payload

    async def welcome(self) -> None:
        """Answer the HELLO as it should be."""
        await self.send(0, WELCOME, await self.hello())

    async def receive(self) -> Frame:
        """The host's next frame, which must be right in every respect."""
        header = await self._reader.readexactly(32)
        magic, session, stream, kind, length, crc = struct.unpack(">8sQIB3xII", header)
        payload = await self._reader.readexactly(length)
        assert magic == MAGIC
        assert crc == zlib.crc32(header[8:28] + payload)
        assert session == (self.session or session) != 0
        self.session = session
        self.received.append(Frame(stream, kind, payload))
        return self.received[-1]

    async def request(self) -> int:
        """Wait for a request's head; its stream."""
        head = b""
        while b"\r\n\r\n" not in head:
            received = await self.receive()
            if received.kind == DATA:
                head += received.payload
        return received.stream

    async def until(self, kind: int) -> Frame:
        """Take frames up to the next one of that kind."""
        while (received := await self.receive()).kind != kind:
            pass
        return received

    async def drip(self, data: bytes) -> None:
        """Send a byte every few milliseconds."""
        never = asyncio.Event()
        for byte in data:
            await self.raw(bytes([byte]))
            with suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.005)

    def hang_up(self) -> None:
        self._writer.close()

    async def drain(self) -> None:
        """Read on and answer nothing, until the host hangs up."""
        while await self._reader.read(65536):
            pass


Script = Callable[[Port], Awaitable[None]]


@asynccontextmanager
async def fake_guest(path: Path, script: Script) -> AsyncIterator[list[Port]]:
    """Play `script` to every client at `path`; gives the ports so far. What a script asserts is raised at the end."""
    ports: list[Port] = []
    playing: list[asyncio.Task[None]] = []

    async def play(port: Port) -> None:
        with suppress(OSError, EOFError):
            await script(port)
            await port.drain()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(Port(reader, writer))
        playing.append(asyncio.ensure_future(play(ports[-1])))

    server = await asyncio.start_unix_server(connected, path)
    try:
        yield ports
    finally:
        server.close()
        for task in playing:
            task.cancel()
        outcomes = await asyncio.gather(*playing, return_exceptions=True)
        for port in ports:
            port.hang_up()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def frame(session: int, stream: int, kind: int, payload: bytes = b"", *, reserved: int = 0) -> bytes:
    """A frame with a right checksum, whatever else is wrong with it."""
    checked = struct.pack(">QIBBHI", session, stream, kind, reserved, 0, len(payload))
    return MAGIC + checked + struct.pack(">I", zlib.crc32(checked)) + payload


def body_frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BI", kind, len(payload)) + payload


def http_answer(body: bytes, *, status: int = 200) -> bytes:
    """A whole answer, as the guest's server writes it."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)


HTTP_STREAMING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
"""The head of an answer that lasts until the stream ends."""
