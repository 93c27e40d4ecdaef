"""Workspaces: created from seeds, described, stopped and started, reset, deleted, expired, taken over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError, PyroError, UsageError
from tests.harness.installation import Installation, until, wait_gone
from tests.harness.trees import nasty_tree, tree_of
from tests.harness.vmm import VMM


@contextmanager
def workspace(pyro: Installation, **options: object) -> Iterator[str]:
    """A workspace's id; it is deleted afterwards."""
    workspace_id = pyro.sdk().create_workspace(environment="debian:12", **options)["workspace_id"]  # type: ignore[arg-type]
    try:
        yield workspace_id
    finally:
        pyro.sdk().delete_workspace(workspace_id)


def said(pyro: Installation, workspace_id: str, command: str) -> str:
    result = pyro.sdk().exec_workspace(workspace_id, command=command)
    assert result["exit_code"] == 0, result
    return result["stdout"]


def test_an_empty_workspace_is_started_and_says_what_it_is(pyro: Installation) -> None:
    sdk = pyro.sdk()
    created = sdk.create_workspace(environment="debian:12", name="mine", labels={"team": "a"}, ttl_seconds=3600)
    try:
        assert re.fullmatch(r"ws-[0-9a-f]{12}", created["workspace_id"])
        assert (created["state"], created["isolation"], created["name"]) == ("started", VMM.isolation, "mine")
        assert created["workspace_seed"]["mode"] == "empty"
        assert (created["labels"], created["network_policy"], created["secrets"]) == ({"team": "a"}, "off", [])
        assert said(pyro, created["workspace_id"], "pwd; ls -A; id -u; umask") == "/workspace\n0\n0022\n"
        assert sdk.status_workspace(created["workspace_id"])["command_count"] == 1
        assert [entry["workspace_id"] for entry in sdk.list_workspaces()["workspaces"]] == [created["workspace_id"]]
    finally:
        assert sdk.delete_workspace(created["workspace_id"])["deleted"]
    with pytest.raises(NotFoundError) as gone:
        sdk.status_workspace(created["workspace_id"])
    assert gone.value.code == "workspace-not-found"


def test_what_one_command_leaves_the_next_one_finds(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "echo kept > file; echo also > /root/elsewhere; cd /tmp")
        assert said(pyro, workspace_id, "cat file /root/elsewhere; pwd") == "kept\nalso\n/workspace\n"


def test_a_seeded_tree_comes_out_as_it_went_in(pyro: Installation, tmp_path: Path) -> None:
    seed = nasty_tree(tmp_path / "seed")
    with workspace(pyro, seed_path=seed) as workspace_id:
        status = pyro.sdk().status_workspace(workspace_id)["workspace_seed"]
        assert (status["mode"], sorted(status["skipped"])) == ("directory", ["fifo", "socket"])
        owners = said(pyro, workspace_id, "find . -printf '%u:%g\\n' | sort -u")
        assert owners == "root:root\n"
        made = pyro.sdk().export_workspace(workspace_id, ".", output_path=tmp_path / "out")
        assert not pyro.sdk().diff_workspace(workspace_id)["changed"]

    assert (made["artifact_type"], made["output_path"]) == ("directory", str(tmp_path / "out"))
    assert tree_of(tmp_path / "out") == tree_of(seed)
    assert (tmp_path / "out/sparse").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
def test_an_archive_is_a_seed(pyro: Installation, tmp_path: Path, suffix: str) -> None:
    seed = nasty_tree(tmp_path / "seed")
    packed = tmp_path / f"seed{suffix}"
    flags = {".tar": "-c", ".tar.zst": "--zstd"}.get(suffix, "-z")
    subprocess.run(
        ["tar", "--format=pax", flags, *(() if flags == "-c" else ("-c",)), "-f", packed, "-C", seed, "."], check=True
    )
    with workspace(pyro, seed_path=packed) as workspace_id:
        assert pyro.sdk().status_workspace(workspace_id)["workspace_seed"]["mode"] == "tar_archive"
        pyro.sdk().export_workspace(workspace_id, "/workspace", output_path=tmp_path / "out")

    expected = tree_of(seed)
    assert tree_of(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("seed", "code"), [("missing", "seed-not-found"), ("file.txt", "seed-unsupported"), ("torn.tar", "bad-archive")]
)
def test_a_seed_that_is_none_leaves_nothing(pyro: Installation, tmp_path: Path, seed: str, code: str) -> None:
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "torn.tar").write_bytes(b"x" * 700)
    with pytest.raises(PyroError) as refused:
        pyro.sdk().create_workspace(environment="debian:12", seed_path=tmp_path / seed)

    assert refused.value.code == code
    assert pyro.sdk().list_workspaces()["count"] == 0
    assert list((pyro.state_dir / "workspaces").iterdir()) == []


def test_a_workspace_is_described_anew(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro, name="old", labels={"a": "1", "b": "2"}, ttl_seconds=600) as workspace_id:
        before = sdk.status_workspace(workspace_id)
        changed = sdk.update_workspace(workspace_id, name="new", labels={"c": "3"}, clear_labels=["a"], ttl_seconds=0)

        assert (changed["name"], changed["labels"], changed["expires_at"]) == ("new", {"b": "2", "c": "3"}, None)
        assert sdk.update_workspace(workspace_id, clear_name=True)["name"] is None
        assert sdk.status_workspace(workspace_id)["last_activity_at"] == before["last_activity_at"]
        for wrong in ({"name": ""}, {"name": "x" * 121}, {"labels": {"a b": "1"}}, {"ttl_seconds": 5}):
            with pytest.raises(UsageError):
                sdk.update_workspace(workspace_id, **wrong)


