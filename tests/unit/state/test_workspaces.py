"""Workspaces, snapshots and histories in the state file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError
from pyro_mcp.model.record import CommandState, EndReason
from pyro_mcp.model.secrets import SecretInfo, SecretSource
from pyro_mcp.model.workspace import (
    CommandOutcome,
    Seed,
    SeedMode,
    SnapshotRecord,
    WorkspaceRecord,
    WorkspaceState,
)
from pyro_mcp.state.database import Database
from pyro_mcp.state.history import HistoryTable
from pyro_mcp.state.workspaces import SnapshotTable, WorkspaceTable

ONE = "ws-000000000001"
RECORD = WorkspaceRecord(
    workspace_id=ONE,
    state=WorkspaceState.CREATING,
    name="mine",
    labels={"a": "1"},
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
SEED = Seed(SeedMode.DIRECTORY, "/home/me/p", 3, 10, ("fifo",), 1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "state.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def table(database: Database) -> WorkspaceTable:
    made = WorkspaceTable(database)
    made.insert(RECORD)
    return made


def test_a_record_comes_back_as_it_was_stored(table: WorkspaceTable) -> None:
    assert table.find(ONE) == RECORD
    assert table.find("ws-000000000002") is None
    table.give_machine(ONE, "vm-1", SEED)
    assert table.find(ONE) == dataclasses.replace(RECORD, state=WorkspaceState.READY, vm_id="vm-1", seed=SEED)


def test_a_reset_counts_and_forgets_the_history(table: WorkspaceTable, database: Database) -> None:
    history = HistoryTable(database)
    table.give_machine(ONE, "vm-1", SEED)
    assert [history.begin(ONE, "true", "/", now=1.0), history.begin(ONE, "false", "/", now=2.0)] == [1, 2]
    assert table.replace_machine(ONE, "vm-2", now=5.0)

    record = table.find(ONE)
    assert record is not None
    assert (record.vm_id, record.reset_count, record.last_reset_at, record.last_activity_at) == ("vm-2", 1, 5.0, 5.0)
    assert history.of(ONE) == []
    assert history.begin(ONE, "new", "/", now=6.0) == 1
    # The end of a command that the reset has forgotten is not taken for that of its successor.
    history.end(ONE, 1, CommandOutcome(9), started_at=1.0, now=7.0)
    assert [entry.state for entry in history.of(ONE)] == [CommandState.RUNNING]


def test_one_that_is_being_deleted_gets_no_machine_any_more(table: WorkspaceTable) -> None:
    assert table.transition(
        ONE, {WorkspaceState.CREATING}, WorkspaceState.DELETING, reason=EndReason.TTL_EXPIRED, now=2.0
    )
    assert not table.transition(ONE, {WorkspaceState.CREATING}, WorkspaceState.READY)
    table.give_machine(ONE, "vm-1", SEED)
    assert not table.replace_machine(ONE, "vm-2", now=5.0)
    record = table.find(ONE)
    assert record is not None
    assert (record.state, record.vm_id, record.end_reason) == (WorkspaceState.DELETING, None, EndReason.TTL_EXPIRED)


def test_deletion_takes_snapshots_and_history_along(table: WorkspaceTable, database: Database) -> None:
    snapshots, history = SnapshotTable(database), HistoryTable(database)
    snapshots.insert(SnapshotRecord(ONE, "s", 2.0, 3, 4))
    history.begin(ONE, "true", "/", now=1.0)
    with pytest.raises(HostError):
        snapshots.insert(SnapshotRecord(ONE, "s", 2.0, 3, 4))
    assert [snapshot.name for snapshot in snapshots.of(ONE)] == ["s"]

    table.transition(ONE, {WorkspaceState.CREATING}, WorkspaceState.DELETED)
    assert (snapshots.of(ONE), history.of(ONE), table.live()) == ([], [], [])
    assert table.find(ONE) is not None


@pytest.mark.usefixtures("table")
def test_a_history_tells_how_commands_ended(database: Database) -> None:
    history = HistoryTable(database)
    history.begin(ONE, "a", "/", now=1.0)
    history.begin(ONE, "b", "/", now=2.0)
    history.begin(ONE, "c", "/", now=3.0)
    history.end(ONE, 1, CommandOutcome(3, 12, "out", "err"), started_at=1.0, now=4.0)
    history.end(ONE, 2, CommandOutcome(None, None, "so far"), started_at=2.0, now=4.0)
    history.interrupt_running(now=9.0)

    first, second, third = history.of(ONE)
    assert (first.state, first.exit_code, first.duration_ms, first.stdout, first.stderr) == (
        "ended",
        3,
        12,
        "out",
        "err",
    )
    assert (second.state, second.exit_code, second.stdout) == ("interrupted", None, "so far")
    assert (third.state, third.ended_at) == ("interrupted", 9.0)
    assert (history.count(ONE), history.last(ONE)) == (3, third)


def test_names_labels_and_life_are_changed_one_by_one(table: WorkspaceTable) -> None:
    table.describe(ONE, name=None, labels={"b": "2"})
    table.set_life(ONE, ttl_seconds=0, expires_at=None)
    table.touch(ONE, now=77.0)
    record = table.find(ONE)
    assert record is not None
    assert (record.name, record.labels, record.ttl_seconds, record.expires_at, record.last_activity_at) == (
        None,
        {"b": "2"},
        0,
        None,
        77.0,
    )


def test_names_of_secrets_are_on_record(database: Database) -> None:
    secrets = (SecretInfo("A", SecretSource.LITERAL), SecretInfo("B", SecretSource.FILE))
    table = WorkspaceTable(database)
    table.insert(dataclasses.replace(RECORD, secrets=secrets))
    record = table.find(ONE)
    assert record is not None
    assert record.secrets == secrets
