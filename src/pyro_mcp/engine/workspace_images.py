"""The images behind workspaces, and where they are.

    blank-workspace.ext4, empty.erofs     what every workspace's disk and an unseeded one's baseline are copies of
    workspaces/ID/baseline.erofs          what /workspace began as; never changes
    workspaces/ID/snapshots/NAME.ext4     the disk as it was at a moment
    workspaces/ID/secrets/NAME            a secret value (`engine/secrets.py`)

The disk at work lies with its machine (`machines/plan.py`): it comes and goes with that.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pyro_mcp.disk.baseline import make_baseline
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.host.files import Verified

WORKSPACE_BYTES = 64 << 30
"""Virtual size of the disk with what was changed in a workspace; on the host it takes what was written."""

# Large enough for a checkout, small beside the rest of an idle workspace.
_JOURNAL_MIB = 16


class WorkspaceImages:
    def __init__(self, state_dir: Path, verified: Verified) -> None:
        self._state_dir = state_dir
        self._verified = verified

    def create(self, workspace_id: str) -> Path:
        """The directory of a new workspace, made."""
        place = self._place(workspace_id)
        (place / "snapshots").mkdir(mode=0o700, parents=True)
        return place

    def remove(self, workspace_id: str) -> None:
        """Baseline, snapshots and secret values, if they are there."""
        place = self._place(workspace_id)
        if place.exists():
            shutil.rmtree(place)

    def known(self) -> list[str]:
        """The ids of all workspaces that have a directory."""
        root = self._state_dir / "workspaces"
        return [entry.name for entry in os.scandir(root)] if root.is_dir() else []

    def baseline(self, workspace_id: str) -> Path:
        return self._place(workspace_id) / "baseline.erofs"

    def snapshot(self, workspace_id: str, name: str) -> Path:
        return self._place(workspace_id) / "snapshots" / f"{name}.ext4"

    def aside(self, workspace_id: str, name: str) -> Path:
        """Where something may lie for a while that belongs to a workspace."""
        return self._place(workspace_id) / name

    def blank(self) -> Path:
        """The formatted disk that workspaces' disks begin as: made once per daemon, and again if it was touched."""
        path = self._state_dir / "blank-workspace.ext4"
        self._verified.check(path, lambda: blank(path, WORKSPACE_BYTES, journal_mib=_JOURNAL_MIB))
        return path

    def empty(self) -> Path:
        """The baseline without anything."""
        path = self._state_dir / "empty.erofs"
        self._verified.check(path, lambda: make_baseline(None, path))
        return path

    def _place(self, workspace_id: str) -> Path:
        return self._state_dir / "workspaces" / workspace_id
