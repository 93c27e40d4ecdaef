"""Builds that are killed, stopped, or run out of disk leave nothing half, and the next one works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.environments import catalog
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import BuildError, HostError
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.locks import Lock
from pyro_mcp.model.environment import Progress
from tests.environments.conftest import leftovers, processes
from tests.environments.puller import pulling

pytestmark = pytest.mark.fault

NAME = "debian:12-base"
PHASES = ("kernel", "download", "essential", "install", "image", "digest")


@pytest.fixture
def fresh(store: Store, tmp_path: Path) -> Store:
    """A store with a kernel and no environment."""
    root = tmp_path / "store"
    subprocess.run(["cp", "--archive", "--sparse=always", store.root, root], check=True)
    shutil.rmtree(root / "environments")
    return Store(root)


@pytest.mark.parametrize("phase", PHASES)
def test_a_pull_killed_at_any_point_is_swept_up(fresh: Store, phase: str) -> None:
    if phase == "kernel":
        shutil.rmtree(fresh.root / "kernels")
    with pulling(fresh.root, NAME) as puller:
        puller.wait_for(phase)
        puller.end()
    wait_for_the_tools(fresh.root)
    assert fresh.resolve(NAME) is None
    assert fresh.sweep() == 1
    assert leftovers(fresh.root) == []


def test_an_ordinary_users_killed_pull_is_swept_up_and_the_next_one_works(user: tuple[str, Path]) -> None:
    name, home = user
    for phase in ("kernel", "install"):
        with pulling(home / "store", NAME, name) as puller:
            puller.wait_for(phase)
            puller.end()
        wait_for_the_tools(home / "store")
        assert len(list((home / "store" / "work").iterdir())) == 1
    # What lies there belongs to ids that only the user's own namespace can touch.
    with pulling(home / "store", NAME, name) as puller:
        assert "installed" in puller.result()
    assert leftovers(home / "store") == []


@pytest.mark.parametrize("victim", ["unshare", "mmdebstrap", "apt-get", "dpkg"])
def test_a_tool_that_is_killed_fails_the_pull_cleanly(fresh: Store, victim: str) -> None:
    killed = 0

    def kill(progress: Progress) -> None:
        nonlocal killed
        if progress.phase == "install" and not killed:
            for pid in processes(fresh.root):
                if Path(f"/proc/{pid}/comm").read_text().strip() == victim:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1

    with pytest.raises(BuildError) as failure:
        fresh.pull(NAME, progress=kill)
    assert killed
    assert failure.value.details["step"] == "packages"
    assert leftovers(fresh.root) == []


@pytest.mark.parametrize("phase", ["kernel", "download", "install", "image"])
def test_a_cancelled_pull_stops_and_leaves_nothing(fresh: Store, phase: str) -> None:
    if phase == "kernel":
        shutil.rmtree(fresh.root / "kernels")
    cancel = Cancellation()

    def report(progress: Progress) -> None:
        if progress.phase == phase:
            cancel.set()

    with pytest.raises(BuildError) as failure:
        fresh.pull(NAME, progress=report, cancel=cancel)
    assert failure.value.code == "cancelled"
    assert fresh.resolve(NAME) is None
    assert leftovers(fresh.root) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, just large enough to begin."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = (catalog.find(NAME).build_bytes >> 20) + 8
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "pyro-test", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_fetched(small_disk: Path) -> None:
    fill(small_disk, leave_mib=100)
    heard: list[Progress] = []
    with pytest.raises(HostError, match="100 MiB free, about 900 MiB needed") as failure:
        Store(small_disk / "store").pull(NAME, progress=heard.append)
    assert failure.value.code == "no-space"
    assert heard == []


@pytest.mark.parametrize("phase", ["kernel", "download", "install", "image"])
def test_a_disk_that_fills_up_meanwhile_is_named(small_disk: Path, phase: str) -> None:
    root = small_disk / "store"
    filled = False

    def report(progress: Progress) -> None:
        nonlocal filled
        if progress.phase == phase and not filled:
            filled = True
            fill(small_disk, leave_mib=1)

    with pytest.raises(HostError) as failure:
        Store(root).pull(NAME, progress=report)
    assert failure.value.code == "no-space"
    assert str(root) in failure.value.message
    assert leftovers(root) == []


def fill(disk: Path, leave_mib: int) -> None:
    found = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, found.f_bavail * found.f_frsize - (leave_mib << 20))


def wait_for_the_tools(root: Path) -> None:
    """They die with their builder, a moment later: each holds the lock of the directory it works in."""
    for path in (root / "work").iterdir():
        with Lock(path / "lease") as lock:
            lock.wait_exclusive()