def test_a_stopped_workspace_keeps_its_files_and_starts_again(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "echo tree > file; echo root > /etc/mine; sync")
        assert sdk.stop_workspace(workspace_id)["state"] == "stopped"
        assert sdk.stop_workspace(workspace_id)["state"] == "stopped"
        with pytest.raises(ConflictError) as stopped:
            sdk.exec_workspace(workspace_id, command="true")
        assert stopped.value.code == "workspace-stopped"

        assert sdk.start_workspace(workspace_id)["state"] == "started"
        assert said(pyro, workspace_id, "cat file /etc/mine") == "tree\nroot\n"
        assert sdk.diff_workspace(workspace_id)["summary"]["added"] == 1


def test_a_start_that_a_deletion_overtakes_says_what_has_become_of_the_workspace(pyro: Installation) -> None:
    sdk = pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12")["workspace_id"]
    sdk.stop_workspace(workspace_id)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(pyro.sdk().start_workspace, workspace_id)
        assert until(lambda: starting.done() or sdk.status_workspace(workspace_id)["state"] == "starting" or None)
        sdk.delete_workspace(workspace_id)
        with pytest.raises(NotFoundError, match=f"workspace {workspace_id} was deleted") as overtaken:
            starting.result()
        assert overtaken.value.code == "workspace-not-found"


def test_a_reset_forgets_everything_but_the_seed(pyro: Installation, tmp_path: Path) -> None:
    sdk = pyro.sdk()
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/given").write_text("given\n")
    with workspace(pyro, seed_path=tmp_path / "seed", name="kept") as workspace_id:
        said(pyro, workspace_id, "rm given; echo new > made; echo x > /root/x")
        reset = sdk.reset_workspace(workspace_id)

        assert (reset["reset_count"], reset["name"], reset["command_count"]) == (1, "kept", 0)
        assert reset["workspace_reset"]["snapshot_name"] == "baseline"
        assert said(pyro, workspace_id, "ls; ls -A /root/x 2>&1 | wc -l; cat given") == "given\n1\ngiven\n"
        assert not sdk.diff_workspace(workspace_id)["changed"]


def test_a_reset_that_fails_leaves_the_old_sandbox(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    with workspace(own_pyro) as workspace_id:
        said(own_pyro, workspace_id, "echo kept > file; echo there > /root/x")
        before = sdk.status_workspace(workspace_id)
        with pytest.raises(NotFoundError) as missing:
            sdk.reset_workspace(workspace_id, snapshot="none")
        assert missing.value.code == "snapshot-not-found"

        # A disk that cannot be copied: what should be its directory's parent is no directory.
        machines = own_pyro.state_dir / "machines"
        machines.rename(own_pyro.state_dir / "aside")
        machines.touch()
        try:
            with pytest.raises(PyroError):
                sdk.reset_workspace(workspace_id)
        finally:
            machines.unlink()
            (own_pyro.state_dir / "aside").rename(machines)

        assert said(own_pyro, workspace_id, "cat file /root/x") == "kept\nthere\n"
        after = sdk.status_workspace(workspace_id)
        assert (after["reset_count"], after["metadata"]) == (0, before["metadata"])
        assert len(list(machines.iterdir())) == 1


def test_a_workspace_outlives_the_daemon_that_made_it(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
    said(own_pyro, workspace_id, "echo kept > file; echo root > /root/x")
    daemon = own_pyro.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    wait_gone(daemon)

    assert sdk.status_workspace(workspace_id)["state"] == "started"
    assert said(own_pyro, workspace_id, "cat file /root/x") == "kept\nroot\n"
    assert [entry["exit_code"] for entry in sdk.logs_workspace(workspace_id)["entries"]] == [0, 0]

    own_pyro.stop()
    assert sdk.status_workspace(workspace_id)["state"] == "stopped"
    sdk.start_workspace(workspace_id)
    assert said(own_pyro, workspace_id, "cat file /root/x") == "kept\nroot\n"
    sdk.delete_workspace(workspace_id)


def test_a_creation_that_is_broken_off_leaves_nothing(own_pyro: Installation) -> None:
    creating = own_pyro.start_cli("workspace", "create", "debian:12", "--json")
    assert until(lambda: True if list((own_pyro.state_dir / "machines").glob("vm-*")) else None)
    creating.send_signal(signal.SIGINT)
    creating.communicate(timeout=120)

    assert own_pyro.sdk().list_workspaces()["count"] == 0
    assert until(lambda: None if list((own_pyro.state_dir / "machines").glob("vm-*")) else True)
    assert list((own_pyro.state_dir / "workspaces").iterdir()) == []


def test_the_daemon_deletes_what_expires_though_nobody_asks(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=60)["workspace_id"]
    place = own_pyro.state_dir / "workspaces" / workspace_id
    assert place.is_dir()
    started = time.monotonic()
    assert until(lambda: None if place.exists() else True)

    assert time.monotonic() - started > 30
    with pytest.raises(NotFoundError) as gone:
        sdk.exec_workspace(workspace_id, command="true")
    assert gone.value.code == "workspace-expired"
    assert list((own_pyro.state_dir / "machines").glob("vm-*")) == []


def test_the_machine_of_a_workspace_is_no_vm_of_its_own(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        vm_id = sdk.status_workspace(workspace_id)["metadata"]["vm_id"]
        for ask in (sdk.status_vm, sdk.stop_vm, sdk.delete_vm, sdk.start_vm):
            with pytest.raises(NotFoundError) as refused:
                ask(vm_id)
            assert refused.value.code == "vm-not-found"
        assert said(pyro, workspace_id, "echo still here") == "still here\n"
