"""What a guest may do to its host: nothing but fail, soon, and with an error that says so."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyro_mcp.agent.channel import SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.deadlines import Deadlines
from pyro_mcp.errors import GuestError
from tests.harness.fake_guest import (
    DATA,
    EXIT,
    FIN,
    HELLO,
    HTTP_STREAMING,
    OPEN,
    RESET,
    START,
    STARTED,
    STDOUT,
    WELCOME,
    WINDOW,
    Port,
    Script,
    body_frame,
    fake_guest,
    frame,
    http_answer,
)

MIB = 1 << 20
MEMORY_BOUND = 12 * MIB

# A guest that must be given up at a deadline is given little time; others must fail long before one.
BRIEF, LONG = 0.15, 20.0


def deadlines(seconds: float) -> Deadlines:
    return Deadlines(seconds, seconds, seconds, seconds, seconds, seconds)


async def do_exec(agent: GuestAgent) -> None:
    async with agent.exec(["true"], env={}, cwd="/", timeout_ms=10) as events:
        async for _ in events:
            pass


async def do_exec_with_stdin(agent: GuestAgent) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    async with agent.exec(["cat"], env={}, cwd="/", timeout_ms=10, stdin=endless()) as events:
        async for _ in events:
            pass


OPERATIONS: dict[str, Callable[[GuestAgent], Awaitable[object]]] = {
    "hello": lambda agent: agent.hello(),
    "identity": lambda agent: agent.identity(hostname="h", machine_id="0" * 32, entropy=bytes(32), clock_ns=1),
    "mount": lambda agent: agent.mount(base="/dev/vda", scratch="/dev/vdb", environment={}),
    "poweroff": lambda agent: agent.poweroff(),
    "exec": do_exec,
    "exec-stdin": do_exec_with_stdin,
}


# Before and during the handshake.


async def says_nothing(port: Port) -> None:
    await port.drain()


async def hangs_up_at_once(port: Port) -> None:
    port.hang_up()


async def sends_stale_bytes_for_ever(port: Port) -> None:
    while True:
        await port.raw(frame(99, 1, DATA, bytes(32768)))


async def welcomes_another(port: Port) -> None:
    await port.send(0, WELCOME, bytes(len(await port.hello())))


async def welcomes_with_a_wrong_checksum(port: Port) -> None:
    right = frame(port.session, 0, WELCOME, await port.hello())
    await port.raw(right[:31] + bytes([right[31] ^ 1]) + right[32:])


async def welcomes_half(port: Port) -> None:
    nonce = await port.hello()
    await port.raw(frame(port.session, 0, WELCOME, nonce)[:40])
    port.hang_up()


async def speaks_before_it_is_asked(port: Port) -> None:
    nonce = await port.hello()
    await port.raw(frame(port.session, 0, WELCOME, nonce) + frame(port.session, 1, DATA, b"x"))


async def drips_before_the_welcome(port: Port) -> None:
    await port.hello()
    await port.drip(bytes(100_000))


# In answer to a request: below HTTP.


def instead_of_an_answer(*frames: tuple[int, int, bytes]) -> Script:
    """Send these (stream offset, kind, payload); offset 0 is the request's own stream."""

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        for offset, kind, payload in frames:
            await port.send(stream + offset, kind, payload)

    return script


def raw_instead_of_an_answer(make: Callable[[int, int], bytes]) -> Script:
    """Send the bytes that `make` gives for the session and stream."""

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        await port.raw(make(port.session, stream))

    return script


async def hangs_up_when_asked(port: Port) -> None:
    await port.welcome()
    await port.request()
    port.hang_up()


async def drips_a_frame(port: Port) -> None:
    await port.welcome()
    await port.drip(frame(port.session, await port.request(), DATA, bytes(32000)))


async def floods_a_stream_that_is_over(port: Port) -> None:
    await port.welcome()
    stream = await port.request()
    await port.send(stream, RESET)
    while True:
        await port.send(stream, DATA, bytes(32768))


# In answer to a request: HTTP.


