"""Work on a workspace as its host sees it: a guest that keeps to the protocol, and guests that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.deadlines import Deadlines
from pyro_mcp.errors import GuestError
from tests.harness.fake_guest import (
    DATA,
    EXIT,
    FIN,
    HTTP_STREAMING,
    STDIN,
    STDIN_EOF,
    STDOUT,
    WINDOW,
    Port,
    Script,
    body_frame,
    http_answer,
)
from tests.unit.agent.test_client import agent_of, says

RESULT, FAILED = 20, 21
DONE = body_frame(RESULT, b'{"size": 3}')


def answers(*frames: bytes) -> Script:
    return says(HTTP_STREAMING + b"".join(frames))


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_bytes_come_first_and_then_the_result(tmp_path: Path) -> None:
    script = answers(body_frame(STDOUT, b"one "), body_frame(STDOUT), body_frame(STDOUT, b"two"), DONE)
    async with agent_of(script, tmp_path) as agent, agent.work("read", {"path": "x"}) as work:
        assert [await work.read(), await work.read(), await work.read()] == [b"one ", b"two", b""]
        assert await work.result() == {"size": 3}


async def test_an_answer_may_be_a_mebibyte_ahead_and_no_byte_more(tmp_path: Path) -> None:
    payload = bytes((1 << 20) - len(HTTP_STREAMING) - len(body_frame(STDOUT)))
    ahead = HTTP_STREAMING + body_frame(STDOUT, payload)
    sent = asyncio.Event()

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        assert [frame.payload for frame in port.received if frame.kind == WINDOW] == [(768 << 10).to_bytes(4, "big")]
        for at in range(0, len(ahead), 32_768):
            await port.send(stream, DATA, ahead[at : at + 32_768])
        sent.set()

    async with agent_of(script, tmp_path) as agent, agent.work("read", {"path": "x"}) as work:
        await sent.wait()
        assert await work.read() == payload


async def test_an_answer_further_ahead_ends_the_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        for _ in range(32):
            await port.send(stream, DATA, bytes(32_768))
        await port.send(stream, DATA, b"x")
        await port.drain()  # nobody reads the answer: what ends this is the host hanging up
        gone.set()

    async def ask(agent: GuestAgent) -> None:
        async with agent.work("read", {"path": "x"}) as work:
            await gone.wait()
            await work.read()

    async with agent_of(script, tmp_path) as agent:
        with pytest.raises(GuestError) as broken:
            await ask(agent)
    assert broken.value.code == "guest-protocol"


async def test_parameters_and_bytes_are_sent_as_the_protocol_says(tmp_path: Path) -> None:
    received = bytearray()

    async def script(port: Port) -> None:
        await port.welcome()
        while body_frame(STDIN_EOF) not in received:
            frame = await port.until(DATA)
            received.extend(frame.payload)
        await port.send(stream := frame.stream, DATA, HTTP_STREAMING + DONE)
        await port.send(stream, FIN)

    sent = pieces(b"a" * 70_000, b"", b"b")
    async with agent_of(script, tmp_path) as agent, agent.work("write", {"path": "x"}, sent) as work:
        await work.result()
    assert json.dumps({"path": "x"}).encode() in received
    assert body_frame(STDIN, b"a" * 65_536) in received
    assert body_frame(STDIN, b"b") in received


async def test_what_the_guest_could_not_do_is_told_and_nothing_of_it_obeyed(tmp_path: Path) -> None:
    details = {"path": "a\x1b[31m", "size": 7}
    payload = json.dumps({"code": "not-a-file", "error": "it is\x07 none", "details": details}).encode()
    async with agent_of(answers(body_frame(FAILED, payload)), tmp_path) as agent:
        with pytest.raises(GuestError) as failed:
            async with agent.work("read", {"path": "x"}) as work:
                await work.result()
    assert (failed.value.code, failed.value.details["guest_code"], failed.value.details["size"]) == (
        "work-failed",
        "not-a-file",
        7,
    )
    assert "\x1b" not in str(failed.value.details) + failed.value.message
    assert "\x07" not in failed.value.message


async def test_a_source_that_fails_breaks_the_work_off_and_is_what_is_raised(tmp_path: Path) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield b"some"
        raise OSError("the source is gone")

    async def script(port: Port) -> None:
        await port.welcome()
        await port.request()

    async with agent_of(script, tmp_path) as agent:
        with pytest.raises(OSError, match="the source is gone"):
            async with agent.work("push", {"path": "."}, torn()) as work:
                await work.result()


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (body_frame(STDOUT, b"cut"),),
        (body_frame(RESULT, b"[]"),),
        (body_frame(RESULT, b"{"),),
        (DONE, body_frame(STDOUT, b"more")),
        (DONE, DONE),
        (body_frame(EXIT, b"{}"),),
        (body_frame(FAILED, b'{"code": "Not A Code", "error": "", "details": {}}'),),
        (body_frame(FAILED, b'{"code": "x", "error": "", "details": {"a": [1]}}'),),
        (body_frame(FAILED, b'{"code": "x", "error": "", "details": 3}'),),
        (
            body_frame(
                FAILED,
                json.dumps({"code": "x", "error": "", "details": dict.fromkeys(map(str, range(99)), 1)}).encode(),
            ),
        ),
        (body_frame(RESULT, b"{}")[:-1],),
    ],
)
async def test_nonsense_is_an_error_and_never_a_result(tmp_path: Path, frames: tuple[bytes, ...]) -> None:
    async with agent_of(answers(*frames), tmp_path) as agent:
        with pytest.raises(GuestError) as refused:
            async with agent.work("read", {"path": "x"}) as work:
                await work.result()
    assert refused.value.code == "guest-protocol"


async def test_more_than_was_asked_for_is_not_kept(tmp_path: Path) -> None:
    async with agent_of(answers(*[body_frame(STDOUT, b"x" * 1000)] * 3, DONE), tmp_path) as agent:
        with pytest.raises(GuestError) as refused:
            async with agent.work("read", {"path": "x"}) as work:
                await work.whole(2500)
    assert refused.value.code == "guest-protocol"


async def test_a_silent_guest_is_given_up(tmp_path: Path) -> None:
    async def script(port: Port) -> None:
        await port.welcome()
        await port.request()

    deadlines = replace(Deadlines(), silence=0.2)
    async with agent_of(script, tmp_path, deadlines) as agent:
        with pytest.raises(GuestError) as silent:
            async with agent.work("read", {"path": "x"}) as work:
                await work.result()
    assert silent.value.code == "guest-silent"


async def test_a_refusal_comes_with_its_code(tmp_path: Path) -> None:
    refusal = http_answer(b'{"code": "no-workspace", "error": "there is none"}', status=409)
    async with agent_of(says(refusal), tmp_path) as agent:
        with pytest.raises(GuestError) as refused:
            async with agent.work("read", {"path": "x"}) as work:
                await work.result()
    assert (refused.value.code, refused.value.details["guest_code"]) == ("guest-refused", "no-workspace")
