"""What leaves the daemon about a workspace, by whatever way: never a secret of it."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.daemon.answers import FramedAnswer, FrameSink
from pyro_mcp.daemon.redacted import Payload, RedactedFormatter, RedactedSink, Redaction, redacted
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.errors import ConflictError, HostError, PyroError, UsageError
from pyro_mcp.model.frames import HEADER_BYTES, Kind, decode_header
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.state.database import Database
from pyro_mcp.state.workspaces import WorkspaceTable
from tests.unit.engine.test_secrets import CANARY, ONE, RECORD, TWO, keep

Operate = Callable[[], Awaitable[Payload]]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[WorkspaceTable]:
    database = Database(tmp_path / "state.sqlite3")
    yield WorkspaceTable(database)
    database.close()


@pytest.fixture
async def secrets(table: WorkspaceTable, tmp_path: Path) -> Secrets:
    made = Secrets(table, tmp_path / "workspaces")
    await keep(made, table, ONE, A=CANARY)
    return made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, formatted as the daemon does it, without knowing any value."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(RedactedFormatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    yield written
    logging.getLogger().removeHandler(handler)


def gives(payload: Payload) -> Operate:
    async def operate() -> Payload:
        return payload

    return operate


def fails(error: BaseException, cause: BaseException | None = None) -> Operate:
    async def operate() -> Payload:
        raise error from cause

    return operate


async def asked(
    secrets: Secrets, operate: Operate, name: str = "status_workspace", **arguments: object
) -> tuple[dict[Kind, object], bytes]:
    """The frames of a whole answer, and all its bytes."""
    sent, never = bytearray(), asyncio.Event()

    async def send(message: Mapping[str, object]) -> None:
        body = message.get("body", b"")
        assert isinstance(body, bytes)
        sent.extend(body)

    async def receive() -> dict[str, object]:
        await never.wait()
        return {}

    async def work(_sink: FrameSink) -> Payload:
        redaction = Redaction()
        return await redacted(secrets, redaction, name, {"workspace_id": ONE, **arguments}, operate)

    await FramedAnswer(work)({}, receive, send)
    frames, rest = {}, bytes(sent)
    while rest:
        kind, length = decode_header(rest[:HEADER_BYTES])
        frames[kind] = json.loads(rest[HEADER_BYTES : HEADER_BYTES + length])
        rest = rest[HEADER_BYTES + length :]
    return frames, bytes(sent)


async def test_results_are_redacted(secrets: Secrets) -> None:
    frames, said = await asked(secrets, gives({"workspace_id": ONE, "stdout": f"x {CANARY} y", "state": "started"}))
    assert frames == {Kind.RESULT: {"workspace_id": ONE, "stdout": "x [REDACTED] y", "state": "started"}}
    assert CANARY.encode() not in said


async def test_without_secrets_an_answer_is_the_very_object(table: WorkspaceTable, tmp_path: Path) -> None:
    table.insert(dataclasses.replace(RECORD, workspace_id=TWO))
    payload: Payload = {"stdout": CANARY}
    none = Secrets(table, tmp_path / "workspaces")
    assert await redacted(none, Redaction(), "x", {"workspace_id": TWO}, gives(payload)) is payload


async def test_errors_are_redacted_and_keep_their_kind(secrets: Secrets, log: io.StringIO) -> None:
    error = ConflictError(
        f"cannot {CANARY}",
        code="some-code",
        hint=f"try {CANARY}",
        details={"reason": f"because {CANARY}", "vm_id": "vm-0123456789ab", CANARY: 1},
    )
    frames, said = await asked(secrets, fails(error, ValueError(CANARY)))
    assert frames[Kind.ERROR] == {
        "type": "ConflictError",
        "ok": False,
        "error": "cannot [REDACTED]",
        "code": "some-code",
        "hint": "try [REDACTED]",
        "details": {"reason": "because [REDACTED]", "vm_id": "vm-0123456789ab", "[REDACTED]": 1},
    }
    assert CANARY.encode() not in said
    assert "some-code" in log.getvalue()
    assert CANARY not in log.getvalue()


async def test_words_that_an_error_cut_short_are_redacted_too(secrets: Secrets, log: io.StringIO) -> None:
    error = UsageError(
        f"there is no {CANARY[:12]!r}",
        details={"console": f"a {CANARY[:9]}…\nb", "reason": "x", CANARY[:9]: 1},
    )
    frames, said = await asked(secrets, fails(error))
    shown = frames[Kind.ERROR]
    assert isinstance(shown, dict)
    assert shown["error"] == "there is no '[REDACTED]'"
    assert shown["details"] == {"console": "a [REDACTED]…\nb", "reason": "x", CANARY[:9]: 1}
    assert CANARY[:12] not in said.decode(errors="replace") + log.getvalue()


async def test_an_error_has_nothing_behind_it_that_knows_a_value(secrets: Secrets) -> None:
    with pytest.raises(PyroError) as failed:
        await redacted(secrets, Redaction(), "x", {"workspace_id": ONE}, fails(UsageError(CANARY), ValueError(CANARY)))
    assert (failed.value.__cause__, failed.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "bug",
    [
        ValueError(f"no {CANARY} here"),
        KeyError(CANARY),
        UnicodeDecodeError("utf-8", CANARY.encode() + b"\xff", len(CANARY), len(CANARY) + 1, "wrong"),
        ExceptionGroup("several", [ValueError(CANARY), OSError(5, CANARY)]),
        AssertionError(CANARY.encode().hex()),
    ],
)
async def test_what_nobody_foresaw_is_logged_without_it(secrets: Secrets, log: io.StringIO, bug: Exception) -> None:
    frames, said = await asked(secrets, fails(bug, RuntimeError(f"before that {CANARY}")))
    error = frames[Kind.ERROR]
    assert isinstance(error, dict)
    assert error["code"] == "internal"
    assert "Traceback" in log.getvalue()
    assert "before that [REDACTED]" in log.getvalue()
    for form in (CANARY, CANARY.encode().hex()):
        assert form not in log.getvalue() + said.decode(errors="replace")


async def test_what_the_system_refused_is_told_without_it(secrets: Secrets, log: io.StringIO) -> None:
    frames, _ = await asked(secrets, fails(OSError(28, "No space left on device", f"/tmp/{CANARY}")))
    error = frames[Kind.ERROR]
    assert isinstance(error, dict)
    assert (error["code"], error["error"]) == ("no-space", "No space left on device (/tmp/[REDACTED])")
    assert CANARY not in log.getvalue()


async def test_who_creates_a_workspace_says_what_it_must_not_tell(secrets: Secrets, log: io.StringIO) -> None:
    redaction = Redaction()

    async def create() -> Payload:
        redaction.redactor = Redactor(["fresh-value"])
        raise ValueError("fresh-value")

    with pytest.raises(PyroError) as failed:
        await redacted(secrets, redaction, "create_workspace", {"environment": "x"}, create)
    assert failed.value.code == "internal"
    assert "fresh-value" not in log.getvalue()


async def test_each_of_a_list_is_redacted_by_its_own_values(secrets: Secrets, table: WorkspaceTable) -> None:
    await keep(secrets, table, TWO, A="another-value")
    both = f"{CANARY} another-value"
    listed = {"count": 2, "workspaces": [{"workspace_id": ONE, "name": both}, {"workspace_id": TWO, "name": both}]}
    payload = await redacted(secrets, Redaction(), "list_workspaces", {}, gives(listed))
    assert payload["workspaces"] == [
        {"workspace_id": ONE, "name": "[REDACTED] another-value"},
        {"workspace_id": TWO, "name": f"{CANARY} [REDACTED]"},
    ]


@pytest.mark.usefixtures("secrets")
async def test_lost_values_end_everything_but_what_helps(table: WorkspaceTable, tmp_path: Path) -> None:
    (tmp_path / "workspaces" / ONE / "secrets" / "A").unlink()
    later = Secrets(table, tmp_path / "workspaces")
    with pytest.raises(HostError) as lost:
        await redacted(later, Redaction(), "exec_workspace", {"workspace_id": ONE}, gives({}))
    assert lost.value.code == "secrets-lost"
    assert await redacted(later, Redaction(), "delete_workspace", {"workspace_id": ONE}, gives({"a": 1})) == {"a": 1}
    listed = gives({"count": 1, "workspaces": [{"workspace_id": ONE}]})
    assert await redacted(later, Redaction(), "list_workspaces", {}, listed) == await listed()


@pytest.mark.parametrize(
    "arguments", [{"snapshot_name": f"x{CANARY}"}, {"service_name": CANARY}, {"labels": {CANARY: "v"}}]
)
async def test_nothing_is_called_by_a_value(secrets: Secrets, arguments: dict[str, object]) -> None:
    frames, said = await asked(secrets, gives({}), "create_snapshot", **arguments)
    error = frames[Kind.ERROR]
    assert isinstance(error, dict)
    assert error["code"] == "secret-in-name"
    assert CANARY.encode() not in said


async def test_events_are_redacted_and_output_passes_as_it_is() -> None:
    class Taken:
        def __init__(self) -> None:
            self.events: list[object] = []
            self.bytes = b""

        async def event(self, event: Mapping[str, object]) -> None:
            self.events.append(event)

        async def output(self, _stream: OutputStream, data: bytes) -> None:
            self.bytes += data

    taken, redaction = Taken(), Redaction()
    sink = RedactedSink(taken, redaction)
    await sink.event({"event": "phase", "name": CANARY})
    redaction.redactor = Redactor([CANARY])
    await sink.event({"event": "phase", "name": CANARY})
    await sink.output(OutputStream.STDOUT, CANARY.encode())
    assert taken.events == [{"event": "phase", "name": CANARY}, {"event": "phase", "name": "[REDACTED]"}]
    assert taken.bytes == CANARY.encode()


def test_the_log_knows_all_values_that_the_daemon_knows(secrets: Secrets) -> None:
    formatter = RedactedFormatter("%(levelname)s: %(message)s")
    formatter.redact = secrets.redact
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        trace = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "", 1, "VM %s: %s", ("vm-1", CANARY), trace)
    line = formatter.format(record)
    assert line.startswith("ERROR: VM vm-1: [REDACTED]\nTraceback")
    assert line.endswith("ValueError: [REDACTED]")
