"""However a run ends, nothing of it is left: the fixtures compare a census before and after every test."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from pyro_mcp.errors import GuestError, NotFoundError
from tests.harness import census
from tests.harness.installation import DEADLINE, Installation, until
from tests.harness.vmm import VMM


def started_run(pyro: Installation, *command: str) -> subprocess.Popen[bytes]:
    """A `pyro run` whose command has begun: it has printed `begun`."""
    client = pyro.start_cli("run", "--timeout-seconds", "600", "debian:12", "--", *command)
    assert client.stdout is not None
    assert client.stdout.readline() == b"begun\n"
    return client


def vmm_pids(pyro: Installation) -> list[int]:
    return [pid for pid in census.processes_of(pyro.state_dir) if Path(executable(pid)).name == VMM.executable]


def executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_a_signal_to_the_client_ends_its_machine(pyro: Installation, number: signal.Signals, status: int) -> None:
    before = pyro.census()
    with started_run(pyro, "echo begun; sleep 1000") as client:
        client.send_signal(number)
        assert client.wait(DEADLINE) == status
        assert client.stderr is not None
        assert b"Traceback" not in client.stderr.read()
        if number is not signal.SIGKILL:
            # The client waits until all is undone: its end is the machine's end.
            assert not pyro.census().leaks_since(before)
    pyro.wait_clean(before)


def test_a_signal_during_the_boot_ends_the_machine_too(pyro: Installation) -> None:
    client = pyro.start_cli("run", "debian:12", "--", "sleep 1000")
    with client:
        assert client.stderr is not None
        while b"phase=start" not in client.stderr.readline():
            pass
        client.send_signal(signal.SIGINT)
        assert client.wait(DEADLINE) == 130


def test_a_reader_that_leaves_ends_the_command(pyro: Installation) -> None:
    with started_run(pyro, "echo begun; yes") as client:
        assert client.stdout is not None
        client.stdout.close()
        assert client.wait(DEADLINE) == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    "how", [f"echo {key} > /proc/sysrq-trigger" for key in ("bo" if VMM.notices_poweroff else "b")]
)
def test_a_guest_that_ends_itself_is_an_error_with_its_console(pyro: Installation, how: str) -> None:
    with pytest.raises(GuestError) as ended:
        pyro.sdk().run_in_vm(environment="debian:12", command=how, timeout_seconds=60)
    assert ended.value.code == "guest-ended"


def test_a_guest_kernel_panic_is_named(pyro: Installation) -> None:
    done = pyro.cli("run", "debian:12", "--", "echo c > /proc/sysrq-trigger")

    assert done.returncode == 1
    error = next(line for line in done.stderr.decode().splitlines() if line.startswith("[error]"))
    assert "Kernel panic" in error


def test_a_vmm_killed_under_a_command_is_an_error_at_once(pyro: Installation) -> None:
    with started_run(pyro, "echo begun; sleep 1000") as client:
        (vmm,) = vmm_pids(pyro)
        os.kill(vmm, signal.SIGKILL)
        assert client.wait(DEADLINE) == 1
        assert client.stderr is not None
        assert b"[error]" in client.stderr.read()


def test_a_vm_whose_guest_powers_off_becomes_a_stopped_vm(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(vm_id)
    (vmm,) = vmm_pids(pyro)
    os.kill(vmm, signal.SIGKILL)

    assert until(lambda: True if sdk.status_vm(vm_id)["state"] == "stopped" else None)
    assert sdk.status_vm(vm_id)["end_reason"] == "guest_ended"
    sdk.delete_vm(vm_id)


def test_deleting_a_vm_breaks_off_its_command(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(vm_id)
    begun, errors = threading.Event(), []

    def execute() -> None:
        try:
            sdk.exec_vm(vm_id, command="echo begun; sleep 1000", timeout_seconds=600, on_output=lambda *_: begun.set())
        except NotFoundError as error:
            errors.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    assert begun.wait(DEADLINE)
    assert sdk.delete_vm(vm_id)["deleted"]
    thread.join(DEADLINE)

    assert [error.details["reason"] for error in errors] == ["explicit_delete"]


def test_stopping_the_daemon_ends_commands_and_stops_machines(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    kept = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(kept)
    with started_run(own_pyro, "echo begun; sleep 1000") as client:
        assert sdk.stop_daemon()["running"]
        assert client.wait(DEADLINE) == 1
    assert not census.processes_of(own_pyro.state_dir)
    assert not (own_pyro.state_dir / "daemon.sock").exists()
    assert not Path(f"/proc/{client.pid}").exists()

    assert sdk.status_vm(kept)["end_reason"] == "daemon_stopped"
