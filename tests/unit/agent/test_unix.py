"""Connections to the socket of an agent that runs on the host itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pyro_mcp.agent.unix import UnixConnector
from pyro_mcp.errors import GuestError
from tests.unit.agent.test_vsock import vmm


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)


async def test_nothing_is_said_before_the_request(tmp_path: Path) -> None:
    async with vmm(tmp_path, echo) as path:
        agent = UnixConnector(path)
        one, two = await agent.open(), await agent.open()
        await one.write(b"one")
        await two.write(b"two")
        assert (await one.read(), await two.read()) == (b"one", b"two")
        await agent.close()
        with pytest.raises(GuestError, match="broken"):
            await one.read()


async def test_an_agent_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(GuestError) as raised:
        await UnixConnector(tmp_path / "none").open()
    assert raised.value.code == "guest-gone"
