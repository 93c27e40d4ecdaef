"""The disks of a stopped workspace: listed, read, written to one image. The host's own tools check the image."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyro_mcp.errors import ConflictError, PyroError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation


def debugfs(image: Path, request: str) -> str:
    """What e2fsprogs' own reader says; the image is one that our helper's kernel wrote."""
    done = subprocess.run(["/sbin/debugfs", "-R", request, image], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_stopped_workspace_is_listed_and_read_anywhere(pyro: Installation, tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/given").write_text("given\n")
    sdk = pyro.sdk()
    with workspace(pyro, seed_path=tmp_path / "seed") as workspace_id:
        said(pyro, workspace_id, "echo new > made; ln -s /etc/shadow link; echo root > /etc/mine; chmod 600 /etc/mine")
        with pytest.raises(ConflictError) as started:
            sdk.list_workspace_disk(workspace_id)
        assert started.value.code == "workspace-started"
        sdk.stop_workspace(workspace_id)
        before = (pyro.state_dir / "machines").stat().st_nlink

        entries = sdk.list_workspace_disk(workspace_id)["entries"]
        assert [(entry["path"], entry["artifact_type"], entry["link_target"]) for entry in entries] == [
            ("/workspace/given", "file", None),
            ("/workspace/link", "symlink", "/etc/shadow"),
            ("/workspace/made", "file", None),
        ]
        assert sdk.read_workspace_disk(workspace_id, "made")["content"] == "new\n"
        assert sdk.read_workspace_disk(workspace_id, "/etc/mine")["content"] == "root\n"
        top = [entry["path"] for entry in sdk.list_workspace_disk(workspace_id, path="/")["entries"]]
        assert {"/etc", "/usr", "/workspace"} <= set(top)
        with pytest.raises(PyroError) as missing:
            sdk.read_workspace_disk(workspace_id, "/etc/none")
        assert missing.value.code == "path-not-found"
        assert (pyro.state_dir / "machines").stat().st_nlink == before

        sdk.start_workspace(workspace_id)
        assert said(pyro, workspace_id, "cat made /etc/mine") == "new\nroot\n"


def test_everything_goes_into_one_image(pyro: Installation, tmp_path: Path) -> None:
    (tmp_path / "seed/sub").mkdir(parents=True)
    (tmp_path / "seed/given").write_text("given\n")
    sdk = pyro.sdk()
    with workspace(pyro, seed_path=tmp_path / "seed") as workspace_id:
        said(
            pyro,
            workspace_id,
            "echo new > sub/made; chown 1234:56 sub/made; chmod 4711 sub/made; ln given twin; ln -s /nowhere link;"
            "head -c 3000000 /dev/urandom > large; sha256sum large > sum; echo root > /root/mine;"
            "rm /etc/motd; mkfifo fifo",
        )
        digest = said(pyro, workspace_id, "cut -c1-64 sum").strip()
        sdk.stop_workspace(workspace_id)
        with pytest.raises(PyroError) as exists:
            sdk.export_workspace_disk(workspace_id, output_path=tmp_path / "seed")
        assert exists.value.code == "output-exists"
        made = sdk.export_workspace_disk(workspace_id, output_path=tmp_path / "image")
        assert sdk.status_workspace(workspace_id)["state"] == "stopped"
        assert not (pyro.state_dir / "workspaces" / workspace_id / "image.ext4").exists()

    image = tmp_path / "image"
    assert image.stat().st_size == made["size_bytes"]
    assert made["bytes_written"] < made["size_bytes"]
    checked = subprocess.run(["/sbin/e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert debugfs(image, "cat /workspace/given") == "given\n"
    assert debugfs(image, "cat /root/mine") == "root\n"
    stat = debugfs(image, "stat /workspace/sub/made")
    assert "User:  1234" in stat
    assert "Group:    56" in stat
    assert "Mode:  04711" in stat
    assert "Links: 2" in debugfs(image, "stat /workspace/twin")
    assert 'Fast link dest: "/nowhere"' in debugfs(image, "stat /workspace/link")
    assert "FIFO" in debugfs(image, "stat /workspace/fifo")
    assert "motd" not in debugfs(image, "ls /etc").split()
    assert "git" in debugfs(image, "ls /usr/bin").split()
    debugfs(image, f"dump /workspace/large {tmp_path / 'large'}")
    assert subprocess.run(["sha256sum", tmp_path / "large"], capture_output=True, text=True).stdout[:64] == digest


def test_an_image_that_cannot_be_leaves_nothing(own_pyro: Installation, tmp_path: Path) -> None:
    sdk = own_pyro.sdk()
    with workspace(own_pyro) as workspace_id:
        sdk.stop_workspace(workspace_id)
        with pytest.raises(PyroError) as refused:
            sdk.export_workspace_disk(workspace_id, output_path=tmp_path / "none" / "image")
        assert refused.value.code == "output-parent-missing"
        assert list(tmp_path.iterdir()) == []
