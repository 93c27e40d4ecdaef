"""Unix sockets by path, of any path length: `sun_path` holds 107 bytes, a state directory may be deeper than that."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from pyro_mcp.host.paths import short_path


def listen(path: Path, backlog: int = 1) -> socket.socket:
    """A listening socket at `path`, which must not exist. The caller owns socket and path. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as address:
            listener.bind(address)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


async def connect(path: Path) -> socket.socket:
    """A non-blocking socket connected to the listener at `path`. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with short_path(path) as address:
            await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection
