"""Secret values of workspaces on this host: where they are, who gets them, and where they are not."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.errors import HostError, NotFoundError, UsageError
from pyro_mcp.model.record import EndReason
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.workspace import Seed, SeedMode, WorkspaceRecord, WorkspaceState
from pyro_mcp.state.database import Database
from pyro_mcp.state.workspaces import WorkspaceTable

CANARY = "canary-3e1f-value"
ONE, TWO = "ws-000000000001", "ws-000000000002"
RECORD = WorkspaceRecord(
    workspace_id=ONE,
    state=WorkspaceState.CREATING,
    name=None,
    labels={},
    environment="debian:12",
    environment_version="4.0.0",
    vcpu_count=1,
    mem_mib=512,
    ttl_seconds=600,
    seed=Seed(SeedMode.EMPTY, None),
    created_at=1000.0,
    expires_at=1600.0,
    last_activity_at=1000.0,
)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[WorkspaceTable]:
    database = Database(tmp_path / "state.sqlite3")
    yield WorkspaceTable(database)
    database.close()


@pytest.fixture
def secrets(table: WorkspaceTable, tmp_path: Path) -> Secrets:
    return Secrets(table, tmp_path / "workspaces")


async def keep(secrets: Secrets, table: WorkspaceTable, workspace_id: str, **values: str) -> None:
    given = await secrets.requested([{"name": name, "value": value} for name, value in values.items()])
    infos = tuple(secret.info for secret in given.secrets)
    table.insert(dataclasses.replace(RECORD, workspace_id=workspace_id, secrets=infos))
    await secrets.store(workspace_id, given)


async def test_values_are_private_files_of_their_own(secrets: Secrets, table: WorkspaceTable, tmp_path: Path) -> None:
    await keep(secrets, table, ONE, B="two\n", A=CANARY)
    place = tmp_path / "workspaces" / ONE / "secrets"
    assert place.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in place.iterdir()} == {"A": 0o600, "B": 0o600}
    assert (place / "B").read_bytes() == b"two\n"
    assert list(secrets.values(ONE).items()) == [("A", CANARY), ("B", "two\n")]
    assert secrets.has(ONE)


async def test_no_value_is_in_the_database(secrets: Secrets, table: WorkspaceTable, tmp_path: Path) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    stored = [tmp_path / f"state.sqlite3{end}" for end in ("", "-wal")]
    assert CANARY.encode() not in b"".join(file.read_bytes() for file in stored)


async def test_a_workspace_without_secrets_has_nothing(secrets: Secrets, table: WorkspaceTable, tmp_path: Path) -> None:
    await keep(secrets, table, ONE)
    assert not secrets.has(ONE)
    assert not (tmp_path / "workspaces").exists()
    assert not secrets.redactor(ONE)
    assert (secrets.values(ONE), secrets.environment(ONE, {})) == ({}, {})
    for nobody in (TWO, "../x", None, 3):
        assert not secrets.redactor(nobody)


async def test_each_workspace_is_redacted_by_its_own_values(secrets: Secrets, table: WorkspaceTable) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    await keep(secrets, table, TWO, A="another-value")
    assert secrets.redactor(ONE).redact_text(f"{CANARY} another-value") == "[REDACTED] another-value"
    assert secrets.redactor(TWO).redact_text(f"{CANARY} another-value") == f"{CANARY} [REDACTED]"
    assert secrets.redactor(ONE) is secrets.redactor(ONE)
    assert secrets.redact(f"{CANARY} another-value") == "[REDACTED] [REDACTED]"


async def test_another_daemon_finds_them_again(secrets: Secrets, table: WorkspaceTable, tmp_path: Path) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    later = Secrets(table, tmp_path / "workspaces")
    assert later.redact(CANARY) == CANARY
    later.load()
    assert later.redact(CANARY) == "[REDACTED]"
    assert Secrets(table, tmp_path / "workspaces").redactor(ONE).redact_text(CANARY) == "[REDACTED]"


def slow(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Redactors take long from now on: one is being made, and it may go on."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Redactor):
        def __init__(self, values: Iterable[str]) -> None:
            begun.set()
            assert go_on.wait(10)
            super().__init__(values)

    monkeypatch.setattr("pyro_mcp.engine.secrets.Redactor", Slow)
    return begun, go_on


async def test_nothing_is_said_before_all_values_are_known(
    secrets: Secrets, table: WorkspaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    begun, go_on = slow(monkeypatch)
    later = Secrets(table, tmp_path / "workspaces")
    later.load()  # returns, though nothing is known
    assert begun.wait(10)
    for text in (CANARY, base64.b64encode(CANARY.encode()).decode(), "anything"):
        assert later.redact(text) == "[REDACTED] (secrets were still being read)"
    asking = asyncio.create_task(later.known(ONE))
    await asyncio.wait({asking}, timeout=0.05)
    assert not asking.done()  # and nobody else has to wait for it
    go_on.set()
    assert (await asking).redact_text(CANARY) == "[REDACTED]"
    assert later.redact(f"it is {CANARY}") == "it is [REDACTED]"
    assert await later.known(ONE) is later.redactor(ONE)


async def test_a_workspace_that_goes_while_its_values_are_read_is_forgotten(
    secrets: Secrets, table: WorkspaceTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    begun, go_on = slow(monkeypatch)
    later = Secrets(table, tmp_path / "workspaces")
    later.load()
    assert begun.wait(10)
    later.forget(ONE)
    go_on.set()
    assert later.redact(CANARY) == CANARY


async def test_they_become_variables_by_name(secrets: Secrets, table: WorkspaceTable) -> None:
    await keep(secrets, table, ONE, A=CANARY, B="two")
    assert secrets.environment(ONE, {"A": "TOKEN"}) == {"TOKEN": CANARY}
    with pytest.raises(NotFoundError) as refused:
        secrets.environment(ONE, {"A": "TOKEN", "C": "X"})
    assert (refused.value.code, refused.value.hint) == ("secret-not-found", "it has A, B")


async def test_lost_values_are_an_error_and_never_an_empty_redactor(
    secrets: Secrets, table: WorkspaceTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(secrets, table, ONE, A=CANARY, B="two")
    place = tmp_path / "workspaces" / ONE / "secrets"

    def broken() -> str:
        later = Secrets(table, tmp_path / "workspaces")
        with pytest.raises(HostError) as lost:
            later.redactor(ONE)
        later.load()
        assert lost.value.__cause__ is None
        assert CANARY not in f"{lost.value!r}{caplog.text}"
        return lost.value.code

    (place / "B").write_bytes(CANARY.encode() + b"\xff")
    assert broken() == "secrets-lost"
    (place / "B").unlink()
    assert broken() == "secrets-lost"
    shutil.rmtree(place)
    assert broken() == "secrets-lost"


async def test_nothing_is_known_of_a_workspace_that_is_gone(
    secrets: Secrets, table: WorkspaceTable, tmp_path: Path
) -> None:
    await keep(secrets, table, ONE, A=CANARY)
    table.transition(ONE, {WorkspaceState.CREATING}, WorkspaceState.DELETING, reason=EndReason.EXPLICIT_DELETE, now=2.0)
    assert secrets.redactor(ONE)  # what is said while it goes
    shutil.rmtree(tmp_path / "workspaces" / ONE)
    secrets.forget(ONE)
    assert not secrets.redactor(ONE)
    assert secrets.redact(CANARY) == CANARY


async def test_labels_are_stored_without_values(secrets: Secrets) -> None:
    given = await secrets.requested([{"name": "A", "value": CANARY}])
    assert given.labels({"k": f"a {CANARY}"}) == {"k": "a [REDACTED]"}
    with pytest.raises(UsageError):
        given.labels({CANARY: "v"})
    assert CANARY not in repr(given)
    assert (await secrets.requested([])).labels({"k": "v"}) == {"k": "v"}


async def test_what_is_no_list_is_refused_also_when_it_is_empty(secrets: Secrets) -> None:
    for wrong in ({}, "", 0, {"name": "A"}):
        with pytest.raises(UsageError):
            await secrets.requested(wrong)
