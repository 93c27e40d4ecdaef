"""Records in the state file, and files that are none."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError
from pyro_mcp.model.machine import ExecutionMode, Isolation, ProcessIdentity
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.state.database import Database
from pyro_mcp.state.machines import KEEP_DELETED, MachineTable

RECORD = MachineRecord(
    slot=0,
    vm_id="vm-000000000001",
    state=MachineState.CREATED,
    ephemeral=True,
    environment="debian:12",
    environment_version="4.0.0",
    environment_digest="sha256:00",
    vcpu_count=2,
    mem_mib=512,
    ttl_seconds=600,
    network=False,
    driver="qemu",
    isolation=Isolation.EMULATED,
    execution_mode=ExecutionMode.GUEST_SERIAL,
    created_at=1.5,
    expires_at=601.5,
    allow_host_compat=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(path)
    yield database
    database.close()


@pytest.fixture
def table(database: Database) -> MachineTable:
    return MachineTable(database)


def test_a_record_comes_back_as_it_was_stored(table: MachineTable) -> None:
    stored = table.insert(RECORD)

    assert stored == dataclasses.replace(RECORD, slot=stored.slot)
    assert table.find(RECORD.vm_id) == stored
    assert table.find("vm-ffffffffffff") is None


def test_what_happens_to_a_machine_is_kept(table: MachineTable, database: Database, path: Path) -> None:
    table.insert(RECORD)
    process = ProcessIdentity(7, 99, "boot")
    table.set_process(RECORD.vm_id, process)
    table.set_timings(RECORD.vm_id, {"agent": 12.5})
    table.transition(RECORD.vm_id, {MachineState.CREATED}, MachineState.DELETING, now=9.0, reason=EndReason.GUEST_ENDED)
    database.close()

    again = Database(path)
    found = MachineTable(again).find(RECORD.vm_id)
    again.close()
    assert found is not None
    assert (found.process, found.timings_ms) == (process, {"agent": 12.5})
    assert (found.state, found.ended_at, found.end_reason) == (MachineState.DELETING, 9.0, EndReason.GUEST_ENDED)


def test_slots_are_never_given_out_twice(table: MachineTable) -> None:
    slots = set()
    for number in range(5):
        vm_id = f"vm-{number:012x}"
        slots.add(table.insert(dataclasses.replace(RECORD, vm_id=vm_id)).slot)
        table.transition(vm_id, set(MachineState), MachineState.DELETED, now=0.0, reason=EndReason.POST_EXEC)
    assert len(slots) == 5
    assert table.live() == []


def test_records_of_deleted_machines_are_bounded(table: MachineTable, database: Database) -> None:
    for number in range(KEEP_DELETED + 20):
        vm_id = f"vm-{number:012x}"
        table.insert(dataclasses.replace(RECORD, vm_id=vm_id))
        table.transition(vm_id, set(MachineState), MachineState.DELETED, now=0.0, reason=EndReason.POST_EXEC)

    assert len(database.rows("SELECT 1 FROM machines")) == KEEP_DELETED


def test_a_transaction_that_fails_leaves_nothing(table: MachineTable, database: Database) -> None:
    table.insert(RECORD)

    def half() -> None:
        with database.transaction() as connection:
            connection.execute("UPDATE machines SET mem_mib = 1")
            connection.execute("UPDATE machines SET state = 'levitating'")

    with pytest.raises(HostError, match="cannot be written"):
        half()
    found = table.find(RECORD.vm_id)
    assert found is not None
    assert found.mem_mib == RECORD.mem_mib


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at", b"\0" * 4096])
def test_a_file_that_is_no_database_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(HostError) as refused:
        Database(path)
    assert refused.value.code == "state-unreadable"


def test_a_schema_of_a_later_version_is_left_alone(path: Path) -> None:
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HostError, match="newer"):
        Database(path)


def test_whoever_comes_late_changes_nothing(table: MachineTable) -> None:
    table.insert(RECORD)
    assert table.transition(
        RECORD.vm_id, {MachineState.CREATED}, MachineState.DELETING, now=1.0, reason=EndReason.POST_EXEC
    )
    for source in (MachineState.RUNNING, MachineState.STARTING, MachineState.STOPPED):
        assert not table.transition(
            RECORD.vm_id, {source}, MachineState.STOPPED, now=2.0, reason=EndReason.EXPLICIT_STOP
        )
    found = table.find(RECORD.vm_id)
    assert found is not None
    assert (found.state, found.end_reason, found.ended_at) == (MachineState.DELETING, EndReason.POST_EXEC, 1.0)


def test_a_machine_that_runs_again_has_not_ended_and_one_that_ended_has_no_process(table: MachineTable) -> None:
    table.insert(RECORD)
    table.set_process(RECORD.vm_id, ProcessIdentity(7, 99, "boot"))
    every = set(MachineState)
    table.transition(RECORD.vm_id, every, MachineState.STOPPED, now=1.0, reason=EndReason.EXPLICIT_STOP)
    stopped = table.find(RECORD.vm_id)
    table.transition(RECORD.vm_id, every, MachineState.STARTING)
    starting = table.find(RECORD.vm_id)
    assert stopped is not None
    assert starting is not None
    assert (stopped.process, stopped.ended_at) == (None, 1.0)
    assert (starting.end_reason, starting.ended_at) == (None, None)
