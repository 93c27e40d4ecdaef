"""A daemon that is killed takes nothing with it: the next one takes its machines over, and tells what was cut off."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from pyro_mcp.errors import DaemonError
from tests.guest.test_endings import started_run, vmm_pids
from tests.harness.installation import DEADLINE, Installation, wait_gone


def running_vm(pyro: Installation) -> str:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12", mem_mib=512)["vm_id"]
    sdk.start_vm(vm_id)
    return vm_id


def kill_daemon(pyro: Installation) -> int:
    daemon = pyro.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    wait_gone(daemon)
    return daemon


def forge(pyro: Installation, vm_id: str, **values: object) -> None:
    """Change a record behind the daemon's back, while there is none."""
    columns = ", ".join(f"{name} = ?" for name in values)
    with closing(sqlite3.connect(pyro.state_dir / "state.sqlite3")) as state, state:
        changed = state.execute(f"UPDATE machines SET {columns} WHERE vm_id = ?", (*values.values(), vm_id))
        assert changed.rowcount == 1


def test_an_idle_machine_is_taken_over_with_all_that_is_in_it(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    (vmm,) = vmm_pids(own_pyro)
    expiry = sdk.status_vm(vm_id)["expires_at"]
    for _ in range(3):
        daemon = kill_daemon(own_pyro)
        status = sdk.status_vm(vm_id)
        assert (status["state"], status["expires_at"], status["last_command"]) == ("running", expiry, None)
        assert own_pyro.daemon_pid() != daemon
        assert vmm_pids(own_pyro) == [vmm]

    result = sdk.exec_vm(vm_id, command="echo alive; cut -d. -f1 /proc/uptime")
    assert result["stdout"].startswith("alive\n")
    assert not vmm_pids(own_pyro)


@pytest.mark.parametrize("script", ["echo begun; head -c 50000000 /dev/zero; sleep 1000", "echo begun; yes stream"])
def test_an_interrupted_command_is_recorded_and_none_of_its_bytes_turn_up_later(
    own_pyro: Installation, script: str
) -> None:
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    begun = threading.Event()
    failures: list[DaemonError] = []

    def execute() -> None:
        try:
            sdk.exec_vm(vm_id, command=script, timeout_seconds=600, on_output=lambda *_: begun.set())
        except DaemonError as error:
            failures.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    assert begun.wait(DEADLINE)
    kill_daemon(own_pyro)
    thread.join(DEADLINE)
    assert [failure.code for failure in failures] == ["daemon-lost"]

    status = sdk.status_vm(vm_id)
    assert (status["state"], status["command_count"]) == ("running", 1)
    command = status["last_command"]
    assert command is not None
    assert (command["command"], command["state"], command["exit_code"]) == (script, "interrupted", None)
    result = sdk.exec_vm(vm_id, command=["sh", "-c", "echo mine; ps -eo args | grep -cE '^(yes|sleep)' || true"])
    assert result["stdout"] == "mine\n0\n"


def test_a_one_shot_machine_does_not_outlive_its_daemon_for_long(own_pyro: Installation) -> None:
    with started_run(own_pyro, "echo begun; sleep 1000") as client:
        (vmm,) = vmm_pids(own_pyro)
        kill_daemon(own_pyro)
        assert client.wait(DEADLINE) == 1
        assert client.stderr is not None
        assert b"the daemon ended before it had answered" in client.stderr.read()

    own_pyro.json("env", "list", "--json")
    wait_gone(vmm)
    assert list((own_pyro.state_dir / "machines").iterdir()) == []


def test_a_machine_that_ended_while_nobody_looked_is_a_stopped_one(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    (vmm,) = vmm_pids(own_pyro)
    kill_daemon(own_pyro)
    os.kill(vmm, signal.SIGKILL)
    wait_gone(vmm)

    status = sdk.status_vm(vm_id)
    assert (status["state"], status["end_reason"]) == ("stopped", "daemon_lost")
    sdk.start_vm(vm_id)
    assert sdk.exec_vm(vm_id, command="echo again")["stdout"] == "again\n"


def test_a_record_that_names_an_innocent_process_never_leads_to_a_signal(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    (vmm,) = vmm_pids(own_pyro)
    kill_daemon(own_pyro)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        forge(own_pyro, vm_id, pid=innocent.pid)
        assert sdk.status_vm(vm_id)["state"] == "stopped"
        assert sdk.delete_vm(vm_id)["deleted"]
        assert innocent.poll() is None
        innocent.communicate(b"\n")
    wait_gone(vmm)


def test_after_a_reboot_machines_are_shown_as_gone_and_cleaned_up(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = running_vm(own_pyro)
    (vmm,) = vmm_pids(own_pyro)
    kill_daemon(own_pyro)
    # What a reboot does: no process of ours lives, and the boot has another name.
    os.kill(vmm, signal.SIGKILL)
    wait_gone(vmm)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        forge(own_pyro, vm_id, pid=innocent.pid, pid_boot_id="00000000-0000-4000-8000-000000000000")
        status = sdk.status_vm(vm_id)
        assert (status["state"], status["end_reason"]) == ("stopped", "host_rebooted")
        assert innocent.poll() is None
        innocent.communicate(b"\n")
    assert [path.name for path in (own_pyro.state_dir / "machines" / vm_id).iterdir()] == ["scratch.ext4"]
