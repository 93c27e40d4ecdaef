"""This host's disk full, because a guest has filled it: what can still be done, and above all undone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pyro_mcp.errors import PyroError
from tests.guest.test_workspace_life import said
from tests.harness.installation import Installation

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


def test_a_guest_that_fills_the_disk_can_be_reset_and_deleted(shared_pyro: Installation, tmp_path: Path) -> None:
    assert shared_pyro.state_dir.exists()  # the environment is there
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "pyro-test", tmp_path], check=True)
    pyro = Installation(tmp_path / "state")
    try:
        sdk = pyro.sdk()
        workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
        fill = "head -c 300000000 /dev/urandom > large; sync"
        sdk.exec_workspace(workspace_id, command=fill, timeout_seconds=200)
        assert shutil.disk_usage(tmp_path).free < 8 << 20

        assert sdk.status_workspace(workspace_id)["state"] == "started"
        with pytest.raises(PyroError) as failed:
            sdk.create_snapshot(workspace_id, "s")
        assert failed.value.code in ("snapshot-failed", "no-space")
        assert sdk.reset_workspace(workspace_id)["reset_count"] == 1
        assert said(pyro, workspace_id, "ls; echo fresh") == "fresh\n"
        assert sdk.delete_workspace(workspace_id)["deleted"]
        assert shutil.disk_usage(tmp_path).free > 80 << 20
    finally:
        pyro.stop()
        subprocess.run(["umount", tmp_path], check=True)