def answers(*parts: bytes, then: int | None = FIN) -> Script:
    """Send these bytes as the answer, then the frame `then`."""

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        for part in parts:
            for at in range(0, len(part), 32768):
                await port.send(stream, DATA, part[at : at + 32768])
        if then is not None:
            await port.send(stream, then)

    return script


def answers_for_ever(head: bytes, part: bytes) -> Script:
    """Send `head`, then `part` again and again, as fast as the host takes it."""

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        await port.send(stream, DATA, head)
        credit = 262_144 - len(head)
        while True:
            while credit < len(part):
                credit += int.from_bytes((await port.until(WINDOW)).payload, "big")
            await port.send(stream, DATA, part)
            credit -= len(part)

    return script


async def drips_an_answer(port: Port) -> None:
    await port.welcome()
    stream = await port.request()
    for byte in HTTP_STREAMING + bytes(1000):
        await port.drip(frame(port.session, stream, DATA, bytes([byte])))


ABUSES: dict[str, tuple[Script, str]] = {
    "says nothing": (says_nothing, "guest-silent"),
    "hangs up at once": (hangs_up_at_once, "guest-gone"),
    "stale bytes for ever": (sends_stale_bytes_for_ever, "guest-silent"),
    "welcomes another": (welcomes_another, "guest-silent"),
    "welcomes with a wrong checksum": (welcomes_with_a_wrong_checksum, "guest-silent"),
    "half a welcome": (welcomes_half, "guest-gone"),
    "speaks before it is asked": (speaks_before_it_is_asked, "guest-protocol"),
    "drips before the welcome": (drips_before_the_welcome, "guest-silent"),
    "never answers": (instead_of_an_answer(), "guest-silent"),
    "hangs up when asked": (hangs_up_when_asked, "guest-gone"),
    "drips a frame": (drips_a_frame, "guest-silent"),
    "floods a stream that is over": (floods_a_stream_that_is_over, "guest-reset"),
    "reset": (instead_of_an_answer((0, RESET, b"")), "guest-reset"),
    "a stream never opened": (instead_of_an_answer((1, DATA, b"x")), "guest-protocol"),
    "stream 0": (instead_of_an_answer((-1, DATA, b"x")), "guest-protocol"),
    "a hello": (instead_of_an_answer((0, HELLO, bytes(16))), "guest-protocol"),
    "an open": (instead_of_an_answer((0, OPEN, b"")), "guest-protocol"),
    "a kind that is none": (instead_of_an_answer((0, 99, b"")), "guest-protocol"),
    "empty data": (instead_of_an_answer((0, DATA, b"")), "guest-protocol"),
    "data after its end": (instead_of_an_answer((0, FIN, b""), (0, DATA, b"x")), "guest-protocol"),
    "a short window": (instead_of_an_answer((0, WINDOW, b"\1")), "guest-protocol"),
    "another session": (raw_instead_of_an_answer(lambda s, n: frame(s + 1, n, DATA, b"x")), "guest-protocol"),
    "a reserved byte": (raw_instead_of_an_answer(lambda s, n: frame(s, n, DATA, b"x", reserved=1)), "guest-protocol"),
    "a wrong checksum": (
        raw_instead_of_an_answer(lambda s, n: frame(s, n, DATA, b"x")[:28] + bytes(4) + b"x"),
        "guest-protocol",
    ),
    "a giant frame": (
        raw_instead_of_an_answer(lambda s, n: frame(s, n, DATA)[:24] + b"\xff" * 4 + bytes(4)),
        "guest-protocol",
    ),
    "noise": (raw_instead_of_an_answer(lambda _session, _stream: bytes(range(256)) * 4), "guest-protocol"),
    "no HTTP": (answers(b"what?\r\n\r\n"), "guest-protocol"),
    "an end instead of an answer": (answers(), "guest-protocol"),
    "endless headers": (answers_for_ever(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1000), "guest-protocol"),
    "an endless status line": (answers_for_ever(b"HTTP/1.1 200 ", b"O" * 4096), "guest-protocol"),
    "100 for ever": (answers_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "guest-protocol"),
    "a giant chunk size": (
        answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40),
        "guest-protocol",
    ),
    "half a body": (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12"), "guest-protocol"),
    "half a body, then nothing": (
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\x11\0", then=None),
        "guest-silent",
    ),
    "an answer byte by byte": (drips_an_answer, "guest-silent"),
    "a redirect": (answers(http_answer(b'{"code":"moved","error":"x"}', status=302)), "guest-protocol"),
    "an error without JSON": (answers(http_answer(b"<html>", status=500)), "guest-protocol"),
    "an error with a false code": (
        answers(http_answer(b'{"code":"\\u001b[2J","error":"x"}', status=500)),
        "guest-protocol",
    ),
    "an error that is a list": (answers(http_answer(b"[]", status=400)), "guest-protocol"),
    "an endless error": (answers_for_ever(b"HTTP/1.1 500 Oops\r\n\r\n", bytes(32768)), "guest-protocol"),
}

