"""The monitor client and a QEMU that answers, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pyro_mcp.errors import VmmError
from pyro_mcp.vmm.qemu.qmp import QmpClient

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'

Monitor = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def monitor(path: Path, play: Monitor) -> AsyncIterator[None]:
    playing: list[asyncio.Task[None]] = []

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, EOFError):
                await play(reader, writer)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        playing.append(asyncio.ensure_future(session(reader, writer)))

    server = await asyncio.start_unix_server(connected, path)
    try:
        yield
    finally:
        server.close()
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


def answering(*answers: bytes) -> Monitor:
    """Greet, accept the capabilities, then answer each command with the next of `answers` (%d is its id)."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        for answer in (b'{"return": {}, "id": %d}\n', *answers):
            request = json.loads(await reader.readline())
            writer.write(answer.replace(b"%d", str(request["id"]).encode()))
            await writer.drain()
        await reader.read()

    return play


@asynccontextmanager
async def connected_to(play: Monitor, directory: Path) -> AsyncIterator[tuple[QmpClient, list[tuple[str, object]]]]:
    events: list[tuple[str, object]] = []

    def on_event(name: str, data: Mapping[str, object]) -> None:
        events.append((name, data))

    async with monitor(directory / "qmp.sock", play):
        client = await QmpClient.connect(directory / "qmp.sock", on_event, deadline=10)
        try:
            yield client, events
        finally:
            await client.close()


async def test_a_command_returns_what_qemu_answers(tmp_path: Path) -> None:
    async with connected_to(answering(b'{"return": {"status": "running"}, "id": %d}\n'), tmp_path) as (client, _):
        assert await client.execute("query-status") == {"status": "running"}


async def test_events_are_told_apart_from_answers(tmp_path: Path) -> None:
    shutdown = b'{"event": "SHUTDOWN", "data": {"reason": "guest-reset"}}\n{"event": "STOP"}\n{"return": 5, "id": %d}\n'
    async with connected_to(answering(shutdown), tmp_path) as (client, events):
        assert await client.execute("stop") == 5
        assert events == [("SHUTDOWN", {"reason": "guest-reset"}), ("STOP", {})]


async def test_a_refusal_is_an_error_and_the_session_goes_on(tmp_path: Path) -> None:
    refusal = b'{"error": {"class": "GenericError", "desc": "no\\u001b[2J"}, "id": %d}\n'
    async with connected_to(answering(refusal, b'{"return": 1, "id": %d}\n'), tmp_path) as (client, _):
        with pytest.raises(VmmError, match=r"refused a command: no\\x1b"):
            await client.execute("cont")
        assert await client.execute("cont") == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"what?\n", "vmm-protocol"),
        (b"[]\n", "vmm-protocol"),
        (b"[" * 100_000 + b"\n", "vmm-protocol"),
        (b"{}\n", "vmm-protocol"),
        (b'{"return": 1}\n', "vmm-protocol"),
        (b'{"return": 1, "id": "x"}\n', "vmm-protocol"),
        (b'{"error": 7, "id": %d}\n', "vmm-protocol"),
        (b'{"event": 7}\n', "vmm-protocol"),
        (b"x" * (1 << 20), "vmm-protocol"),
        (b"\xff\xfe\n", "vmm-protocol"),
    ],
)
async def test_nonsense_ends_the_session(answer: bytes, code: str, tmp_path: Path) -> None:
    async with connected_to(answering(answer), tmp_path) as (client, _):
        for _ in range(2):
            with pytest.raises(VmmError) as raised:
                await client.execute("query-status")
            assert raised.value.code == code


async def test_the_answer_to_another_question_is_not_taken(tmp_path: Path) -> None:
    answers = b'{"return": "wrong", "id": 4711}\n{"return": "right", "id": %d}\n'
    async with connected_to(answering(answers), tmp_path) as (client, _):
        assert await client.execute("query-status") == "right"


async def test_a_qemu_that_never_greets_is_given_up(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"{")
        await reader.read()

    async with monitor(tmp_path / "qmp.sock", silent):
        with pytest.raises(VmmError) as raised:
            await QmpClient.connect(tmp_path / "qmp.sock", lambda _name, _data: None, deadline=0.1)
    assert raised.value.code == "vmm-silent"


async def test_a_qemu_that_ends_is_noticed_by_who_waits(tmp_path: Path) -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(GREETING)

    async with monitor(tmp_path / "qmp.sock", ends):
        with pytest.raises(VmmError) as raised:
            await QmpClient.connect(tmp_path / "qmp.sock", lambda _name, _data: None, deadline=10)
    assert raised.value.code == "vmm-gone"


async def test_nobody_behind_the_socket_is_a_qemu_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(VmmError) as raised:
        await QmpClient.connect(tmp_path / "qmp.sock", lambda _name, _data: None, deadline=10)
    assert raised.value.code == "vmm-gone"
