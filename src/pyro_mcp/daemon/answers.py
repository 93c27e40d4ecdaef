"""One operation per HTTP request, answered as a stream of frames (`model/frames.py`) that ends with RESULT or ERROR.

The head of the answer is sent before the work begins. A client that got no head knows that nothing was done.
A client that goes away cancels its operation, and what the operation made is undone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.types import Receive, Scope, Send

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.daemon.failures import foreseen
from pyro_mcp.errors import DaemonError, PyroError
from pyro_mcp.model.frames import Kind, encode_frame

_log = logging.getLogger(__name__)

Work = Callable[["FrameSink"], Awaitable[Mapping[str, object]]]


class FrameSink:
    """An engine's `Sink` that writes frames to one client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._writing = asyncio.Lock()

    async def event(self, event: Mapping[str, object]) -> None:
        await self.frame(Kind.EVENT, _json(event))

    async def output(self, stream: OutputStream, data: bytes) -> None:
        await self.frame(Kind.STDOUT if stream is OutputStream.STDOUT else Kind.STDERR, data)

    async def frame(self, kind: Kind, payload: bytes, *, last: bool = False) -> None:
        async with self._writing:
            body = encode_frame(kind, payload)
            await self._send({"type": "http.response.body", "body": body, "more_body": not last})


class FramedAnswer:
    """An ASGI response that runs `work` while its client stays."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/x-pyro-frames")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sink = FrameSink(send)
        working = asyncio.create_task(_answer(self._work, sink))
        leaving = asyncio.create_task(_disconnect(receive))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait({working, leaving})
        if working.cancelled():
            stopped = DaemonError("the operation was broken off at the daemon", code="operation-cancelled")
            await sink.frame(Kind.ERROR, _json(stopped.to_wire()), last=True)


async def _answer(work: Work, sink: FrameSink) -> None:
    try:
        result = await work(sink)
    except PyroError as error:
        _log.info("refused or failed: %s (%s)", error.message, error.code)
        await sink.frame(Kind.ERROR, _json(error.to_wire()), last=True)
    except Exception as error:  # noqa: BLE001 - the edge of the daemon: a bug ends one operation, not the process
        _log.exception("an operation failed in a way nobody foresaw")
        await sink.frame(Kind.ERROR, _json(foreseen(error).to_wire()), last=True)
    else:
        await sink.frame(Kind.RESULT, _json(result), last=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()