ANSWERS_THAT_ARE_NO_OBJECT: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[1]",
    "a number": b"1",
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half an object": b'{"a": ',
    "not a number": b'{"uptime_ms": NaN}',
    "a depth bomb": b"[" * 200_000,
    "a giant number": b'{"generation": ' + b"9" * 100_000 + b"}",
    "more than 1 MiB": b" " * (MIB + 1),
}

HELLO_ANSWER = {"generation": 1, "version": "4", "boot_id": "b", "uptime_ms": 5, "state": "booted"}
STARTED_FRAME = body_frame(STARTED, b'{"pid": 7}')
EXIT_ANSWER = {"exit_code": 0, "signal": 0, "timed_out": False, "duration_ms": 1, "error": ""}


def exit_frame(**changes: object) -> bytes:
    return body_frame(EXIT, json.dumps(EXIT_ANSWER | changes).encode())


def without(answer: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in answer.items() if key != name}


EXEC_ABUSES: dict[str, tuple[Script, str]] = {
    name: (answers(HTTP_STREAMING, *frames), "guest-protocol")
    for name, frames in {
        "no frames": [],
        "an unknown frame": [body_frame(99)],
        "a frame of the host's": [body_frame(START, b"{}")],
        "a giant frame": [b"\x11\xff\xff\xff\xff"],
        "a frame just too large": [b"\x11\x00\x10\x00\x01"],
        "no end": [STARTED_FRAME, body_frame(STDOUT, b"x")],
        "half an end": [STARTED_FRAME, exit_frame()[:-3]],
        "two starts": [STARTED_FRAME, STARTED_FRAME, exit_frame()],
        "two ends": [STARTED_FRAME, exit_frame(), exit_frame()],
        "output after the end": [STARTED_FRAME, exit_frame(), body_frame(STDOUT, b"x")],
        "half a frame after the end": [STARTED_FRAME, exit_frame(), b"\x11"],
        "success without a start": [exit_frame()],
        "a start that is no JSON": [body_frame(STARTED, b"7"), exit_frame()],
        "a pid that is none": [body_frame(STARTED, b'{"pid": -1}'), exit_frame()],
        "an end that is no JSON": [STARTED_FRAME, body_frame(EXIT, b"")],
        "exit code -1": [STARTED_FRAME, exit_frame(exit_code=-1)],
        "exit code 256": [STARTED_FRAME, exit_frame(exit_code=256)],
        "exit code 2^31": [STARTED_FRAME, exit_frame(exit_code=2**31)],
        "exit code as text": [STARTED_FRAME, exit_frame(exit_code="0")],
        "exit code true": [STARTED_FRAME, exit_frame(exit_code=True)],
        "exit code 0.0": [STARTED_FRAME, exit_frame(exit_code=0.0)],
        "exit code null": [STARTED_FRAME, exit_frame(exit_code=None)],
        "exit code NaN": [STARTED_FRAME, exit_frame(exit_code=float("nan"))],
        "no exit code": [STARTED_FRAME, body_frame(EXIT, json.dumps(without(EXIT_ANSWER, "exit_code")).encode())],
        "a signal with status 0": [STARTED_FRAME, exit_frame(signal=9)],
        "a signal that is none": [STARTED_FRAME, exit_frame(signal=200)],
        "a timeout with status 0": [STARTED_FRAME, exit_frame(timed_out=True)],
        "timed out, perhaps": [STARTED_FRAME, exit_frame(timed_out=0)],
        "a negative duration": [STARTED_FRAME, exit_frame(duration_ms=-1)],
        "an error that is no text": [STARTED_FRAME, exit_frame(error=[])],
    }.items()
} | {
    "no end of the answer": (answers(HTTP_STREAMING, STARTED_FRAME, exit_frame(), then=None), "guest-silent"),
    "a reset after the end": (answers(HTTP_STREAMING, STARTED_FRAME, exit_frame(), then=RESET), "guest-reset"),
    "silence after the start": (answers(HTTP_STREAMING, STARTED_FRAME, then=None), "guest-silent"),
    "output for ever": (
        answers_for_ever(HTTP_STREAMING + STARTED_FRAME, body_frame(STDOUT, b"y" * 999)),
        "guest-silent",
    ),
    "tiny frames for ever": (
        answers_for_ever(HTTP_STREAMING + STARTED_FRAME, body_frame(STDOUT) * 999),
        "guest-silent",
    ),
}

