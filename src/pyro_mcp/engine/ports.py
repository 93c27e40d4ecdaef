"""Ports of guests on this host's loopback: every connection becomes a request to the guest's agent.

Nothing of the host's network is changed for it, and the guest needs none: what a firewall is told makes no difference.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.errors import ConflictError, GuestError, HostError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.service import PublishedPort

HOST = "127.0.0.1"

AT_ONCE = 256
"""So many connections of one guest are carried at a time; the next ones wait, accepted but unanswered.

It is half of what a guest's agent takes at once: the other half is for everything else that is asked of it.
"""
_BACKLOG = 512
_READ_BYTES = 256 << 10
_LAST_WORDS_SECONDS = 10.0
_ANSWERS = (BodyKind.CONNECTED, BodyKind.STDOUT, BodyKind.OUTPUT_EOF)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, with no time to linger: the other side sees a reset

_log = logging.getLogger(__name__)


class Port:
    """One port of this host, bound from the beginning, listening from `serve` on."""

    def __init__(self, port: PublishedPort, slots: asyncio.Semaphore) -> None:
        """`slots` are its guest's, AT_ONCE in all.

        Raises ConflictError `port-taken`, HostError for a port that this user may not have.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Only connections of the past do not count as taken; another listener does.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port.host_port))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise _refusal(port, error) from error
        self.published = PublishedPort(port.guest_port, self._socket.getsockname()[1])
        self._slots = slots
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, machine: Callable[[], Machine | None]) -> None:
        """Carry connections to whatever `machine` returns then."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                async with self._slots:
                    await _carry(machine(), self.published.guest_port, reader, writer)
            except asyncio.CancelledError:
                # By `close` alone. If the task ended with that, the event loop would complain of an error.
                _reset(writer)
            finally:
                self._connections.discard(task)
                writer.transport.abort()

        self._server = await asyncio.start_server(accepted, sock=self._socket, limit=_READ_BYTES, backlog=_BACKLOG)

    def shut(self) -> None:
        """Listen no more; connections go on. Idempotent."""
        if self._server is not None:
            self._server.close()
        self._socket.close()

    async def finish(self) -> None:
        """Listen no more, and let connections end by themselves: what a program has said last is still under way."""
        self.shut()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_LAST_WORDS_SECONDS)

    async def close(self) -> None:
        """Listen no more, and break off every connection. Idempotent."""
        self.shut()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _carry(
    machine: Machine | None, guest_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection, to its end in both directions; a broken one is broken at the other end, too."""
    try:
        if machine is None:
            raise GuestError("the guest is gone", code="guest-gone")
        sent = _pieces(reader)
        async with machine.ask("forward", {"port": guest_port}, sent, answers=_ANSWERS, patience_seconds=None) as work:
            while (frame := await work.frame()) is not None:
                kind, data = frame
                if kind is BodyKind.STDOUT:
                    writer.write(data)
                    await writer.drain()
                elif kind is BodyKind.OUTPUT_EOF:
                    writer.write_eof()
        writer.close()
        await writer.wait_closed()
    except (GuestError, OSError) as error:
        _log.debug("a connection to port %d broke off: %s", guest_port, error)
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Have the other side see a reset: what it has got may not be all."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(_READ_BYTES):
        yield data


def _refusal(port: PublishedPort, error: OSError) -> ConflictError | HostError:
    if error.errno == errno.EADDRINUSE:
        return ConflictError(
            f"port {port.host_port} of {HOST} is taken",
            code="port-taken",
            hint=f"publish another, or let one be chosen: --publish {port.guest_port}",
        )
    return HostError(
        f"port {port.host_port} of {HOST} cannot be listened on: {error.strerror}",
        code="port-unavailable",
        hint="ports below 1024 may need privilege: take a higher one",
    )
