"""Which VMMs are considered, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.errors import HostError, PyroError, UsageError
from pyro_mcp.model.machine import Isolation
from pyro_mcp.vmm.registry import candidates, named

FIRECRACKER = Path("/bundle/firecracker")


@pytest.mark.parametrize(
    ("setting", "required", "names"),
    [
        ("auto", None, ["firecracker", "qemu"]),
        ("auto", Isolation.KVM, ["firecracker"]),
        ("auto", Isolation.EMULATED, ["qemu"]),
        ("firecracker", None, ["firecracker"]),
        ("firecracker", Isolation.KVM, ["firecracker"]),
        ("qemu", None, ["qemu"]),
    ],
)
def test_the_strongest_isolation_comes_first(setting: str, required: Isolation | None, names: list[str]) -> None:
    assert [driver.info.name for driver in candidates(setting, required, FIRECRACKER)] == names


def test_a_record_finds_its_driver_again() -> None:
    for name in ("firecracker", "qemu", "hostcompat"):
        assert named(name, FIRECRACKER).info.name == name


@pytest.mark.parametrize(
    ("setting", "required", "kind", "code"),
    [
        ("xen", None, UsageError, "invalid-argument"),
        ("", None, UsageError, "invalid-argument"),
        ("QEMU", None, UsageError, "invalid-argument"),
        ("hostcompat", None, UsageError, "invalid-argument"),
        ("firecracker", Isolation.EMULATED, HostError, "isolation-unavailable"),
        ("qemu", Isolation.KVM, HostError, "isolation-unavailable"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(
    setting: str, required: Isolation | None, kind: type[PyroError], code: str
) -> None:
    with pytest.raises(kind) as raised:
        candidates(setting, required, FIRECRACKER)
    assert raised.value.code == code
    assert "\n" not in raised.value.message
