"""State and cache in unusual places, and daemons started by unusual clients."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.test_adoption import kill_daemon, running_vm
from tests.guest.test_endings import vmm_pids
from tests.harness.installation import DEADLINE, Installation, wait_gone


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system than the environment cache: memory, which every Linux has at /dev/shm."""
    place = Path(f"/dev/shm/pyro-test-{os.getpid()}")
    place.mkdir(mode=0o700)
    yield place
    shutil.rmtree(place)


def test_state_and_cache_may_lie_on_different_file_systems(own_pyro: Installation, elsewhere: Path) -> None:
    assert elsewhere.stat().st_dev != own_pyro.state_dir.stat().st_dev
    pyro = Installation(elsewhere)
    assert pyro.cli("run", "debian:12", "--", "true").returncode == 0
    pyro.stop()


def test_a_state_directory_behind_a_link_is_recovered_like_any_other(own_pyro: Installation) -> None:
    link = own_pyro.state_dir.with_name(f"{own_pyro.state_dir.name}-link")
    link.symlink_to(own_pyro.state_dir)
    pyro = Installation(link)
    try:
        vm_id = running_vm(pyro)
        (vmm,) = vmm_pids(own_pyro)
        kill_daemon(pyro)
        assert pyro.sdk().status_vm(vm_id)["state"] == "running"
        kill_daemon(pyro)
        shutil.rmtree(own_pyro.state_dir / "machines")
        assert pyro.sdk().status_vm(vm_id)["state"] == "stopped"
        wait_gone(vmm)
        assert pyro.sdk().delete_vm(vm_id)["deleted"]
    finally:
        pyro.stop()
        link.unlink()


@pytest.mark.parametrize(
    "odd_client",
    [
        ["env", "PATH=/nowhere"],
        ["prlimit", "--nofile=64:", "--fsize=1000000:"],
        ["sh", "-c", 'umask 0; exec "$@"', "sh"],
        ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"],
    ],
    ids=["path", "limits", "umask", "closed"],
)
def test_an_odd_client_that_starts_the_daemon_spoils_it_for_nobody(
    own_pyro: Installation, odd_client: list[str]
) -> None:
    program, *arguments = own_pyro.command("env", "list")
    tools = [shutil.which(odd_client[0]) or odd_client[0], *odd_client[1:]]
    first = subprocess.run(
        [*tools, str(Path(str(program)).absolute()), *arguments],
        env=own_pyro.environment,
        timeout=DEADLINE,
        check=False,
    )
    assert first.returncode == 0

    assert own_pyro.cli("run", "debian:12", "--", "true").returncode == 0
    loose = [path for path in own_pyro.state_dir.rglob("*") if path.stat().st_mode & 0o022]
    assert loose == []
