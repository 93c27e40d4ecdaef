"""The SQLite file: opening, migrating, transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from pyro_mcp.errors import HostError

_BUSY_SECONDS = 5.0

# Where a guest has filled this host's disk, deleting it has to be written down first. So some room is held back: given
# up when there is less left than a few transactions take, taken again when there is plenty.
_RESERVE_BYTES = 4 << 20
_LOW_BYTES = 1 << 20
_PLENTY_BYTES = 64 << 20


class Database:
    """One connection, used from one thread. Close it when done."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and bring its schema up to date. Raises HostError `state-unreadable`."""
        try:
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL; PRAGMA trusted_schema=OFF;"
            )
            self._migrate()
        except sqlite3.Error as error:
            raise _unreadable(path, str(error)) from error
        path.chmod(0o600)
        self._reserve = path.with_name("reserve")

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: committed on leaving, rolled back on any exception. Raises HostError `state-unwritable`."""
        _hold_back(self._reserve)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself, as it does when the disk is full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise HostError(
                f"the state cannot be written: {error}",
                code="state-unwritable",
                hint="check the free space and the mode of PYRO_STATE_DIR",
            ) from error

    def rows(self, query: str, *parameters: object) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise HostError(f"the state cannot be read: {error}", code="state-unreadable") from error

    def _migrate(self) -> None:
        """Apply what is missing, each file with its version number in one transaction."""
        (done,) = self._connection.execute("PRAGMA user_version").fetchone()
        folder = resources.files(__package__).joinpath("migrations")
        scripts = sorted(
            (entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
        )
        if done > len(scripts):
            raise sqlite3.DatabaseError(f"its schema {done} is newer than this pyro knows ({len(scripts)})")
        for version, script in enumerate(scripts[done:], start=done + 1):
            sql = script.read_text(encoding="utf-8")
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version={version};\nCOMMIT;")


def _hold_back(reserve: Path) -> None:
    """Give up the reserve where it is needed now, take it anew where there is room."""
    with contextlib.suppress(OSError):
        system = os.statvfs(reserve.parent)
        free = system.f_bavail * system.f_frsize
        if free < _LOW_BYTES:
            reserve.unlink(missing_ok=True)
        elif free > _PLENTY_BYTES and not reserve.exists():
            file = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, _RESERVE_BYTES)
            finally:
                os.close(file)


def _unreadable(path: Path, reason: str) -> HostError:
    return HostError(
        f"the state file {path} cannot be used: {reason}",
        code="state-unreadable",
        hint="check its owner and mode, or name another directory in PYRO_STATE_DIR",
    )
