"""Commands in a workspace with secrets: what is kept, told and stored of them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pyro_mcp.agent.messages import Exited, Output, OutputStream
from pyro_mcp.engine.executions import Execution, Executions
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import NotFoundError
from pyro_mcp.model.machine import ExecutionMode, Isolation
from pyro_mcp.model.requests import Command
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.state.database import Database
from pyro_mcp.state.history import HistoryTable
from pyro_mcp.state.workspaces import WorkspaceTable
from tests.unit.engine.test_secrets import CANARY, ONE, RECORD, keep

OUT, ERR = OutputStream.STDOUT, OutputStream.STDERR
EXITED = Exited(exit_code=0, signal=0, timed_out=False, duration_ms=1, error="")


class Place:
    """A workspace whose machine says what it was told to say, and goes on without a word unless that had an end.

    It notes what it was asked to run.
    """

    def __init__(self, record: WorkspaceRecord, *events: Output | Exited) -> None:
        self._record = record
        self._events = events
        self.asked: dict[str, object] = {}
        self.said = asyncio.Event()

    @asynccontextmanager
    async def working(self, _workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, Place]]:
        yield self._record, self

    def machine_record(self, _record: WorkspaceRecord) -> object:
        return SimpleNamespace(execution_mode=ExecutionMode.GUEST_SERIAL, isolation=Isolation.EMULATED)

    async def run(self, argv: tuple[str, ...], **rest: object) -> AsyncGenerator[Output | Exited, None]:
        self.asked = {"argv": argv, **rest}
        for event in self._events:
            yield event
            if isinstance(event, Exited):
                return
        self.said.set()
        await asyncio.Event().wait()


class Told:
    def __init__(self) -> None:
        self.got = {OUT: b"", ERR: b""}

    async def event(self, event: Mapping[str, object]) -> None:
        raise AssertionError(event)

    async def output(self, stream: OutputStream, data: bytes) -> None:
        self.got[stream] += data


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "state.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
async def secrets(database: Database, tmp_path: Path) -> Secrets:
    made = Secrets(WorkspaceTable(database), tmp_path / "workspaces")
    await keep(made, WorkspaceTable(database), ONE, TOKEN=CANARY)
    return made


def executions(place: Place, database: Database, secrets: Secrets) -> Executions:
    return Executions(cast(Workspaces, place), HistoryTable(database), secrets)


async def test_nothing_of_a_secret_is_told_or_stored(database: Database, secrets: Secrets, tmp_path: Path) -> None:
    half = len(CANARY) // 2
    place = Place(
        RECORD,
        Output(OUT, f"a {CANARY[:half]}".encode()),
        Output(ERR, f"{CANARY.encode().hex()}\n".encode()),
        Output(OUT, f"{CANARY[half:]} b {CANARY[:6]}".encode()),
        EXITED,
    )
    told = Told()
    command = Command.parse(f"echo {CANARY}")
    payload = await executions(place, database, secrets).run(ONE, Execution(command, 30, cwd=f"/x/{CANARY}"), told)

    assert place.asked["argv"] == ("sh", "-lc", f"echo {CANARY}")
    assert told.got == {OUT: f"a [REDACTED] b {CANARY[:6]}".encode(), ERR: b"[REDACTED]\n"}
    assert (payload["stdout"], payload["stderr"]) == (told.got[OUT].decode(), told.got[ERR].decode())
    assert (payload["command"], payload["cwd"]) == ("echo [REDACTED]", "/x/[REDACTED]")
    (entry,) = HistoryTable(database).of(ONE)
    assert (entry.command, entry.cwd, entry.stdout, entry.stderr) == (
        *("echo [REDACTED]", "/x/[REDACTED]"),
        *(told.got[OUT].decode(), "[REDACTED]\n"),
    )
    stored = b"".join((tmp_path / f"state.sqlite3{end}").read_bytes() for end in ("", "-wal"))
    for form in (CANARY.encode(), CANARY.encode().hex().encode()):
        assert form not in stored


async def test_values_go_to_the_command_as_variables_and_nowhere_else(database: Database, secrets: Secrets) -> None:
    place = Place(RECORD, EXITED)
    execution = Execution(Command.parse("true"), 30, env={"A": "1"}, secret_env={"TOKEN": "X"})
    payload = await executions(place, database, secrets).run(ONE, execution, Told())
    assert place.asked["environment"] == {"A": "1", "X": CANARY}
    assert CANARY not in f"{payload}{execution!r}{HistoryTable(database).of(ONE)}"
    assert CANARY not in repr(dataclasses.replace(execution, env={"X": CANARY}))


async def test_a_secret_that_is_not_there_runs_nothing(database: Database, secrets: Secrets) -> None:
    place = Place(RECORD, EXITED)
    execution = Execution(Command.parse("true"), 30, secret_env={"NONE": "X"})
    with pytest.raises(NotFoundError):
        await executions(place, database, secrets).run(ONE, execution, Told())
    assert place.asked == {}
    assert HistoryTable(database).of(ONE) == []


async def test_of_a_command_that_is_broken_off_no_half_of_a_secret_is_stored(
    database: Database, secrets: Secrets
) -> None:
    place = Place(RECORD, Output(OUT, f"a {CANARY[:-1]}".encode()))
    execution = Execution(Command.parse("true"), 30)
    running = asyncio.create_task(executions(place, database, secrets).run(ONE, execution, Told()))
    await place.said.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (entry,) = HistoryTable(database).of(ONE)
    assert (entry.state, entry.stdout) == ("interrupted", "a ")
