"""Changes of a VM's state that meet each other, are cut off, or fail: what is said of a VM stays true."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pyro_mcp import Pyro
from pyro_mcp.errors import ConflictError, HostError, NotFoundError
from tests.guest.test_adoption import running_vm
from tests.guest.test_endings import vmm_pids
from tests.harness.installation import DEADLINE, Installation, until


def is_gone(sdk: Pyro, vm_id: str) -> bool | None:
    try:
        sdk.status_vm(vm_id)
    except NotFoundError:
        return True
    return None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_deletion_goes_on_when_its_caller_is_gone(pyro: Installation, number: signal.Signals) -> None:
    sdk = pyro.sdk()
    before = pyro.census()
    vm_id = running_vm(pyro)
    (vmm,) = vmm_pids(pyro)
    os.kill(vmm, signal.SIGSTOP)
    script = f"from pyro_mcp import Pyro; print('asking', flush=True); Pyro().delete_vm({vm_id!r})"
    client = subprocess.Popen(
        [pyro.command()[0], "-c", script], env=pyro.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with client:
        assert client.stdout is not None
        client.stdout.readline()
        client.send_signal(number)
    # Whether the request was heard or not: asking again ends it, and only when it has ended.
    try:
        sdk.delete_vm(vm_id)
    except NotFoundError:
        assert until(lambda: True if not pyro.census().leaks_since(before) else None)
    assert not pyro.census().leaks_since(before)


def test_two_deletions_at_once_are_one(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = running_vm(pyro)
    answers: list[bool] = []

    def delete() -> None:
        try:
            answers.append(sdk.delete_vm(vm_id)["deleted"])
        except NotFoundError:
            answers.append(True)

    threads = [threading.Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert answers == [True] * 4


def test_a_deletion_that_fails_is_not_forgotten(own_pyro: Installation) -> None:
    """A directory that cannot be removed: as root by its immutable flag, which not every file system has."""
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    machine = own_pyro.state_dir / "machines" / vm_id
    blocked, unblocked = (
        (["chattr", "+i"], ["chattr", "-i"]) if os.geteuid() == 0 else (["chmod", "0"], ["chmod", "700"])
    )
    place = str(machine / "scratch.ext4") if os.geteuid() == 0 else str(machine.parent)
    subprocess.run([*blocked, place], check=True)
    try:
        with pytest.raises(HostError):
            sdk.delete_vm(vm_id)
        assert not vmm_pids(own_pyro)
    finally:
        subprocess.run([*unblocked, place], check=True)
    assert machine.exists()

    assert sdk.delete_vm(vm_id)["deleted"]
    assert not machine.exists()
    with pytest.raises(NotFoundError):
        sdk.delete_vm(vm_id)


def test_stopping_is_refused_while_a_command_runs(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = running_vm(pyro)
    begun = threading.Event()
    results: list[int] = []

    def execute() -> None:
        script = "echo begun; read line < /tmp/never; exit 7"
        result = sdk.exec_vm(
            vm_id,
            command=f"mkfifo /tmp/never; (sleep 3; echo go > /tmp/never) & {script}",
            on_output=lambda *_: begun.set(),
        )
        results.append(result["exit_code"])

    thread = threading.Thread(target=execute)
    thread.start()
    assert begun.wait(DEADLINE)
    with pytest.raises(ConflictError):
        sdk.stop_vm(vm_id)
    thread.join(DEADLINE)
    assert results == [7]
    assert is_gone(sdk, vm_id)


def test_a_stop_that_is_overtaken_by_a_deletion_brings_nothing_back(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = running_vm(pyro)
    (vmm,) = vmm_pids(pyro)
    os.kill(vmm, signal.SIGSTOP)
    ends: list[object] = []

    def stop() -> None:
        try:
            ends.append(sdk.stop_vm(vm_id)["state"])
        except NotFoundError as error:
            ends.append(error.code)

    thread = threading.Thread(target=stop)
    thread.start()
    # The stop waits for a guest that is held; the deletion comes while it does.
    assert sdk.delete_vm(vm_id)["deleted"]
    thread.join(DEADLINE)

    assert is_gone(sdk, vm_id)
    assert ends
    with pytest.raises(NotFoundError):
        sdk.start_vm(vm_id)


def test_a_start_that_the_host_refuses_leaves_a_stopped_vm_that_can_start_again(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12", mem_mib=512)["vm_id"]
    blocker = own_pyro.state_dir / "machines" / vm_id
    blocker.parent.mkdir(exist_ok=True)
    blocker.write_text("a file where the directory should be")
    with pytest.raises(HostError):
        sdk.start_vm(vm_id)
    assert (sdk.status_vm(vm_id)["state"], sdk.status_vm(vm_id)["end_reason"]) == ("stopped", "start_failed")
    blocker.unlink()

    assert sdk.start_vm(vm_id)["state"] == "running"
    assert sdk.delete_vm(vm_id)["deleted"]


def test_stopping_the_daemon_takes_one_deadline_for_all_machines(own_pyro: Installation) -> None:
    for _ in range(3):
        running_vm(own_pyro)
    for vmm in vmm_pids(own_pyro):
        os.kill(vmm, signal.SIGSTOP)
    started = time.monotonic()
    own_pyro.sdk().stop_daemon()
    # Each would hold out for 10 s: in a row that is three times as long.
    assert time.monotonic() - started < 25
    assert not Path(own_pyro.state_dir / "daemon.sock").exists()
