"""Rows of `workspaces` and `snapshots` to records and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import asdict

from pyro_mcp.model.network import NetworkPolicy
from pyro_mcp.model.record import EndReason
from pyro_mcp.model.secrets import SecretInfo, SecretSource
from pyro_mcp.model.workspace import Seed, SeedMode, SnapshotRecord, WorkspaceRecord, WorkspaceState
from pyro_mcp.state.database import Database
from pyro_mcp.state.machines import ranges_json, ranges_of

KEEP_DELETED = 1000
"""How many records of deleted workspaces are kept to answer late questions."""

_JSON = ("labels", "seed", "secrets")


class WorkspaceTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, record: WorkspaceRecord) -> None:
        values = {name: json.dumps(value) if name in _JSON else value for name, value in asdict(record).items()}
        values["allowed"] = ranges_json(record.allowed)
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._database.transaction() as connection:
            # Column names come from the dataclass, never from a caller.
            connection.execute(f"INSERT INTO workspaces ({columns}) VALUES ({marks})", tuple(values.values()))

    def find(self, workspace_id: str) -> WorkspaceRecord | None:
        rows = self._database.rows("SELECT * FROM workspaces WHERE workspace_id = ?", workspace_id)
        return _record(rows[0]) if rows else None

    def live(self) -> list[WorkspaceRecord]:
        """All that are not deleted, oldest first."""
        query = "SELECT * FROM workspaces WHERE state != 'deleted' ORDER BY slot"
        return [_record(row) for row in self._database.rows(query)]

    def transition(
        self,
        workspace_id: str,
        sources: Collection[WorkspaceState],
        target: WorkspaceState,
        *,
        reason: EndReason | None = None,
        now: float | None = None,
    ) -> bool:
        """Change the state if it is one of `sources`; whether it was. `reason` and `now` stay as they are if None."""
        marks = ", ".join("?" * len(sources))
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE workspaces SET state = ?, end_reason = coalesce(?, end_reason), "
                "ended_at = coalesce(?, ended_at) "
                f"WHERE workspace_id = ? AND state IN ({marks})",
                (target, reason, now, workspace_id, *sources),
            ).rowcount
            if target is WorkspaceState.DELETED:
                connection.execute("DELETE FROM snapshots WHERE workspace_id = ?", (workspace_id,))
                connection.execute("DELETE FROM workspace_commands WHERE workspace_id = ?", (workspace_id,))
                connection.execute("DELETE FROM services WHERE workspace_id = ?", (workspace_id,))
                connection.execute(
                    "DELETE FROM workspaces WHERE state = 'deleted' AND slot <= (SELECT max(slot) FROM workspaces) - ?",
                    (KEEP_DELETED,),
                )
        return changed == 1

    def give_machine(self, workspace_id: str, vm_id: str, seed: Seed) -> None:
        """It has its first machine and is ready."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE workspaces SET vm_id = ?, seed = ?, state = 'ready' "
                "WHERE workspace_id = ? AND state = 'creating'",
                (vm_id, json.dumps(asdict(seed)), workspace_id),
            )

    def replace_machine(self, workspace_id: str, vm_id: str, *, now: float) -> bool:
        """A reset has happened: another machine, and no history any more. False if it is being deleted."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE workspaces SET vm_id = ?, reset_count = reset_count + 1, last_reset_at = ?, "
                "last_activity_at = ? WHERE workspace_id = ? AND state = 'ready'",
                (vm_id, now, now, workspace_id),
            ).rowcount
            if changed:
                connection.execute("DELETE FROM workspace_commands WHERE workspace_id = ?", (workspace_id,))
                connection.execute("DELETE FROM services WHERE workspace_id = ?", (workspace_id,))
        return changed == 1

    def describe(self, workspace_id: str, *, name: str | None, labels: Mapping[str, str]) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE workspaces SET name = ?, labels = ? WHERE workspace_id = ?",
                (name, json.dumps(dict(labels)), workspace_id),
            )

    def set_life(self, workspace_id: str, *, ttl_seconds: int, expires_at: float | None) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE workspaces SET ttl_seconds = ?, expires_at = ? WHERE workspace_id = ?",
                (ttl_seconds, expires_at, workspace_id),
            )

    def touch(self, workspace_id: str, *, now: float) -> None:
        """Something was done in it."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE workspaces SET last_activity_at = ? WHERE workspace_id = ?", (now, workspace_id))


class SnapshotTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, record: SnapshotRecord) -> None:
        values = asdict(record)
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._database.transaction() as connection:
            connection.execute(f"INSERT INTO snapshots ({columns}) VALUES ({marks})", tuple(values.values()))

    def find(self, workspace_id: str, name: str) -> SnapshotRecord | None:
        rows = self._database.rows("SELECT * FROM snapshots WHERE workspace_id = ? AND name = ?", workspace_id, name)
        return _snapshot(rows[0]) if rows else None

    def of(self, workspace_id: str) -> list[SnapshotRecord]:
        """Oldest first."""
        query = "SELECT * FROM snapshots WHERE workspace_id = ? ORDER BY created_at, name"
        return [_snapshot(row) for row in self._database.rows(query, workspace_id)]

    def delete(self, workspace_id: str, name: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM snapshots WHERE workspace_id = ? AND name = ?", (workspace_id, name))


def _record(row: sqlite3.Row) -> WorkspaceRecord:
    values = {name: row[name] for name in WorkspaceRecord.__slots__}
    seed = json.loads(values["seed"])
    values["seed"] = Seed(**{**seed, "mode": SeedMode(seed["mode"]), "skipped": tuple(seed["skipped"])})
    values["labels"] = json.loads(values["labels"])
    secrets = json.loads(values["secrets"])
    values["secrets"] = tuple(SecretInfo(entry["name"], SecretSource(entry["source_kind"])) for entry in secrets)
    values["state"] = WorkspaceState(values["state"])
    values["network_policy"] = NetworkPolicy(values["network_policy"])
    values["allowed"] = ranges_of(values["allowed"])
    values["end_reason"] = EndReason(values["end_reason"]) if values["end_reason"] else None
    return WorkspaceRecord(**values)


def _snapshot(row: sqlite3.Row) -> SnapshotRecord:
    return SnapshotRecord(**{name: row[name] for name in SnapshotRecord.__slots__})
