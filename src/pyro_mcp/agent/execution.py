"""A command in a guest, from START to EXIT (protocol/README.md, section 4)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from pyro_mcp.agent.channel import Connector
from pyro_mcp.agent.deadlines import Deadlines
from pyro_mcp.agent.http import Exchange, deadline, exchange
from pyro_mcp.agent.messages import (
    NOTHING_RAN,
    ExecEvent,
    Exited,
    Output,
    OutputStream,
    parse_exited,
    parse_object,
    parse_started,
    refusal,
)
from pyro_mcp.agent.wire import BODY_FRAME_BYTES, BodyDecoder, BodyKind, encode_body, violation
from pyro_mcp.errors import GuestError, UsageError

T = TypeVar("T")

_STDIN_BYTES = 32768


def encode_start(argv: Sequence[str], *, env: Mapping[str, str], cwd: str, timeout_ms: int, stdin: bool) -> bytes:
    """The START frame. Raises UsageError for a command that the protocol cannot carry."""
    start = {"argv": list(argv), "env": dict(env), "cwd": cwd, "timeout_ms": timeout_ms, "stdin": stdin}
    try:
        # Not escaped: an escaped lone surrogate would pass here and arrive as another character.
        payload = json.dumps(start, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("the command or its environment has text that is not UTF-8") from error
    if len(payload) > BODY_FRAME_BYTES:
        raise UsageError(f"the command and its environment take more than {BODY_FRAME_BYTES} bytes")
    return encode_body(BodyKind.START, payload)


@asynccontextmanager
async def execute(
    connector: Connector,
    start: bytes,
    deadlines: Deadlines,
    *,
    timeout_ms: int,
    stdin: AsyncIterator[bytes] | None,
) -> AsyncIterator[AsyncIterator[ExecEvent]]:
    """Send `start`, then `stdin` as it comes, and give the command's events. Leaving the block ends the command."""
    async with exchange(connector) as http:
        async with deadline(deadlines.first_frame, "exec"):
            await http.request("POST", "/v1/exec", start, more=stdin is not None)
        feeding = asyncio.create_task(_feed(http, stdin)) if stdin is not None else None
        seconds = timeout_ms / 1000 + deadlines.grace if timeout_ms else None
        events = _events(http, deadlines, seconds, feeding)
        try:
            yield events
        finally:
            await events.aclose()
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)


async def _feed(http: Exchange, stdin: AsyncIterator[bytes]) -> None:
    """Send stdin to its end. If its source fails the command is ended, which wakes whoever reads its events."""
    try:
        async for data in stdin:
            for at in range(0, len(data), _STDIN_BYTES):
                await http.send(encode_body(BodyKind.STDIN, data[at : at + _STDIN_BYTES]))
        await http.send(encode_body(BodyKind.STDIN_EOF))
        await http.end()
    except GuestError:
        raise  # the reader of the events meets the same
    except Exception:
        http.abort()
        raise


async def _events(
    http: Exchange, deadlines: Deadlines, seconds: float | None, feeding: asyncio.Task[None] | None
) -> AsyncGenerator[ExecEvent, None]:
    patience, order, decoder = _Patience(deadlines.first_frame), _Order(), BodyDecoder()
    try:
        status = await patience.wait(http.status())
        if status != 200:
            raise refusal(status, await patience.wait(http.whole_body()), "exec")
        while data := await patience.wait(http.body()):
            for kind, payload in decoder.feed(data):
                if not order.begun:
                    patience.renew(seconds)
                event = order.accept(kind, payload)
                if isinstance(event, Exited):
                    patience.renew(deadlines.end)
                elif payload:
                    asked = time.monotonic()
                    yield event
                    patience.forgive(time.monotonic() - asked)
        if order.exited is None or decoder.unfinished:
            raise violation("ended its answer before the command's end")
    except GuestError:
        if feeding is not None and feeding.done() and not feeding.cancelled() and feeding.exception():
            feeding.result()
        raise
    # Only now: a guest that says more after EXIT must not have been believed.
    yield order.exited


class _Patience:
    """A deadline for a guest; the time that the caller spends on what it got is added to it (`forgive`)."""

    def __init__(self, seconds: float) -> None:
        self.renew(seconds)

    def renew(self, seconds: float | None) -> None:
        """From now on `seconds` in all; None is without end."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def forgive(self, seconds: float) -> None:
        if self._end is not None:
            self._end += seconds

    async def wait(self, answer: Coroutine[None, None, T]) -> T:
        """What `answer` gives. Raises GuestError `guest-silent` when patience ends."""
        left = None if self._end is None else self._end - time.monotonic()
        try:
            async with asyncio.timeout(left):
                return await answer
        except TimeoutError as error:
            raise GuestError("the guest did not report the command's end in time", code="guest-silent") from error


class _Order:
    """The order of frames: STARTED, output, EXIT. Without STARTED nothing ran, which EXIT must admit."""

    def __init__(self) -> None:
        self.begun = False
        self._started = False
        self.exited: Exited | None = None

    def accept(self, kind: BodyKind, payload: bytes) -> ExecEvent:
        """The event in a frame. Raises GuestError where the frame may not come or holds nonsense."""
        if self.exited is not None or (kind is BodyKind.STARTED and self._started):
            raise violation(f"sent {kind.name} where none may come")
        self.begun = True
        match kind:
            case BodyKind.STARTED:
                self._started = True
                return parse_started(parse_object(payload, kind.name))
            case BodyKind.EXIT:
                self.exited = parse_exited(parse_object(payload, kind.name))
                if not self._started and self.exited.exit_code not in NOTHING_RAN:
                    raise violation("reported the end of a command that it never started")
                return self.exited
            case BodyKind.STDERR:
                return Output(OutputStream.STDERR, payload)
            case BodyKind.STDOUT:
                return Output(OutputStream.STDOUT, payload)
            case _:
                raise violation(f"sent {kind.name} in the answer to a command")