HELLO_ABUSES = {
    "an older generation": (HELLO_ANSWER | {"generation": 0}, "guest-generation"),
    "a newer generation": ({"generation": 2}, "guest-generation"),
    "a generation of text": (HELLO_ANSWER | {"generation": "1"}, "guest-protocol"),
    "no generation": (without(HELLO_ANSWER, "generation"), "guest-protocol"),
    "a version that is no text": (HELLO_ANSWER | {"version": 4}, "guest-protocol"),
    "an uptime before the boot": (HELLO_ANSWER | {"uptime_ms": -1}, "guest-protocol"),
    "a state that is none": (HELLO_ANSWER | {"state": "root"}, "guest-protocol"),
}


@asynccontextmanager
async def agent_of(script: Script, directory: Path, seconds: float) -> AsyncIterator[GuestAgent]:
    async with fake_guest(directory / "agent.sock", script):
        agent = GuestAgent(SerialConnector(directory / "agent.sock", deadline_seconds=seconds), deadlines(seconds))
        try:
            yield agent
        finally:
            await agent.close()


async def fails(
    script: Script, operation: Callable[[GuestAgent], Awaitable[object]], code: str, at: Path
) -> GuestError:
    """Let `operation` meet a guest that plays `script`: it must fail with `code`, in time, in bounded memory."""
    seconds = BRIEF if code == "guest-silent" else LONG
    async with agent_of(script, at, seconds) as agent:
        tracemalloc.start()
        started = time.monotonic()
        try:
            with pytest.raises(GuestError) as raised:
                await operation(agent)
            assert tracemalloc.get_traced_memory()[1] < MEMORY_BOUND
        finally:
            tracemalloc.stop()
    assert raised.value.code == code, raised.value
    # Several deadlines may follow each other: to connect, to be answered, to end.
    assert time.monotonic() - started < (LONG / 2 if code != "guest-silent" else 5)
    return raised.value


@pytest.mark.parametrize("abuse", ABUSES)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_operation_survives_every_abuse(abuse: str, operation: str, tmp_path: Path) -> None:
    script, code = ABUSES[abuse]
    await fails(script, OPERATIONS[operation], code, tmp_path)


@pytest.mark.parametrize("abuse", EXEC_ABUSES)
@pytest.mark.parametrize("operation", ["exec", "exec-stdin"])
async def test_no_abuse_passes_for_the_end_of_a_command(abuse: str, operation: str, tmp_path: Path) -> None:
    script, code = EXEC_ABUSES[abuse]
    await fails(script, OPERATIONS[operation], code, tmp_path)


