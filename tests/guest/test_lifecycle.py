"""VMs by id: created, started, used once, stopped, deleted, expired."""

from __future__ import annotations

import re

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError, PyroError
from tests.harness.installation import Installation, until
from tests.harness.vmm import VMM


def test_a_vm_goes_from_created_to_running_to_deleted_by_its_one_command(pyro: Installation) -> None:
    sdk = pyro.sdk()
    created = sdk.create_vm(environment="debian:12", mem_mib=512)
    assert (created["state"], created["isolation"], created["network_enabled"]) == ("created", VMM.isolation, False)
    assert re.fullmatch(r"vm-[0-9a-f]{12}", created["vm_id"])

    vm_id = created["vm_id"]
    assert sdk.start_vm(vm_id)["state"] == "running"
    assert sdk.status_vm(vm_id)["timings_ms"].keys() >= {"plan", "restore" if VMM.restored else "vmm", "agent"}
    result = sdk.exec_vm(vm_id, command=["echo", "hello"])

    assert (result["stdout"], result["cleanup"]["deleted"]) == ("hello\n", True)
    with pytest.raises(NotFoundError) as gone:
        sdk.status_vm(vm_id)
    assert (gone.value.code, gone.value.details["reason"]) == ("vm-not-found", "post_exec_cleanup")


def test_exec_deletes_the_vm_also_when_the_command_fails_or_times_out(pyro: Installation) -> None:
    sdk = pyro.sdk()
    for command, status in ((["false"], 1), (["sleep", "1000"], 124)):
        vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
        sdk.start_vm(vm_id)
        assert sdk.exec_vm(vm_id, command=command, timeout_seconds=2)["exit_code"] == status
        with pytest.raises(NotFoundError):
            sdk.status_vm(vm_id)


def test_a_stopped_vm_keeps_its_disk_and_starts_again(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    first = sdk.start_vm(vm_id)
    stopped = sdk.stop_vm(vm_id)
    assert (stopped["state"], stopped["end_reason"]) == ("stopped", "explicit_stop")
    assert sdk.stop_vm(vm_id)["state"] == "stopped"

    scratch = pyro.state_dir / "machines" / vm_id / "scratch.ext4"
    inode = scratch.stat().st_ino
    again = sdk.start_vm(vm_id)

    assert scratch.stat().st_ino == inode
    assert again["expires_at"] == first["expires_at"]
    assert sdk.exec_vm(vm_id, command="echo up")["stdout"] == "up\n"


def test_verbs_out_of_order_are_refused_and_change_nothing(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    with pytest.raises(ConflictError) as early:
        sdk.exec_vm(vm_id, command="true")
    assert early.value.code == "wrong-state"
    sdk.start_vm(vm_id)
    with pytest.raises(ConflictError):
        sdk.start_vm(vm_id)
    assert sdk.network_info_vm(vm_id)["network_policy"] == "off"
    assert sdk.delete_vm(vm_id) == {"vm_id": vm_id, "deleted": True, "reason": "explicit_delete"}
    for verb in (sdk.status_vm, sdk.start_vm, sdk.stop_vm, sdk.delete_vm, sdk.network_info_vm):
        with pytest.raises(NotFoundError):
            verb(vm_id)


@pytest.mark.parametrize(
    "vm_id", ["", "vm-", "../../etc", "vm-0123456789ab/..", "vm-0123456789ab\n", "VM-0123456789AB"]
)
def test_what_cannot_be_an_id_names_no_vm(pyro: Installation, vm_id: str) -> None:
    with pytest.raises(PyroError) as refused:
        pyro.sdk().delete_vm(vm_id)
    assert refused.value.code == "vm-not-found"


def test_time_to_live_ends_a_running_command_with_nobody_calling(pyro: Installation) -> None:
    sdk = pyro.sdk()
    idle = sdk.create_vm(environment="debian:12", ttl_seconds=60)["vm_id"]
    with pytest.raises(NotFoundError) as expired:
        sdk.run_in_vm(environment="debian:12", command="sleep 1000", ttl_seconds=60, timeout_seconds=900)
    assert expired.value.code == "vm-expired"

    directory = pyro.state_dir / "machines"
    assert until(lambda: True if not list(directory.iterdir()) else None)
    with pytest.raises(NotFoundError) as late:
        sdk.status_vm(idle)
    assert (late.value.code, late.value.details["reason"]) == ("vm-expired", "ttl_expired")
    assert sdk.reap_expired() == {"count": 0, "vm_ids": []}
