"""Requests to Firecracker's API, against a socket that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyro_mcp.errors import VmmError
from pyro_mcp.vmm.firecracker import api

NO_CONTENT = b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n"


def answering(body: bytes, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} \r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def firecracker(directory: Path, answer: bytes) -> AsyncIterator[tuple[Path, list[bytes]]]:
    """A socket that takes one request per connection and gives that answer."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split()[0])
        requests.append(head + await reader.readexactly(length))
        writer.write(answer)
        writer.close()

    path = directory / "api.sock"
    async with await asyncio.start_unix_server(serve, path):
        yield path, requests


async def test_a_request_is_put_and_its_emptiness_understood(tmp_path: Path) -> None:
    async with firecracker(tmp_path, NO_CONTENT) as (path, requests):
        assert await api.send(path, api.DRIVE(drive_id="disk0", is_read_only=True)) == {}
    (request,) = requests
    assert request.startswith(b"PUT /drives/disk0 HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"drive_id": "disk0", "is_read_only": true}')


async def test_an_answer_is_its_object(tmp_path: Path) -> None:
    async with firecracker(tmp_path, answering(b'{"state": "Paused"}')) as (path, requests):
        assert await api.send(path, api.DESCRIBE) == {"state": "Paused"}
    assert requests[0].startswith(b"GET / HTTP/1.1\r\n")


async def test_a_refusal_says_why_and_is_safe_to_print(tmp_path: Path) -> None:
    async with firecracker(tmp_path, answering(b'{"fault_message": "no \\u001b[2J"}', 400)) as (path, _):
        with pytest.raises(VmmError, match=r"refused /actions: no \\x1b\[2J"):
            await api.send(path, api.START)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        answering(b"[]"),
        answering(b"{"),
        b"HTTP/1.1 200 \r\nContent-Length: 10\r\n\r\n{",
        answering(b"x" * 70_000),
        b"HTTP/1.1 200 \r\n" + b"x: " + b"y" * 70_000,
    ],
)
async def test_what_is_no_answer_is_refused(answer: bytes, tmp_path: Path) -> None:
    async with firecracker(tmp_path, answer) as (path, _):
        with pytest.raises(VmmError) as raised:
            await api.send(path, api.DESCRIBE)
    assert raised.value.code in ("vmm-protocol", "vmm-gone")


async def test_a_firecracker_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(VmmError) as raised:
        await api.send(tmp_path / "none.sock", api.PAUSE)
    assert raised.value.code == "vmm-gone"
