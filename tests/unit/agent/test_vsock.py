"""Connections through the VMM's socket, against one that plays the VMM."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pyro_mcp.agent.vsock import VsockConnector
from pyro_mcp.errors import GuestError
from pyro_mcp.host import sockets

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def vmm(directory: Path, serve: Serve) -> AsyncIterator[Path]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await serve(reader, writer)
            writer.close()

    path = directory / "vsock.sock"
    async with await asyncio.start_unix_server(connected, path):
        yield path


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readline() == b"CONNECT 5005\n"
    writer.write(b"OK 1073741824\n")
    while data := await reader.read(1000):
        writer.write(data)


def connector(path: Path, doorbell: socket.socket | None = None, seconds: float = 10) -> VsockConnector:
    return VsockConnector(path, doorbell, deadline_seconds=seconds)


async def test_every_stream_is_a_connection_of_its_own(tmp_path: Path) -> None:
    async with vmm(tmp_path, echo) as path:
        guest = connector(path)
        one, two = await guest.open(), await guest.open()
        await one.write(b"one")
        await two.write(b"two")
        assert (await one.read(), await two.read()) == (b"one", b"two")
        await guest.close()
        with pytest.raises(GuestError, match="broken"):
            await one.read()


async def test_closing_the_connector_wakes_whoever_reads(tmp_path: Path) -> None:
    async with vmm(tmp_path, echo) as path:
        guest = connector(path)
        reading = asyncio.create_task((await guest.open()).read())
        await asyncio.wait({reading}, timeout=0.01)
        await guest.close()
        with pytest.raises(GuestError) as raised:
            await reading
    assert raised.value.code == "guest-gone"


async def test_nothing_is_asked_before_the_guest_has_rung(tmp_path: Path) -> None:
    with sockets.listen(tmp_path / "bell") as doorbell:
        doorbell.setblocking(False)
        async with vmm(tmp_path, echo) as path:
            guest = connector(path, doorbell)
            opening = asyncio.create_task(guest.open())
            assert not (await asyncio.wait({opening}, timeout=0.05))[0]
            (await sockets.connect(tmp_path / "bell")).close()
            await opening
            await guest.open()  # it rings once
            await guest.close()


async def test_a_guest_that_never_rings_is_given_up(tmp_path: Path) -> None:
    with sockets.listen(tmp_path / "bell") as doorbell:
        doorbell.setblocking(False)
        with pytest.raises(GuestError) as raised:
            await connector(tmp_path / "none", doorbell, seconds=0.05).open()
    assert raised.value.code == "guest-silent"


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.readline()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\n")


async def babble_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    for _ in range(100):
        writer.write(b"x" * 10_000)
        await writer.drain()


@pytest.mark.parametrize(
    ("serve", "code"), [(hang_up, "guest-gone"), (babble, "guest-protocol"), (babble_without_end, "guest-protocol")]
)
async def test_a_connection_that_is_none_is_refused(serve: Serve, code: str, tmp_path: Path) -> None:
    async with vmm(tmp_path, serve) as path:
        with pytest.raises(GuestError) as raised:
            await connector(path).open()
    assert raised.value.code == code


async def test_a_vmm_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(GuestError) as raised:
        await connector(tmp_path / "none").open()
    assert raised.value.code == "guest-gone"
