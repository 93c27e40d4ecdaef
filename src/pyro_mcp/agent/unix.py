"""A connection per request, to the agent's own unix socket or through a VMM's (protocol/README.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyro_mcp.errors import GuestError
from pyro_mcp.host import sockets

# A VMM itself gives a guest 2 s to take a connection.
_CONNECT_SECONDS = 10.0


class UnixConnector:
    """Every stream is a connection of its own to the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: set[Connection] = set()

    async def open(self) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(sock=await sockets.connect(self._path))
                stream = Connection(reader, writer, self._streams.discard)
                try:
                    await self.dial(stream)
                except BaseException:
                    await stream.end()
                    raise
        except TimeoutError as error:
            raise GuestError(
                f"the guest took no connection within {_CONNECT_SECONDS:g} s", code="guest-silent"
            ) from error
        except OSError as error:
            raise gone(error) from error
        self._streams.add(stream)
        return stream

    async def close(self) -> None:
        for stream in tuple(self._streams):
            await stream.end()

    async def dial(self, stream: Connection) -> None:
        """What a new connection needs before a request can go over it; nothing where the agent itself listens."""


class Connection:
    """One connection. The guest never ends one before the host has: an end that comes from there is a guest's own."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_end: Callable[[Connection], None]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_end = on_end

    async def read_line(self) -> bytes:
        """Up to the next newline, which is part of it. Raises as `StreamReader.readuntil` does."""
        return await self._reader.readuntil(b"\n")

    async def read(self, limit: int = 65536) -> bytes:
        try:
            data = await self._reader.read(limit)
        except OSError as error:
            raise gone(error) from error
        if not data:
            raise gone(None)
        return data

    async def widen(self) -> None:
        """Nothing to do: the kernel says how far the guest may be ahead."""

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise gone(error) from error

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


def gone(error: OSError | None) -> GuestError:
    why = f": {error.strerror or error}" if error is not None else ""
    return GuestError(f"the connection to the guest is broken{why}", code="guest-gone")
