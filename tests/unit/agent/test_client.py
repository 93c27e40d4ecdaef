"""The agent's client and a guest that keeps to the protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.agent.channel import SerialConnector
from pyro_mcp.agent.client import ExecEvent, Exited, GuestAgent, GuestState, Hello, Output, OutputStream, Started
from pyro_mcp.agent.deadlines import Deadlines
from pyro_mcp.errors import GuestError, UsageError
from tests.harness.fake_guest import (
    DATA,
    EXIT,
    FIN,
    HTTP_STREAMING,
    RESET,
    START,
    STARTED,
    STDERR,
    STDIN,
    STDIN_EOF,
    STDOUT,
    WINDOW,
    Port,
    Script,
    body_frame,
    fake_guest,
    frame,
    http_answer,
)

STARTED_FRAME = body_frame(STARTED, b'{"pid": 7}')
EXITED = Exited(exit_code=0, signal=0, timed_out=False, duration_ms=3, error="")
EXIT_FRAME = body_frame(
    EXIT, b'{"exit_code": 0, "signal": 0, "timed_out": false, "duration_ms": 3, "error": "", "news": [1]}'
)
HELLO_ANSWER = http_answer(b'{"generation": 1, "version": "4.0.0", "boot_id": "x", "uptime_ms": 9, "state": "booted"}')


@asynccontextmanager
async def agent_of(script: Script, directory: Path, deadlines: Deadlines | None = None) -> AsyncIterator[GuestAgent]:
    async with fake_guest(directory / "agent.sock", script):
        agent = GuestAgent(SerialConnector(directory / "agent.sock", deadline_seconds=10), deadlines or Deadlines())
        try:
            yield agent
        finally:
            await agent.close()


def says(answer: bytes) -> Script:
    async def script(port: Port) -> None:
        await port.welcome()
        while True:
            stream = await port.request()
            await port.send(stream, DATA, answer)
            await port.send(stream, FIN)

    return script


async def events_of(
    agent: GuestAgent, *, timeout_ms: int = 0, stdin: AsyncIterator[bytes] | None = None
) -> list[ExecEvent]:
    async with agent.exec(["x"], env={}, cwd="/", timeout_ms=timeout_ms, stdin=stdin) as events:
        return [event async for event in events]


def requested(port: Port) -> bytes:
    """Everything the host has said on its streams."""
    return b"".join(received.payload for received in port.received if received.kind == DATA)


async def test_hello_skips_what_is_left_of_older_clients(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        nonce = await port.hello()
        for stale in (bytes(5000), frame(99, 1, DATA, bytes(30_000)), frame(99, 0, 2, nonce), b"\xffPYROMX\x01" * 9):
            await port.raw(stale * 20)
        await port.raw(frame(99, 1, DATA, bytes(500))[:77])
        await port.send(0, 2, nonce)
        stream = await port.request()
        await port.send(stream, DATA, HELLO_ANSWER)

    async with agent_of(script, tmp_path) as agent:
        assert await agent.hello() == Hello("4.0.0", "x", 9, GuestState.BOOTED)


async def test_requests_share_one_connection_with_a_stream_each(tmp_path: Path) -> None:
    async with fake_guest(tmp_path / "agent.sock", says(HELLO_ANSWER)) as ports:
        agent = GuestAgent(SerialConnector(tmp_path / "agent.sock", deadline_seconds=10))
        await asyncio.gather(*(agent.hello() for _ in range(20)))
        await agent.close()
    assert len(ports) == 1
    assert {received.stream for received in ports[0].received} == set(range(21))


async def test_identity_says_what_the_protocol_asks_for(tmp_path: Path) -> None:
    async with fake_guest(tmp_path / "agent.sock", says(http_answer(b'{"clock_ns": 77}'))) as ports:
        agent = GuestAgent(SerialConnector(tmp_path / "agent.sock", deadline_seconds=10))
        identity = agent.identity(hostname="vm", machine_id="ab" * 16, entropy=bytes(range(32)), clock_ns=77)
        assert await identity == 77
        await agent.close()
    head, _, body = requested(ports[0]).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/identity HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n")
    assert json.loads(body) == {
        "hostname": "vm",
        "machine_id": "ab" * 16,
        "entropy": bytes(range(32)).hex(),
        "clock_ns": 77,
    }


async def test_a_command_yields_its_events_in_order(tmp_path: Path) -> None:
    answer = [STARTED_FRAME, body_frame(STDOUT, b"\xff\x00"), body_frame(STDERR, b"e"), EXIT_FRAME]
    async with agent_of(says(HTTP_STREAMING + b"".join(answer)), tmp_path) as agent:
        assert await events_of(agent) == [
            Started(7),
            Output(OutputStream.STDOUT, b"\xff\x00"),
            Output(OutputStream.STDERR, b"e"),
            EXITED,
        ]


async def test_a_command_that_nothing_was_found_for_never_starts(tmp_path: Path) -> None:
    end = {"exit_code": 127, "signal": 0, "timed_out": False, "duration_ms": 0, "error": "x: not found\x1b"}
    answer = HTTP_STREAMING + body_frame(EXIT, json.dumps(end).encode())
    async with agent_of(says(answer), tmp_path) as agent:
        assert await events_of(agent) == [Exited(127, 0, False, 0, "x: not found\\x1b")]


async def test_stdin_is_sent_in_frames_and_ended(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        while not requested(port).endswith(b"0\r\n\r\n"):
            await port.receive()
        await port.send(stream, DATA, HTTP_STREAMING + STARTED_FRAME + EXIT_FRAME)
        await port.send(stream, FIN)

    async def stdin() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two" * 20_000

    async with fake_guest(tmp_path / "agent.sock", script) as ports:
        agent = GuestAgent(SerialConnector(tmp_path / "agent.sock", deadline_seconds=10))
        async with agent.exec(["ü"], env={"A": "b"}, cwd="/w", timeout_ms=5, stdin=stdin()) as events:
            assert [event async for event in events][-1] == EXITED
        await agent.close()
    start = '{"argv":["ü"],"env":{"A":"b"},"cwd":"/w","timeout_ms":5,"stdin":true}'.encode()
    frames = [
        body_frame(START, start),
        body_frame(STDIN, b"one"),
        body_frame(STDIN, (b"two" * 20_000)[:32768]),
        body_frame(STDIN, (b"two" * 20_000)[32768:]),
        body_frame(STDIN_EOF),
    ]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(sent), sent) for sent in frames)
    assert requested(ports[0]).partition(b"\r\n\r\n")[2] == chunks + b"0\r\n\r\n"


async def test_a_command_without_stdin_is_a_complete_request(tmp_path: Path) -> None:
    async with fake_guest(tmp_path / "agent.sock", says(HTTP_STREAMING + STARTED_FRAME + EXIT_FRAME)) as ports:
        agent = GuestAgent(SerialConnector(tmp_path / "agent.sock", deadline_seconds=10))
        assert (await events_of(agent))[-1] == EXITED
        await agent.close()
    head, _, body = requested(ports[0]).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
    assert not [received for received in ports[0].received if received.kind == RESET]


@pytest.mark.parametrize("events_seen", [0, 1])
async def test_leaving_a_command_early_resets_its_stream(events_seen: int, tmp_path: Path) -> None:
    was_reset = asyncio.Event()

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        await port.send(stream, DATA, HTTP_STREAMING + STARTED_FRAME)
        assert (await port.until(RESET)).stream == stream
        was_reset.set()

    async with agent_of(script, tmp_path) as agent:
        async with agent.exec(["yes"], env={}, cwd="/", timeout_ms=0) as events:
            for _ in range(events_seen):
                await anext(events)
        async with asyncio.timeout(10):
            await was_reset.wait()


async def test_a_cancelled_command_resets_its_stream(tmp_path: Path) -> None:
    started, was_reset = asyncio.Event(), asyncio.Event()

    async def script(port: Port) -> None:
        await port.welcome()
        await port.send(await port.request(), DATA, HTTP_STREAMING + STARTED_FRAME)
        await port.until(RESET)
        was_reset.set()

    async def follow(agent: GuestAgent) -> None:
        async with agent.exec(["yes"], env={}, cwd="/", timeout_ms=0) as events:
            async for _ in events:
                started.set()

    async with agent_of(script, tmp_path) as agent:
        following = asyncio.create_task(follow(agent))
        async with asyncio.timeout(10):
            await started.wait()
            following.cancel()
            await was_reset.wait()
        assert (await asyncio.gather(following, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_failing_source_of_stdin_ends_the_command_and_is_raised(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        await port.send(await port.request(), DATA, HTTP_STREAMING + STARTED_FRAME)
        await port.until(RESET)

    async def stdin() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("the source broke")

    async with agent_of(script, tmp_path) as agent:
        with pytest.raises(ValueError, match="the source broke"):
            await events_of(agent, stdin=stdin())


async def test_a_slow_reader_is_not_taken_for_a_silent_guest(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        await port.send(stream, DATA, HTTP_STREAMING + STARTED_FRAME)
        await go_on.wait()
        await port.send(stream, DATA, EXIT_FRAME)
        await port.send(stream, FIN)

    deadlines = replace(Deadlines(), grace=0.1)
    async with (
        agent_of(script, tmp_path, deadlines) as agent,
        agent.exec(["x"], env={}, cwd="/", timeout_ms=1) as events,
    ):
        assert await anext(events) == Started(7)
        with pytest.raises(TimeoutError):  # the reader is busy with something else for longer than the deadline
            await asyncio.wait_for(asyncio.Event().wait(), 0.3)
        go_on.set()
        assert await anext(events) == EXITED


async def test_output_flows_as_credit_is_given_back(tmp_path: Path) -> None:
    total = 3 << 20

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        body = HTTP_STREAMING + STARTED_FRAME + body_frame(STDOUT, bytes(1 << 20)) * 3 + EXIT_FRAME
        credit = 262_144
        for at in range(0, len(body), 30_000):
            part = body[at : at + 30_000]
            while credit < len(part):
                credit += int.from_bytes((await port.until(WINDOW)).payload, "big")
            await port.send(stream, DATA, part)
            credit -= len(part)
        await port.send(stream, FIN)

    async with agent_of(script, tmp_path) as agent:
        received = await events_of(agent)
    assert sum(len(event.data) for event in received if isinstance(event, Output)) == total
    assert received[-1] == EXITED


async def test_the_host_never_sends_more_than_its_credit(tmp_path: Path) -> None:
    sent: list[int] = []

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        await port.send(stream, DATA, HTTP_STREAMING + STARTED_FRAME)
        while sum(len(received.payload) for received in port.received if received.kind == DATA) < 262_144:
            await port.receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(port.receive(), 0.1)
        sent.append(len(requested(port)))
        await port.send(stream, WINDOW, (10).to_bytes(4, "big"))
        await port.receive()
        sent.append(len(requested(port)))
        await port.send(stream, DATA, EXIT_FRAME)
        await port.send(stream, FIN)

    async def stdin() -> AsyncIterator[bytes]:
        while True:
            yield bytes(50_000)

    async with agent_of(script, tmp_path) as agent:
        assert (await events_of(agent, stdin=stdin()))[-1] == EXITED
    assert sent == [262_144, 262_154]


@pytest.mark.parametrize(
    ("argv", "env"),
    [(["a\udcff"], {}), (["a"], {"A": "\ud800"}), (["a"], {"\udcff": "b"}), (["a" * (1 << 20)], {})],
)
async def test_a_command_that_cannot_be_sent_is_refused_here(
    argv: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    agent = GuestAgent(SerialConnector(tmp_path / "nobody.sock", deadline_seconds=1))
    with pytest.raises(UsageError):
        agent.exec(argv, env=env, cwd="/", timeout_ms=0)


async def test_nobody_behind_the_socket_is_a_guest_that_is_gone(tmp_path: Path) -> None:
    agent = GuestAgent(SerialConnector(tmp_path / "nobody.sock", deadline_seconds=10))
    with pytest.raises(GuestError) as raised:
        await agent.hello()
    assert raised.value.code == "guest-gone"
    await agent.close()


async def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        await port.send(await port.request(), DATA, HTTP_STREAMING + STARTED_FRAME)

    async with agent_of(script, tmp_path) as agent, agent.exec(["x"], env={}, cwd="/", timeout_ms=0) as events:
        assert await anext(events) == Started(7)
        await agent.close()
        with pytest.raises(GuestError) as raised:
            await anext(events)
    assert raised.value.code == "guest-gone"


async def test_at_most_512_requests_are_under_way(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()

    connector = SerialConnector(tmp_path / "agent.sock", deadline_seconds=10)
    async with fake_guest(tmp_path / "agent.sock", script):
        streams = [await connector.open() for _ in range(512)]
        with pytest.raises(GuestError) as raised:
            await connector.open()
        assert raised.value.code == "guest-busy"
        streams[100].reset()
        await connector.open()
        await connector.close()