@pytest.mark.parametrize("answer", ANSWERS_THAT_ARE_NO_OBJECT)
@pytest.mark.parametrize("operation", ["hello", "identity", "mount", "poweroff"])
async def test_an_answer_must_be_an_object(answer: str, operation: str, tmp_path: Path) -> None:
    script = answers_in_credit(http_answer(ANSWERS_THAT_ARE_NO_OBJECT[answer]))
    await fails(script, OPERATIONS[operation], "guest-protocol", tmp_path)


@pytest.mark.parametrize("abuse", HELLO_ABUSES)
async def test_a_guest_that_does_not_fit_is_refused(abuse: str, tmp_path: Path) -> None:
    answer, code = HELLO_ABUSES[abuse]
    await fails(answers(http_answer(json.dumps(answer).encode())), OPERATIONS["hello"], code, tmp_path)


@pytest.mark.parametrize("clock_ns", [0, -1, 10**18, "1", None])
async def test_a_clock_that_was_not_set_is_noticed(clock_ns: object, tmp_path: Path) -> None:
    script = answers(http_answer(json.dumps({"clock_ns": clock_ns}).encode()))
    await fails(script, OPERATIONS["identity"], "guest-protocol", tmp_path)


@pytest.mark.parametrize("operation", ["mount", "poweroff"])
async def test_a_state_that_was_not_asked_for_is_noticed(operation: str, tmp_path: Path) -> None:
    await fails(answers(http_answer(b'{"state": "booted"}')), OPERATIONS[operation], "guest-protocol", tmp_path)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_the_guests_own_words_cannot_reach_a_terminal(operation: str, tmp_path: Path) -> None:
    words = "\x1b]0;owned\x07\r\n\u202e" + "x" * 100_000
    body = json.dumps({"code": "mount-failed", "error": words}).encode()
    error = await fails(answers(http_answer(body, status=500)), OPERATIONS[operation], "guest-refused", tmp_path)
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert error.details == {"guest_code": "mount-failed", "status": 500}


async def test_a_broken_guest_fails_all_streams_at_once(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        await port.request()
        await port.request()
        await port.raw(bytes(32))

    async with agent_of(script, tmp_path, LONG) as agent:
        async with agent.exec(["a"], env={}, cwd="/", timeout_ms=0) as first:
            with pytest.raises(GuestError, match="not a frame"):
                await agent.hello()
            with pytest.raises(GuestError, match="not a frame"):
                await anext(first)
        with pytest.raises(GuestError, match="not a frame"):
            await agent.hello()


async def test_a_guest_may_not_overstep_its_credit(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        stream = (await port.until(OPEN)).stream
        for _ in range(8):
            await port.send(stream, DATA, bytes(32768))
        await port.send(stream, DATA, b"x")

    connector = SerialConnector(tmp_path / "agent.sock", deadline_seconds=LONG)
    async with fake_guest(tmp_path / "agent.sock", script):
        stream = await connector.open()
        with pytest.raises(GuestError, match="no right to send"):
            # It waits for credit, which it will not get; nobody reads meanwhile.
            await asyncio.wait_for(stream.write(bytes(MIB)), LONG)
        await connector.close()


async def test_an_end_without_timeout_must_still_be_an_end(tmp_path: Path) -> None:
    script = answers(HTTP_STREAMING, STARTED_FRAME, exit_frame(), then=None)

    async def without_timeout(agent: GuestAgent) -> None:
        async with agent.exec(["x"], env={}, cwd="/", timeout_ms=0) as events:
            async for _ in events:
                pass

    await fails(script, without_timeout, "guest-silent", tmp_path)


def answers_in_credit(answer: bytes) -> Script:
    """An answer of any size, sent as fast as the host takes it."""

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        credit = 262_144
        for at in range(0, len(answer), 32768):
            part = answer[at : at + 32768]
            while credit < len(part):
                credit += int.from_bytes((await port.until(WINDOW)).payload, "big")
            await port.send(stream, DATA, part)
            credit -= len(part)
        await port.send(stream, FIN)

    return script
