"""The vsock carrier, host side: a connection per request, through Firecracker's unix socket (protocol/README.md)."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from pyro_mcp.agent.unix import Connection, UnixConnector, gone
from pyro_mcp.agent.wire import violation
from pyro_mcp.errors import GuestError

AGENT_PORT = 5005


class VsockConnector(UnixConnector):
    """Every stream is a connection of its own.

    `doorbell` hears the guest once it can be reached, which is waited for before the first connection, for at most
    `deadline_seconds`; None if it can be reached already. The socket stays the caller's. What rang is held to the end:
    a machine that is saved meanwhile and restored elsewhere notices that it broke, and rings there.
    """

    def __init__(self, path: Path, doorbell: socket.socket | None, *, deadline_seconds: float) -> None:
        super().__init__(path)
        self._doorbell = doorbell
        self._deadline = deadline_seconds
        self._waiting = asyncio.Lock()
        self._ring: socket.socket | None = None

    async def open(self) -> Connection:
        async with self._waiting:
            if self._doorbell is not None:
                await self._wait_for_ring(self._doorbell)
                self._doorbell = None
        return await super().open()

    async def dial(self, stream: Connection) -> None:
        """Have the VMM connect us to the guest's port. Raises GuestError."""
        await stream.write(f"CONNECT {AGENT_PORT}\n".encode())
        try:
            answer = await stream.read_line()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise GuestError("the guest takes no connections", code="guest-gone") from error
        except asyncio.LimitOverrunError as error:
            raise violation("is behind something that is not its VMM") from error
        if not answer.startswith(b"OK "):
            raise violation("is behind something that is not its VMM")

    async def _wait_for_ring(self, doorbell: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._deadline):
                self._ring, _ = await asyncio.get_running_loop().sock_accept(doorbell)
        except TimeoutError as error:
            raise GuestError(f"the guest did not answer within {self._deadline:g} s", code="guest-silent") from error
        except OSError as error:
            raise gone(error) from error

    async def close(self) -> None:
        if self._ring is not None:
            self._ring.close()
        await super().close()
