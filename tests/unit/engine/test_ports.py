"""Ports of this host that are published."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

from pyro_mcp.engine.ports import HOST, Port
from pyro_mcp.model.service import PublishedPort
from tests.harness.installation import DEADLINE


async def test_many_can_knock_before_the_first_is_let_in() -> None:
    port = Port(PublishedPort(80), asyncio.Semaphore(1))
    await port.serve(lambda: None)
    with ExitStack() as connections:
        for _ in range(300):  # the loop, which would let them in, stands still meanwhile
            connection = socket.create_connection((HOST, port.published.host_port), timeout=DEADLINE)
            connections.callback(connection.close)
    await port.close()
