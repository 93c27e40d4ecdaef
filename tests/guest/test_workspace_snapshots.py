"""Snapshots: of one moment, named, kept through everything but deletion, gone back to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError, PyroError, UsageError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation


def test_going_back_to_a_snapshot_brings_everything_back(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "mkdir d; echo one > d/file; ln d/file twin; ln -s d link")
        kept = sdk.create_snapshot(workspace_id, "first")["snapshot"]
        assert (kept["kind"], kept["entry_count"], kept["deletable"]) == ("named", 4, True)
        said(pyro, workspace_id, "echo two > d/file; rm twin; echo outside > /root/x")
        sdk.create_snapshot(workspace_id, "second")

        sdk.reset_workspace(workspace_id, snapshot="first")
        assert said(
            pyro, workspace_id, "cat d/file twin; readlink link; stat -c %h d/file; ls -A /root/x 2>&1 | wc -l"
        ) == ("one\none\nd\n2\n1\n")
        sdk.reset_workspace(workspace_id, snapshot="second")
        assert said(pyro, workspace_id, "cat d/file; ls") == "two\nd\nlink\n"
        names = [snapshot["snapshot_name"] for snapshot in sdk.list_snapshots(workspace_id)["snapshots"]]
        assert names == ["baseline", "first", "second"]
        assert sdk.status_workspace(workspace_id)["reset_count"] == 2


def test_a_snapshot_is_of_one_moment_while_files_are_written(pyro: Installation) -> None:
    """Two files are always written one after the other: a copy may be one ahead, never two."""
    sdk = pyro.sdk()
    write = "echo $i > a.new; mv a.new a; sync a; echo $i > b.new; mv b.new b"
    script = f"i=0; while [ ! -e stop ]; do i=$((i+1)); {write}; done"
    with workspace(pyro) as workspace_id:
        writer = threading.Thread(
            target=lambda: sdk.exec_workspace(workspace_id, command=script, timeout_seconds=600), daemon=True
        )
        said(pyro, workspace_id, "echo 0 > a; echo 0 > b")
        writer.start()
        for number in range(3):
            sdk.create_snapshot(workspace_id, f"s{number}")
        said(pyro, workspace_id, "touch stop")
        writer.join(120)
        for number in range(3):
            sdk.reset_workspace(workspace_id, snapshot=f"s{number}")
            first, second = map(int, said(pyro, workspace_id, "cat a b").split())
            assert 0 <= first - second <= 1


def test_snapshots_have_names_of_their_own(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        sdk.create_snapshot(workspace_id, "one")
        for name, error, code in (
            ("one", ConflictError, "snapshot-exists"),
            ("baseline", UsageError, "snapshot-reserved"),
            ("", UsageError, "invalid-name"),
            ("../x", UsageError, "invalid-name"),
            ("x" * 65, UsageError, "invalid-name"),
        ):
            with pytest.raises(error) as refused:
                sdk.create_snapshot(workspace_id, name)
            assert refused.value.code == code
        with pytest.raises(UsageError):
            sdk.delete_snapshot(workspace_id, "baseline")
        with pytest.raises(NotFoundError):
            sdk.delete_snapshot(workspace_id, "two")

        assert sdk.delete_snapshot(workspace_id, "one")["deleted"]
        assert list((pyro.state_dir / "workspaces" / workspace_id / "snapshots").iterdir()) == []
        sdk.stop_workspace(workspace_id)
        with pytest.raises(PyroError) as stopped:
            sdk.create_snapshot(workspace_id, "late")
        assert stopped.value.code == "workspace-stopped"


def test_a_snapshot_costs_what_was_changed(pyro: Installation, tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/large").write_bytes(b"x" * (40 << 20))
    with workspace(pyro, seed_path=tmp_path / "seed") as workspace_id:
        said(pyro, workspace_id, "echo small > change")
        kept = pyro.sdk().create_snapshot(workspace_id, "small")["snapshot"]
        assert kept["bytes_written"] < 8 << 20
