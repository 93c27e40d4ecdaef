"""The daemon's HTTP face: one route for operations, and what a client must agree on before it is served."""

from __future__ import annotations

import asyncio
import json
import os
import secrets as randomness
import time
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from pyro_mcp._version import __version__
from pyro_mcp.daemon.answers import FramedAnswer, FrameSink
from pyro_mcp.daemon.call import Call
from pyro_mcp.daemon.inbox import Inbox
from pyro_mcp.daemon.redacted import RedactedSink, Redaction, redacted
from pyro_mcp.daemon.routes import prepare
from pyro_mcp.engine.engine import Engine
from pyro_mcp.errors import DaemonError, UsageError
from pyro_mcp.model.frames import MAX_REQUEST_BYTES
from pyro_mcp.model.payloads import DaemonPayload


class App:
    """Serves one engine.

    `on_change` is called when an operation begins or ends, `on_stop` when a client asks for the daemon's end.
    """

    def __init__(self, engine: Engine, *, on_change: Callable[[], None], on_stop: Callable[[], None]) -> None:
        self._engine = engine
        self._on_change = on_change
        self._on_stop = on_stop
        self._started = time.monotonic()
        self._active: dict[str, asyncio.Task[object]] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._leaving = False
        self.asgi = Starlette(routes=[Route("/v1/{name}", self._endpoint, methods=["POST"])])

    @property
    def operations(self) -> int:
        """How many operations are under way."""
        return len(self._active)

    async def leave(self) -> None:
        """Begin nothing more, break off what is under way, and wait until that is undone."""
        self._leaving = True
        for task in self._active.values():
            task.cancel()
        if self._active:
            await asyncio.wait(self._active.values())

    async def _endpoint(self, request: Request) -> FramedAnswer:
        body = await _bounded_body(request)
        name = request.path_params["name"]
        agreed = request.headers.get("pyro-version"), request.headers.get("pyro-settings")
        request_id = request.headers.get("pyro-request") or randomness.token_hex(8)

        async def work(sink: FrameSink) -> Mapping[str, object]:
            if name == "daemon_stop":
                self._stop()
                return self._status()
            if name == "daemon_status":
                return self._status()
            if name == "cancel":
                return await self._cancel(body)
            if name == "stdin":
                return {"taken": await self._inbox_of(request_id).put(body)}
            self._refuse_strangers(*agreed)
            return await self._operate(name, body, sink, request_id)

        return FramedAnswer(work)

    async def _operate(self, name: str, body: bytes, sink: FrameSink, request_id: str) -> Mapping[str, object]:
        arguments, context = _parse(body)
        inbox, redaction = Inbox(), Redaction()
        call = Call(
            engine=self._engine,
            sink=RedactedSink(sink, redaction),
            vmm=str(context.get("vmm") or "auto"),
            require_isolation=context.get("require_isolation"),
            stdin=inbox.read(),
            redaction=redaction,
        )
        secrets = self._engine.secrets
        operation = redacted(secrets, redaction, name, arguments, lambda: prepare(name, call, arguments))
        task = asyncio.current_task()
        assert task is not None
        self._active[request_id] = task
        self._inboxes[request_id] = inbox
        self._on_change()
        try:
            return await operation
        finally:
            inbox.close()
            del self._active[request_id], self._inboxes[request_id]
            self._on_change()

    async def _cancel(self, body: bytes) -> Mapping[str, object]:
        """Break off another request and return when all of it is undone."""
        arguments, _context = _parse(body)
        task = self._active.get(str(arguments.get("request_id")))
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        return {"cancelled": task is not None}

    def _inbox_of(self, request_id: str) -> Inbox:
        """Where the input of a request goes; one that is over takes none."""
        return self._inboxes.get(request_id) or Inbox.closed()

    def _stop(self) -> None:
        self._leaving = True
        self._on_stop()

    def _refuse_strangers(self, version: str | None, fingerprint: str | None) -> None:
        if self._leaving:
            raise DaemonError("the daemon is leaving", code="daemon-leaving", details={"stopping": True})
        if (version, fingerprint) == (__version__, self._engine.settings.fingerprint):
            return
        busy = self._engine.vms.running_count or self.operations
        if not busy:
            self._stop()
        what = "another version" if version != __version__ else "another environment cache, bundle or boot timeout"
        raise DaemonError(
            f"the daemon of {self._engine.settings.state_dir} runs with {what} and is busy",
            code="daemon-mismatch",
            hint="`pyro daemon stop` ends it and what runs in it; or use another PYRO_STATE_DIR",
            details={"stopping": not busy, "daemon_version": __version__, "pid": os.getpid()},
        )

    def _status(self) -> DaemonPayload:
        settings = self._engine.settings
        return {
            "running": True,
            "leaving": self._leaving,
            "pid": os.getpid(),
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "machines": self._engine.vms.running_count,
            "operations": self.operations,
            # One that is leaving has closed its state, or is about to.
            "starts": [] if self._leaving else self._engine.vms.last_starts(),
            "state_dir": str(settings.state_dir),
            "socket": str(settings.daemon_socket),
            "log": str(settings.daemon_log),
        }


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            return b""  # not JSON: refused as such
    return bytes(body)


def _parse(body: bytes) -> tuple[dict[str, object], dict[str, object]]:
    try:
        document = json.loads(body)
        arguments, context = document["arguments"], document["context"]
        if isinstance(arguments, dict) and isinstance(context, dict):
            return arguments, context
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UsageError(
        f"the request is not a JSON object with arguments and context of at most {MAX_REQUEST_BYTES} bytes"
    )
