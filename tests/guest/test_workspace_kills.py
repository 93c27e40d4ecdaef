"""The daemon killed in the middle of things: afterwards a workspace is as before or as asked for, never half."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pyro_mcp.errors import NotFoundError
from tests.guest.test_endings import vmm_pids
from tests.guest.test_workspace_life import said
from tests.harness.census import processes_of
from tests.harness.installation import DEADLINE, Installation, until, wait_gone


def machines(pyro: Installation) -> list[Path]:
    return list((pyro.state_dir / "machines").glob("vm-*"))


def killed_when(pyro: Installation, sign: Callable[[], object], *command: str) -> None:
    """Run a command and kill the daemon as soon as `sign` shows."""
    daemon = pyro.daemon_pid()
    running = pyro.start_cli(*command)
    assert until(lambda: True if sign() or running.poll() is not None else None)
    os.kill(daemon, signal.SIGKILL)
    wait_gone(daemon)
    running.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("sign", ["the baseline", "the machine", "its disk"])
def test_a_creation_leaves_nothing(own_pyro: Installation, sign: str) -> None:
    own_pyro.json("env", "list", "--json")
    shown = {
        "the baseline": lambda: list((own_pyro.state_dir / "workspaces").glob("*/baseline.erofs")),
        "the machine": lambda: machines(own_pyro),
        "its disk": lambda: [place for place in machines(own_pyro) if (place / "workspace.ext4").exists()],
    }[sign]
    killed_when(own_pyro, shown, "workspace", "create", "debian:12", "--ttl-seconds", "0", "--json")

    left = own_pyro.sdk().list_workspaces()["workspaces"]
    for workspace in left:  # it was quicker than we were
        assert said(own_pyro, workspace["workspace_id"], "echo whole") == "whole\n"
        own_pyro.sdk().delete_workspace(workspace["workspace_id"])
    assert machines(own_pyro) == []
    assert list((own_pyro.state_dir / "workspaces").iterdir()) == []


@pytest.mark.parametrize("sign", ["the log", "the holder", "the way out", "the secret"])
def test_a_creation_with_a_network_leaves_no_process_of_it(own_pyro: Installation, sign: str) -> None:
    own_pyro.json("env", "list", "--json")

    def noted(name: str) -> bool:
        return any(name in place.read_text() for place in own_pyro.state_dir.glob("machines/*/network.json"))

    shown: Callable[[], object] = {
        "the log": lambda: list(own_pyro.state_dir.glob("machines/*/network.log")),
        "the holder": lambda: noted("holder"),
        "the way out": lambda: noted("slirp"),
        "the secret": lambda: list((own_pyro.state_dir / "workspaces").glob("*/secrets/S")),
    }[sign]
    secret = ("--secret", "S=some value")
    killed_when(own_pyro, shown, "workspace", "create", "debian:12", "--network-policy", "egress", *secret, "--json")

    for workspace in own_pyro.sdk().list_workspaces()["workspaces"]:  # it was quicker than we were
        assert said(own_pyro, workspace["workspace_id"], "echo whole") == "whole\n"
        own_pyro.sdk().delete_workspace(workspace["workspace_id"])
    assert until(lambda: None if processes_of(own_pyro.state_dir) else True), processes_of(own_pyro.state_dir)
    assert machines(own_pyro) == []
    assert list((own_pyro.state_dir / "workspaces").iterdir()) == []


def test_a_reset_is_done_or_not_done(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
    said(own_pyro, workspace_id, "echo kept > file; sync")
    killed_when(own_pyro, lambda: len(machines(own_pyro)) > 1, "workspace", "reset", workspace_id)

    state = sdk.status_workspace(workspace_id)
    assert len(machines(own_pyro)) == 1
    assert state["state"] == "started"
    expected = "" if state["reset_count"] else "kept\n"
    assert said(own_pyro, workspace_id, "cat file 2>/dev/null; true") == expected
    sdk.delete_workspace(workspace_id)


def test_a_snapshot_is_there_or_not_there(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
    said(own_pyro, workspace_id, "echo kept > file; head -c 50000000 /dev/urandom > large")
    place = own_pyro.state_dir / "workspaces" / workspace_id / "snapshots"
    killed_when(own_pyro, lambda: list(place.iterdir()), "workspace", "snapshot", "create", workspace_id, "s")

    # The guest was frozen by a host that is no more, and goes on by itself.
    assert said(own_pyro, workspace_id, "echo more >> file; cat file") == "kept\nmore\n"
    if any(snapshot["snapshot_name"] == "s" for snapshot in sdk.list_snapshots(workspace_id)["snapshots"]):
        sdk.reset_workspace(workspace_id, snapshot="s")
        assert said(own_pyro, workspace_id, "cat file") == "kept\n"
    else:
        sdk.create_snapshot(workspace_id, "s")
    sdk.delete_workspace(workspace_id)
    assert list((own_pyro.state_dir / "workspaces").iterdir()) == []


def test_a_deletion_goes_on(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
    (place,) = machines(own_pyro)
    killed_when(own_pyro, lambda: not (place / "scratch.ext4").exists(), "workspace", "delete", workspace_id)

    with pytest.raises(NotFoundError):
        sdk.status_workspace(workspace_id)
    assert until(lambda: None if machines(own_pyro) else True)
    assert list((own_pyro.state_dir / "workspaces").iterdir()) == []


def test_a_killed_vmm_is_a_stopped_workspace_that_starts_again(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=0)["workspace_id"]
    said(own_pyro, workspace_id, "echo kept > file; echo root > /root/x; sync")
    (vmm,) = vmm_pids(own_pyro)
    os.kill(vmm, signal.SIGKILL)
    assert until(lambda: True if sdk.status_workspace(workspace_id)["state"] == "stopped" else None)

    sdk.start_workspace(workspace_id)
    assert said(own_pyro, workspace_id, "cat file /root/x") == "kept\nroot\n"
    sdk.delete_workspace(workspace_id)
