"""Work in a guest, from START to RESULT (protocol/README.md, sections 5 and 6)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from pyro_mcp.agent.channel import Connector
from pyro_mcp.agent.http import Exchange, exchange
from pyro_mcp.agent.messages import parse_failed, parse_object, refusal
from pyro_mcp.agent.wire import BODY_FRAME_BYTES, BodyDecoder, BodyKind, encode_body, violation
from pyro_mcp.errors import GuestError, UsageError

T = TypeVar("T")

_SENT_BYTES = 65536


class Work:
    """A piece of work under way: the frames of its answer, then its result."""

    def __init__(self, http: Exchange, silence: _Silence, answers: Collection[BodyKind], what: str) -> None:
        self._http = http
        self._answers = answers
        self._what = what
        self._silence = silence
        self._decoder = BodyDecoder()
        self._frames: list[tuple[BodyKind, bytes]] = []
        self._status = 0
        self._result: dict[str, object] | None = None

    async def frame(self) -> tuple[BodyKind, bytes] | None:
        """The next frame; None at the end. Raises GuestError, `work-failed` for what the guest itself could not do."""
        while self._result is None:
            if self._frames:
                kind, payload = self._frames.pop(0)
                if self._accept(kind, payload):
                    return kind, payload
                continue
            if not (data := await self._silence.bound(self._body())):
                raise violation("ended its answer before the work's end")
            self._frames = list(self._decoder.feed(data))
        return None

    async def read(self) -> bytes:
        """The next bytes of whichever stream; empty at the end. Raises as `frame` does."""
        while (frame := await self.frame()) is not None:
            if frame[1]:
                return frame[1]
        return b""

    async def whole(self, limit: int) -> bytes:
        """All the bytes. Raises GuestError for more than `limit`."""
        kept = bytearray()
        while data := await self.read():
            kept += data
            if len(kept) > limit:
                raise violation(f"sent more than {limit} bytes where so many were not asked for")
        return bytes(kept)

    async def result(self) -> dict[str, object]:
        """What the guest says in the end; bytes that were not read are passed over."""
        while await self.read():
            pass
        assert self._result is not None, "there is nothing more to read once there is a result"
        return self._result

    async def _body(self) -> bytes:
        if not self._status:
            self._status = await self._http.status()
            if self._status != 200:
                raise refusal(self._status, await self._http.whole_body(), self._what)
        return await self._http.body()

    def _accept(self, kind: BodyKind, payload: bytes) -> bool:
        """Whether it is part of the answer; else it was the end."""
        match kind:
            case BodyKind.RESULT:
                self._result = parse_object(payload, kind.name)
            case BodyKind.FAILED:
                raise parse_failed(parse_object(payload, kind.name))
            case _ if kind in self._answers:
                return True
            case _:
                raise violation(f"sent {kind.name} in the answer to {self._what}")
        if self._frames or self._decoder.unfinished:
            raise violation("went on after the end")
        return False


@asynccontextmanager
async def work(
    connector: Connector,
    path: str,
    parameters: Mapping[str, object],
    sent: AsyncIterator[bytes] | None,
    *,
    silence_seconds: float | None,
    answers: Collection[BodyKind] = (BodyKind.STDOUT,),
    bulk: bool = False,
) -> AsyncIterator[Work]:
    """Ask for a piece of work, sending along `sent` as it comes. Leaving the block breaks off what is not done.

    A guest that neither takes nor gives a byte for `silence_seconds` is given up: GuestError `guest-silent`. If `sent`
    raises, the work is broken off, and the block ends with that error. `answers` are the frames that may come before
    the end; `bulk` says that they may be many.
    """
    payload = json.dumps(parameters).encode()
    if len(payload) > BODY_FRAME_BYTES:
        raise UsageError(f"what is asked for takes more than {BODY_FRAME_BYTES} bytes, its environment included")
    start = encode_body(BodyKind.START, payload)
    silence = _Silence(silence_seconds)
    async with exchange(connector, bulk=bulk) as http:
        await silence.bound(http.request("POST", path, start, more=sent is not None))
        sending = asyncio.create_task(_send(http, sent, silence)) if sent is not None else None
        try:
            yield Work(http, silence, answers, path)
        except GuestError:
            if sending is not None and sending.done() and not sending.cancelled() and sending.exception():
                sending.result()
            raise
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def _send(http: Exchange, sent: AsyncIterator[bytes], silence: _Silence) -> None:
    """If the source fails the work is broken off, which wakes whoever reads its answer."""
    try:
        async for data in sent:
            for at in range(0, len(data), _SENT_BYTES):
                await http.send(encode_body(BodyKind.STDIN, data[at : at + _SENT_BYTES]))
                silence.broken()
        await http.send(encode_body(BodyKind.STDIN_EOF))
        await http.end()
    except GuestError:
        return  # the reader of the answer meets the same, or its reason
    except Exception:
        http.abort()
        raise


class _Silence:
    """How long a guest may be silent: None is for ever. Every byte that it takes or gives begins that anew."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._waiting: asyncio.Timeout | None = None

    def broken(self) -> None:
        if self._seconds is not None and self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time() + self._seconds)

    async def bound(self, answer: Coroutine[None, None, T]) -> T:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds) as self._waiting:
                return await answer
        except TimeoutError as error:
            waited = time.monotonic() - began
            raise GuestError(f"the guest was silent for {waited:.0f} s", code="guest-silent") from error
        finally:
            self._waiting = None
