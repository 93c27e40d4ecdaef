"""Rows of `workspace_commands`: what a workspace was told to run since its last reset, and how it ended."""

from __future__ import annotations

import sqlite3

from pyro_mcp.model.record import CommandState
from pyro_mcp.model.workspace import CommandOutcome, HistoryRecord
from pyro_mcp.state.database import Database

_TOUCH = "UPDATE workspaces SET last_activity_at = ? WHERE workspace_id = ?"


class HistoryTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, workspace_id: str, command: str, cwd: str, *, now: float) -> int:
        """Note that a command is about to run; returns its number, counted from 1 since the last reset.

        Beginning and end of a command are activity of its workspace.
        """
        with self._database.transaction() as connection:
            connection.execute(_TOUCH, (now, workspace_id))
            (sequence,) = connection.execute(
                "INSERT INTO workspace_commands (workspace_id, sequence, command, cwd, state, started_at) "
                "SELECT ?1, 1 + coalesce(max(sequence), 0), ?2, ?3, 'running', ?4 "
                "FROM workspace_commands WHERE workspace_id = ?1 RETURNING sequence",
                (workspace_id, command, cwd, now),
            ).fetchone()
        return int(sequence)

    def end(self, workspace_id: str, sequence: int, outcome: CommandOutcome, *, started_at: float, now: float) -> None:
        """Note how the one that began then ended; without an exit code it was interrupted.

        Does nothing where a reset has forgotten it, though another one may have its number by now.
        """
        state = CommandState.INTERRUPTED if outcome.exit_code is None else CommandState.ENDED
        with self._database.transaction() as connection:
            connection.execute(_TOUCH, (now, workspace_id))
            connection.execute(
                "UPDATE workspace_commands SET state = ?, exit_code = ?, duration_ms = ?, stdout = ?, stderr = ?, "
                "ended_at = ? WHERE workspace_id = ? AND sequence = ? AND state = 'running' AND started_at = ?",
                (
                    state,
                    outcome.exit_code,
                    outcome.duration_ms,
                    outcome.stdout,
                    outcome.stderr,
                    now,
                    workspace_id,
                    sequence,
                    started_at,
                ),
            )

    def interrupt_running(self, *, now: float) -> None:
        """What is noted as running was left by an earlier daemon: it has no end, and never gets another."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE workspace_commands SET state = 'interrupted', ended_at = ? WHERE state = 'running'", (now,)
            )

    def count(self, workspace_id: str) -> int:
        query = "SELECT count(*) FROM workspace_commands WHERE workspace_id = ?"
        return int(self._database.rows(query, workspace_id)[0][0])

    def last(self, workspace_id: str) -> HistoryRecord | None:
        query = "SELECT * FROM workspace_commands WHERE workspace_id = ? ORDER BY sequence DESC LIMIT 1"
        rows = self._database.rows(query, workspace_id)
        return _record(rows[0]) if rows else None

    def of(self, workspace_id: str) -> list[HistoryRecord]:
        """Oldest first."""
        query = "SELECT * FROM workspace_commands WHERE workspace_id = ? ORDER BY sequence"
        return [_record(row) for row in self._database.rows(query, workspace_id)]


def _record(row: sqlite3.Row) -> HistoryRecord:
    values = {name: row[name] for name in HistoryRecord.__slots__}
    return HistoryRecord(**{**values, "state": CommandState(values["state"])})
