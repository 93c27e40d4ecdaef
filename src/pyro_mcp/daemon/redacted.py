"""The last place before a client and before the log: nothing that is said about a workspace holds a secret of it.

What a guest's programs print has been redacted before (`engine/streams.py`): it is kept as well, and comes in pieces.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.daemon.failures import foreseen
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.sink import Sink
from pyro_mcp.errors import HostError, PyroError
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.secrets import refuse_in_names

Payload = Mapping[str, object]

# They say nothing that a guest wrote, and help where values are lost.
_ALSO_WITHOUT_VALUES = frozenset({"delete_workspace", "status_workspace", "stop_workspace"})
# Arguments that become names of files and keys of records: there nothing can be redacted.
_NAMES = ("snapshot_name", "service_name")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Redaction:
    """What must not be in the answer to one request: known from its workspace, or set by who creates one."""

    redactor: Redactor = field(default_factory=Redactor)

    def payload(self, payload: Payload) -> Payload:
        redacted = self.redactor.redact_payload(payload)
        assert isinstance(redacted, Mapping)
        return redacted

    def error(self, error: PyroError) -> PyroError:
        """The same error, as if it had been raised without secrets; it knows nothing of what caused it."""
        redact = self.redactor.redact_text
        told = self.redactor.redact_details({"details": error.details})
        assert isinstance(told, Mapping)
        details = told["details"]
        assert isinstance(details, dict)
        message = self.redactor.redact_message(error.message)
        return type(error)(message, code=error.code, hint=redact(error.hint), details=details)


class RedactedSink:
    """A sink whose events are redacted."""

    def __init__(self, sink: Sink, redaction: Redaction) -> None:
        self._sink = sink
        self._redaction = redaction

    async def event(self, event: Payload) -> None:
        await self._sink.event(self._redaction.payload(event))

    async def output(self, stream: OutputStream, data: bytes) -> None:
        await self._sink.output(stream, data)


async def redacted(
    secrets: Secrets,
    redaction: Redaction,
    name: str,
    arguments: Mapping[str, object],
    operate: Callable[[], Awaitable[Payload]],
) -> Payload:
    """What the operation `name` says, or how it fails, without secrets. One that nobody foresaw is logged here."""
    try:
        redaction.redactor = await _redactor(secrets, name, arguments.get("workspace_id"))
        _refuse_names(secrets, redaction, arguments)
        payload = await operate()
        return await _each(secrets, payload) if name == "list_workspaces" else redaction.payload(payload)
    except PyroError as error:
        if not redaction.redactor:
            raise
        failure = redaction.error(error)
    except Exception as error:
        if not redaction.redactor:
            raise
        trace = redaction.redactor.redact_message("".join(traceback.format_exception(error)))
        _log.error("an operation failed in a way nobody foresaw\n%s", trace)
        failure = redaction.error(foreseen(error))
    raise failure  # outside of the handlers, or it would have the original as its context


async def _redactor(secrets: Secrets, name: str, workspace_id: object) -> Redactor:
    try:
        return await secrets.known(workspace_id)
    except HostError:
        if name not in _ALSO_WITHOUT_VALUES:
            raise
        return Redactor()


def _refuse_names(secrets: Secrets, redaction: Redaction, arguments: Mapping[str, object]) -> None:
    names = list(_names(arguments)) if redaction.redactor else []
    if names:
        refuse_in_names(secrets.values(str(arguments["workspace_id"])).values(), names)


def _names(arguments: Mapping[str, object]) -> Iterator[str]:
    yield from (value for key in _NAMES if isinstance(value := arguments.get(key), str))
    labels = arguments.get("labels")
    yield from (key for key in labels if isinstance(key, str)) if isinstance(labels, Mapping) else ()


async def _each(secrets: Secrets, payload: Payload) -> Payload:
    """A list of workspaces, each without the secrets of its own."""
    workspaces = payload["workspaces"]
    assert isinstance(workspaces, list)
    shown = [
        Redaction(await _redactor(secrets, "status_workspace", workspace["workspace_id"])).payload(workspace)
        for workspace in workspaces
    ]
    return {**payload, "workspaces": shown}


class RedactedFormatter(logging.Formatter):
    """Lines of the log, tracebacks included, without the secrets that are known at the time."""

    def __init__(self, format: str) -> None:
        super().__init__(format)
        self.redact: Callable[[str], str] = str

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))
