"""When the lab's two accounts of a session agree, and when they do not."""

from __future__ import annotations

from tests.lab.proof import objections
from tests.lab.witness import Sighting


def seen(vm_id: str | None, fault: str = "") -> Sighting:
    return Sighting(pid=42, executable="/usr/bin/x", vm_id=vm_id, fault=fault)


def test_machines_that_both_know_are_proven() -> None:
    assert objections({"vm-a", "vm-b"}, [seen("vm-a"), seen("vm-b"), seen("vm-b")]) == []


def test_a_machine_that_never_answered_needs_no_record() -> None:
    assert objections({"vm-a"}, [seen("vm-a"), seen("vm-b")]) == []


def test_a_machine_that_kvm_does_not_know_is_named() -> None:
    assert objections({"vm-a", "vm-b"}, [seen("vm-a")]) == ["vm-b ran, and KVM knows nothing of it"]


def test_a_faulty_sighting_is_named_and_proves_nothing() -> None:
    found = objections({"vm-a"}, [seen("vm-a", "it is not firecracker")])

    assert found == [
        "process 42 (/usr/bin/x) made a machine: it is not firecracker",
        "vm-a ran, and KVM knows nothing of it",
    ]


def test_a_session_without_machines_proves_nothing() -> None:
    assert objections(set(), []) == ["no machine was started"]
