"""The vsock carrier, host side: a connection per request, through Firecracker's unix socket (protocol/README.md)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyro_mcp.agent.wire import violation
from pyro_mcp.errors import GuestError
from pyro_mcp.host import sockets

AGENT_PORT = 5005

# The VMM itself gives a guest 2 s to take a connection.
_CONNECT_SECONDS = 10.0


class VsockConnector:
    """Every stream is a connection of its own.

    `doorbell` hears the guest once it can be reached, which is waited for before the first connection, for at most
    `deadline_seconds`; None if it can be reached already. The socket stays the caller's.
    """

    def __init__(self, path: Path, doorbell: socket.socket | None, *, deadline_seconds: float) -> None:
        self._path = path
        self._doorbell = doorbell
        self._deadline = deadline_seconds
        self._waiting = asyncio.Lock()
        self._streams: set[VsockStream] = set()

    async def open(self) -> VsockStream:
        async with self._waiting:
            if self._doorbell is not None:
                await self._wait_for_ring(self._doorbell)
                self._doorbell = None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(sock=await sockets.connect(self._path))
                stream = VsockStream(reader, writer, self._streams.discard)
                try:
                    await stream.dial(AGENT_PORT)
                except BaseException:
                    await stream.end()
                    raise
        except TimeoutError as error:
            raise GuestError(
                f"the guest took no connection within {_CONNECT_SECONDS:g} s", code="guest-silent"
            ) from error
        except OSError as error:
            raise _gone(error) from error
        self._streams.add(stream)
        return stream

    async def close(self) -> None:
        for stream in tuple(self._streams):
            await stream.end()

    async def _wait_for_ring(self, doorbell: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                ring, _ = await asyncio.get_running_loop().sock_accept(doorbell)
        except TimeoutError as error:
            raise GuestError(f"the guest did not answer within {self._deadline:g} s", code="guest-silent") from error
        except OSError as error:
            raise _gone(error) from error
        ring.close()


class VsockStream:
    """One connection. The guest never ends one before the host has: an end that comes from there is a guest's own."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_end: Callable[[VsockStream], None]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_end = on_end

    async def dial(self, port: int) -> None:
        """Have the VMM connect us to the guest's `port`. Raises GuestError."""
        await self.write(f"CONNECT {port}\n".encode())
        try:
            answer = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise GuestError("the guest takes no connections", code="guest-gone") from error
        except asyncio.LimitOverrunError as error:
            raise violation("is behind something that is not its VMM") from error
        if not answer.startswith(b"OK "):
            raise violation("is behind something that is not its VMM")

    async def read(self, limit: int = 65536) -> bytes:
        try:
            data = await self._reader.read(limit)
        except OSError as error:
            raise _gone(error) from error
        if not data:
            raise _gone(None)
        return data

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise _gone(error) from error

    async def close(self) -> None:
        """Nothing to say: the request itself tells where it ends, and half a connection cannot be closed here."""

    def reset(self) -> None:
        self._writer.transport.abort()
        self._on_end(self)

    async def end(self) -> None:
        """Reset, and wait until nothing is left of it."""
        self.reset()
        with suppress(OSError):
            await self._writer.wait_closed()


def _gone(error: OSError | None) -> GuestError:
    why = f": {error.strerror or error}" if error is not None else ""
    return GuestError(f"the connection to the guest is broken{why}", code="guest-gone")
