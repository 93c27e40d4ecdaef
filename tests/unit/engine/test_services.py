"""Services whose start is broken off, or doubled: what the guest is told, and what is noted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.services import ServiceRequest, Services
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError, GuestError, PyroError
from pyro_mcp.model.requests import Command
from pyro_mcp.model.service import ServiceState
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.state.database import Database
from pyro_mcp.state.services import ServiceTable
from pyro_mcp.state.workspaces import WorkspaceTable
from tests.unit.engine.test_secrets import ONE, RECORD, keep

REQUEST = ServiceRequest(Command.parse("server"))


class Guest:
    """A workspace whose machine starts what it is asked to and then says nothing more, or fails with `failure`."""

    def __init__(self, failure: PyroError | None = None) -> None:
        self._failure = failure
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.started = asyncio.Event()

    @asynccontextmanager
    async def working(self, _workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, Guest]]:
        yield RECORD, self

    def find(self, _workspace_id: object) -> WorkspaceRecord:
        return RECORD

    def touch(self, _workspace_id: str) -> None: ...

    @asynccontextmanager
    async def ask(self, name: str, parameters: Mapping[str, object], **_: object) -> AsyncIterator[Guest]:
        self.asked.append((name, parameters))
        yield self

    async def frame(self) -> tuple[BodyKind, bytes] | None:
        if self.asked[-1][0] != "service/start":
            return None
        if self._failure is not None:
            raise self._failure
        if self.started.is_set():
            await asyncio.Event().wait()
        self.started.set()
        return BodyKind.STARTED, json.dumps({"pid": 7}).encode()

    async def result(self) -> Mapping[str, object]:
        return {"exit_code": 137, "stopped": True}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "state.sqlite3")
    yield opened
    opened.close()


async def services(guest: Guest, database: Database, directory: Path) -> Services:
    secrets = Secrets(WorkspaceTable(database), directory)
    await keep(secrets, WorkspaceTable(database), ONE)
    return Services(ServiceTable(database), cast(Workspaces, guest), secrets)


async def test_a_start_that_is_broken_off_is_undone_in_the_guest(database: Database, tmp_path: Path) -> None:
    """That it is ready may be under way just then: nobody would stop it any more."""
    guest = Guest()
    starting = asyncio.create_task((await services(guest, database, tmp_path)).start(ONE, "web", REQUEST))
    await guest.started.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert guest.asked[1:] == [("service/stop", {"service": "web", "grace_ms": 0})]
    (noted,) = ServiceTable(database).of(ONE)
    assert (noted.state, noted.stop_reason) == (ServiceState.FAILED, "its start was broken off")


@pytest.mark.parametrize(
    ("failure", "stopped"),
    [
        (GuestError("lost", code="guest-silent"), True),
        (GuestError("no", code="work-failed", details={"guest_code": "exists", "guest_error": "no"}), False),
    ],
)
async def test_what_the_guest_itself_refused_needs_no_undoing(
    database: Database, tmp_path: Path, failure: GuestError, stopped: bool
) -> None:
    guest = Guest(failure)
    with pytest.raises(PyroError):
        await (await services(guest, database, tmp_path)).start(ONE, "web", REQUEST)
    assert ("service/stop" in [name for name, _ in guest.asked]) == stopped


async def test_a_name_is_taken_while_its_service_starts(database: Database, tmp_path: Path) -> None:
    guest = Guest()
    host = await services(guest, database, tmp_path)
    starting = asyncio.create_task(host.start(ONE, "web", REQUEST))
    await guest.started.wait()
    with pytest.raises(ConflictError) as refused:
        await host.start(ONE, "web", REQUEST)
    assert refused.value.code == "service-exists"
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)


async def test_an_end_that_was_noted_is_not_forgotten_when_it_is_said_to_be_ready(
    database: Database, tmp_path: Path
) -> None:
    guest = Guest()
    host = await services(guest, database, tmp_path)
    starting = asyncio.create_task(host.start(ONE, "web", REQUEST))
    await guest.started.wait()
    table = ServiceTable(database)
    (service,) = table.of(ONE)
    table.end(service, ServiceState.STOPPED, now=service.started_at + 1, exit_code=0, reason="stopped")
    table.ready(service, pid=7, now=service.started_at + 2)
    assert table.of(ONE)[0].state is ServiceState.STOPPED
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
