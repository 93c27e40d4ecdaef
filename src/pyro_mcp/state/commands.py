"""Rows of `commands`: what machines were told to run, and how it ended."""

from __future__ import annotations

import sqlite3

from pyro_mcp.model.record import CommandRecord, CommandState
from pyro_mcp.state.database import Database


class CommandTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, vm_id: str, command: str, *, now: float) -> int:
        """Note that a command is about to run; returns its sequence number."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO commands (vm_id, command, state, started_at) VALUES (?, ?, 'running', ?)",
                (vm_id, command, now),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end(self, sequence: int, *, exit_code: int | None, now: float) -> None:
        """Note how it ended; without an exit code it was interrupted."""
        state = CommandState.INTERRUPTED if exit_code is None else CommandState.ENDED
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE commands SET state = ?, exit_code = ?, ended_at = ? WHERE sequence = ?",
                (state, exit_code, now, sequence),
            )

    def interrupt_running(self, *, now: float) -> None:
        """What is noted as running was left by an earlier daemon: it has no end, and never gets another."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE commands SET state = 'interrupted', ended_at = ? WHERE state = 'running'", (now,)
            )

    def of(self, vm_id: str) -> list[CommandRecord]:
        """The commands of a machine, oldest first."""
        query = "SELECT * FROM commands WHERE vm_id = ? ORDER BY sequence"
        return [_record(row) for row in self._database.rows(query, vm_id)]


def _record(row: sqlite3.Row) -> CommandRecord:
    return CommandRecord(
        sequence=row["sequence"],
        vm_id=row["vm_id"],
        command=row["command"],
        state=CommandState(row["state"]),
        exit_code=row["exit_code"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
