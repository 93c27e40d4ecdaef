"""Rows of `machines` to records and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from pyro_mcp.model.machine import ExecutionMode, Isolation, ProcessIdentity
from pyro_mcp.model.network import Allowed
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.state.database import Database

KEEP_DELETED = 1000
"""How many records of deleted machines are kept to answer late questions."""


class MachineTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, record: MachineRecord) -> MachineRecord:
        """Store a new machine; its `slot` is given out here."""
        generated = {"slot", "process", "timings_ms"}
        values = {name: value for name, value in asdict(record).items() if name not in generated}
        values["allowed"] = ranges_json(record.allowed)
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._database.transaction() as connection:
            # Column names come from the dataclass, never from a caller.
            connection.execute(f"INSERT INTO machines ({columns}) VALUES ({marks})", tuple(values.values()))
        stored = self.find(record.vm_id)
        assert stored is not None
        return stored

    def find(self, vm_id: str) -> MachineRecord | None:
        rows = self._database.rows("SELECT * FROM machines WHERE vm_id = ?", vm_id)
        return _record(rows[0]) if rows else None

    def live(self) -> list[MachineRecord]:
        """All machines that are not deleted, oldest first."""
        return [
            _record(row) for row in self._database.rows("SELECT * FROM machines WHERE state != 'deleted' ORDER BY slot")
        ]

    def started(self, count: int) -> list[MachineRecord]:
        """The machines that were created last among those that have started, deleted or not; latest first."""
        rows = self._database.rows("SELECT * FROM machines WHERE timings_ms != '{}' ORDER BY slot DESC LIMIT ?", count)
        return [_record(row) for row in rows]

    def transition(
        self,
        vm_id: str,
        sources: Collection[MachineState],
        target: MachineState,
        *,
        reason: EndReason | None = None,
        now: float | None = None,
    ) -> bool:
        """Change the state if it is one of `sources`; whether it was.

        `reason` and `now` say why and when it ended, and stay as they are if None; a VM that runs has neither, one that
        does not run has no process.
        """
        up = target in (MachineState.STARTING, MachineState.RUNNING)
        # A deletion may still have a process to end.
        ended = target in (MachineState.STOPPED, MachineState.DELETED)
        marks = ", ".join("?" * len(sources))
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE machines SET state = ?, ended_at = iif(?, NULL, coalesce(?, ended_at)), "
                "end_reason = iif(?, NULL, coalesce(?, end_reason)), pid = iif(?, NULL, pid), "
                "pid_start_ticks = iif(?, NULL, pid_start_ticks), pid_boot_id = iif(?, NULL, pid_boot_id) "
                f"WHERE vm_id = ? AND state IN ({marks})",
                (target, up, now, up, reason, ended, ended, ended, vm_id, *sources),
            ).rowcount
            if target is MachineState.DELETED:
                connection.execute(
                    "DELETE FROM machines WHERE state = 'deleted' AND slot <= (SELECT max(slot) FROM machines) - ?",
                    (KEEP_DELETED,),
                )
        return changed == 1

    def set_process(self, vm_id: str, process: ProcessIdentity | None) -> None:
        values = (process.pid, process.start_ticks, process.boot_id) if process else (None, None, None)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE machines SET pid = ?, pid_start_ticks = ?, pid_boot_id = ? WHERE vm_id = ?", (*values, vm_id)
            )

    def set_timings(self, vm_id: str, timings_ms: Mapping[str, float]) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE machines SET timings_ms = ? WHERE vm_id = ?", (json.dumps(dict(timings_ms)), vm_id)
            )


def _record(row: sqlite3.Row) -> MachineRecord:
    process = None
    if row["pid"] is not None:
        process = ProcessIdentity(row["pid"], row["pid_start_ticks"], row["pid_boot_id"])
    return MachineRecord(
        slot=row["slot"],
        vm_id=row["vm_id"],
        state=MachineState(row["state"]),
        ephemeral=bool(row["ephemeral"]),
        environment=row["environment"],
        environment_version=row["environment_version"],
        environment_digest=row["environment_digest"],
        vcpu_count=row["vcpu_count"],
        mem_mib=row["mem_mib"],
        ttl_seconds=row["ttl_seconds"],
        network=bool(row["network"]),
        driver=row["driver"],
        isolation=Isolation(row["isolation"]),
        execution_mode=ExecutionMode(row["execution_mode"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
        end_reason=EndReason(row["end_reason"]) if row["end_reason"] else None,
        timings_ms=json.loads(row["timings_ms"]),
        process=process,
        allow_host_compat=bool(row["allow_host_compat"]),
        workspace_id=row["workspace_id"],
        allowed=ranges_of(row["allowed"]),
    )


def ranges_json(allowed: Iterable[Allowed]) -> str:
    return json.dumps([str(entry) for entry in allowed])


def ranges_of(text: str) -> tuple[Allowed, ...]:
    return tuple(Allowed.parse(entry) for entry in json.loads(text))
