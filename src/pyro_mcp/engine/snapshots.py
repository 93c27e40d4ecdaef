"""Snapshots of a workspace: copies of its disk, each of one moment."""

from __future__ import annotations

import time
from pathlib import Path

from pyro_mcp.disk.clone import clone
from pyro_mcp.engine.files import Files
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError, UsageError
from pyro_mcp.host.files import allocated_bytes
from pyro_mcp.model.requests import require_identifier
from pyro_mcp.model.times import timestamp
from pyro_mcp.model.workspace import BASELINE, SnapshotRecord, WorkspaceRecord
from pyro_mcp.model.workspace_payloads import (
    SnapshotDeletePayload,
    SnapshotFields,
    SnapshotListPayload,
    SnapshotPayload,
)
from pyro_mcp.state.workspaces import SnapshotTable

MOST = 100
"""Snapshots of one workspace."""


_BROKEN = ("the workspace's disk has failed, as it does when this host's is full", "free some space, and reset it")
_REASONS = {
    "not-frozen": ("the guest was not held still to the end of the copy", "try again when this host is less busy"),
    "freeze-failed": _BROKEN,
    "thaw-failed": _BROKEN,
}


class Snapshots:
    def __init__(self, table: SnapshotTable, workspaces: Workspaces, files: Files) -> None:
        self._table = table
        self._workspaces = workspaces
        self._files = files

    async def create(self, workspace_id: object, name: object) -> SnapshotPayload:
        """Keep /workspace as it is now under `name`. Writing in there waits meanwhile."""
        chosen = _require_name(name)
        async with self._workspaces.changing(workspace_id) as record:
            self._require_free(record.workspace_id, chosen)
            place = self._workspaces.images.snapshot(record.workspace_id, chosen)
            place.unlink(missing_ok=True)  # of a daemon that was lost before it had noted it
            try:
                entries = await self._entries(record)
                await self._copy(record, place)
                snapshot = SnapshotRecord(
                    workspace_id=record.workspace_id,
                    name=chosen,
                    created_at=time.time(),
                    entry_count=entries,
                    bytes_written=allocated_bytes(place),
                )
                self._table.insert(snapshot)
            except BaseException:
                place.unlink(missing_ok=True)
                raise
            self._workspaces.touch(record.workspace_id)
        return {"workspace_id": record.workspace_id, "snapshot": _fields(snapshot)}

    def list(self, workspace_id: object) -> SnapshotListPayload:
        """The baseline first, then the others, oldest first."""
        record = self._workspaces.find(workspace_id)
        snapshots = [_baseline(record), *map(_fields, self._table.of(record.workspace_id))]
        return {"workspace_id": record.workspace_id, "count": len(snapshots), "snapshots": snapshots}

    async def delete(self, workspace_id: object, name: object) -> SnapshotDeletePayload:
        """Raises UsageError for the baseline, NotFoundError `snapshot-not-found`."""
        chosen = _require_name(name)
        async with self._workspaces.changing(workspace_id) as record:
            if self._table.find(record.workspace_id, chosen) is None:
                raise NotFoundError(
                    f"workspace {record.workspace_id} has no snapshot {chosen!r}",
                    code="snapshot-not-found",
                    hint=f"`pyro workspace snapshot list {record.workspace_id}` shows those it has",
                )
            self._table.delete(record.workspace_id, chosen)
            self._workspaces.images.snapshot(record.workspace_id, chosen).unlink(missing_ok=True)
        return {"workspace_id": record.workspace_id, "snapshot_name": chosen, "deleted": True}

    def _require_free(self, workspace_id: str, name: str) -> None:
        if self._table.find(workspace_id, name) is not None:
            raise ConflictError(
                f"workspace {workspace_id} has a snapshot {name!r} already",
                code="snapshot-exists",
                hint="choose another name, or delete that one first",
            )
        if len(self._table.of(workspace_id)) >= MOST:
            raise ConflictError(f"workspace {workspace_id} has {MOST} snapshots", code="too-many-snapshots")

    async def _entries(self, record: WorkspaceRecord) -> int:
        """How much /workspace holds: what it began with, and what came and went since."""
        summary = (await self._files.diff(record.workspace_id, patches=False))["summary"]
        return max(0, record.seed.entry_count + summary["added"] - summary["deleted"])

    async def _copy(self, record: WorkspaceRecord, place: Path) -> None:
        try:
            async with self._workspaces.working(record.workspace_id) as (_, machine), machine.frozen() as disk:
                await in_thread(lambda: clone(disk, place))
        except GuestError as error:
            reason = _REASONS.get(str(error.details.get("guest_code")))
            if reason is None:
                raise
            raise ConflictError(f"there is no snapshot: {reason[0]}", code="snapshot-failed", hint=reason[1]) from error


def _require_name(name: object) -> str:
    chosen = require_identifier("snapshot_name", name)
    if chosen == BASELINE:
        raise UsageError(
            f"{BASELINE!r} is the state right after create: it is always there, and cannot be made or deleted",
            code="snapshot-reserved",
        )
    return chosen


def _baseline(record: WorkspaceRecord) -> SnapshotFields:
    return {
        "snapshot_name": BASELINE,
        "kind": BASELINE,
        "created_at": timestamp(record.created_at),
        "entry_count": record.seed.entry_count,
        "bytes_written": record.seed.bytes_written,
        "deletable": False,
    }


def _fields(record: SnapshotRecord) -> SnapshotFields:
    return {
        "snapshot_name": record.name,
        "kind": "named",
        "created_at": timestamp(record.created_at),
        "entry_count": record.entry_count,
        "bytes_written": record.bytes_written,
        "deletable": True,
    }
