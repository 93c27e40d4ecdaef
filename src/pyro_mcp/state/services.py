"""Rows of `services` to records and back."""

from __future__ import annotations

import json
import sqlite3

from pyro_mcp.model.service import PublishedPort, ServiceRecord, ServiceState
from pyro_mcp.state.database import Database


class ServiceTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, record: ServiceRecord) -> None:
        """Store a service; one of that name is replaced."""
        values = {name: getattr(record, name) for name in ServiceRecord.__slots__}
        values["readiness"] = None if record.readiness is None else json.dumps(dict(record.readiness))
        values["ports"] = json.dumps([[port.guest_port, port.host_port] for port in record.ports])
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._database.transaction() as connection:
            # Column names come from the dataclass, never from a caller.
            connection.execute(f"REPLACE INTO services ({columns}) VALUES ({marks})", tuple(values.values()))

    def find(self, workspace_id: str, name: str) -> ServiceRecord | None:
        rows = self._database.rows("SELECT * FROM services WHERE workspace_id = ? AND name = ?", workspace_id, name)
        return _record(rows[0]) if rows else None

    def of(self, workspace_id: str) -> list[ServiceRecord]:
        """By name."""
        rows = self._database.rows("SELECT * FROM services WHERE workspace_id = ? ORDER BY name", workspace_id)
        return [_record(row) for row in rows]

    def alive(self) -> list[ServiceRecord]:
        """Of all workspaces, those that run as far as it was noted."""
        rows = self._database.rows("SELECT * FROM services WHERE state IN ('starting', 'running')")
        return [_record(row) for row in rows]

    def started(self, record: ServiceRecord, pid: int) -> None:
        self._set(record, "pid = ?", pid)

    def ready(self, record: ServiceRecord, *, pid: int, now: float) -> None:
        """It runs, unless its end was noted already."""
        self._set(record, "state = 'running', pid = ?, ready_at = ?", pid, now, only_alive=True)

    def end(
        self, record: ServiceRecord, state: ServiceState, *, now: float, exit_code: int | None, reason: str
    ) -> None:
        """It runs no more; what is noted of an end first counts."""
        self._set(
            record,
            "state = ?, ended_at = ?, exit_code = ?, stop_reason = ?",
            state,
            now,
            exit_code,
            reason,
            only_alive=True,
        )

    def _set(self, record: ServiceRecord, assignments: str, *values: object, only_alive: bool = False) -> None:
        """Change the row of this very start: after a reset, or another start, it is another's."""
        alive = " AND state IN ('starting', 'running')" if only_alive else ""
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE services SET {assignments} WHERE workspace_id = ? AND name = ? AND started_at = ?{alive}",
                (*values, record.workspace_id, record.name, record.started_at),
            )


def _record(row: sqlite3.Row) -> ServiceRecord:
    values = {name: row[name] for name in ServiceRecord.__slots__}
    values["state"] = ServiceState(values["state"])
    values["readiness"] = None if values["readiness"] is None else json.loads(values["readiness"])
    values["ports"] = tuple(PublishedPort(guest, host) for guest, host in json.loads(values["ports"]))
    return ServiceRecord(**values)
