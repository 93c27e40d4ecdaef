"""Output on its way out of a workspace with secrets."""

from __future__ import annotations

import asyncio

import pytest

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.engine.streams import QUIET_SECONDS, Redacted
from pyro_mcp.model.redaction import Redactor

OUT, ERR = OutputStream.STDOUT, OutputStream.STDERR
SECRET = "correct-horse"


class Receiver:
    """Takes what comes, and tells when something has."""

    def __init__(self) -> None:
        self.got = {OUT: b"", ERR: b""}
        self.times: list[float] = []
        self._something = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, stream: OutputStream, data: bytes) -> None:
        await self.held.wait()
        self.got[stream] += data
        self.times.append(asyncio.get_running_loop().time())
        self._something.set()

    async def something(self) -> None:
        self._something.clear()
        async with asyncio.timeout(5):
            await self._something.wait()


async def test_without_secrets_everything_passes_as_it_comes() -> None:
    receiver = Receiver()
    async with Redacted(Redactor(), receiver) as output:
        await output.add(OUT, b"correct-hor")
        assert receiver.got[OUT] == b"correct-hor"


async def test_each_stream_is_redacted_by_itself() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        await output.add(OUT, b"a correct-")
        await output.add(ERR, b"horse")
        await output.add(OUT, b"horse b")
    assert receiver.got == {OUT: b"a [REDACTED] b", ERR: b"horse"}


async def test_a_few_bytes_are_let_go_after_a_while_and_only_then() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        began = asyncio.get_running_loop().time()
        await output.add(OUT, b"$ co")
        assert receiver.got[OUT] == b"$ "
        await receiver.something()
        assert receiver.got[OUT] == b"$ co"
        assert QUIET_SECONDS * 0.9 <= receiver.times[-1] - began < QUIET_SECONDS * 8
        await output.add(OUT, b"rrect-horse")
        assert receiver.got[OUT] == b"$ co[REDACTED]"


async def test_much_of_a_secret_is_not_let_go_before_the_end() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        await output.add(OUT, b"$ corr")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS * 2):
                await asyncio.Event().wait()
        assert receiver.got[OUT] == b"$ "
    assert receiver.got[OUT] == b"$ corr"


async def test_what_is_being_let_go_arrives_though_more_comes() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        await output.add(OUT, b"co")
        receiver.held.clear()
        with pytest.raises(TimeoutError):  # the quiet bytes are on their way, and their reader is slow
            async with asyncio.timeout(QUIET_SECONDS * 2):
                await asyncio.Event().wait()
        adding = asyncio.create_task(output.add(OUT, b"de"))
        asyncio.get_running_loop().call_soon(receiver.held.set)
        await adding
    assert receiver.got[OUT] == b"code"


async def test_an_error_drops_what_is_held_back() -> None:
    receiver = Receiver()

    async def broken_off() -> None:
        async with Redacted(Redactor([SECRET]), receiver) as output:
            await output.add(OUT, b"a correct")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken_off()
    assert receiver.got[OUT] == b"a "


async def test_neither_side_of_a_gap_shows_a_part_of_a_secret() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        await output.frame(OUT, b"")
        await output.frame(OUT, b"horse. correct-")
        await output.frame(ERR, b"correct")
        await output.frame(OUT, b"")
        await output.frame(OUT, b"rect-horse.")
    assert receiver.got == {OUT: b"[REDACTED]. [REDACTED].", ERR: b"correct"}


async def test_what_a_gap_let_go_is_not_let_go_again() -> None:
    receiver = Receiver()
    async with Redacted(Redactor([SECRET]), receiver) as output:
        await output.add(OUT, b"$ co")
        await output.gap(OUT)
        assert receiver.got[OUT] == b"$ co"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS * 2):
                await asyncio.Event().wait()
    assert receiver.got[OUT] == b"$ co"


async def test_without_secrets_a_gap_is_nothing() -> None:
    receiver = Receiver()
    async with Redacted(Redactor(), receiver) as output:
        await output.frame(OUT, b"")
        assert receiver.times == []
