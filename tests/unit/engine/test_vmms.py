"""Which VMM is chosen, as far as nothing has to boot for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pyro_mcp.config import Settings
from pyro_mcp.engine import vmms
from pyro_mcp.engine.vmms import Vmms, kvm_obstacle
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import HostError
from pyro_mcp.host import probe
from pyro_mcp.host.probe import KvmAccess
from pyro_mcp.model.machine import Isolation

WORKING = KvmAccess(exists=True, readable=True, writable=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A build with a Firecracker."""
    found = Settings(state_dir=tmp_path / "state", environment_cache_dir=tmp_path / "cache", bundle_dir=tmp_path)
    binary = found.firecracker_binary
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"a vmm")
    files = {"bin/firecracker": {"sha256": hashlib.sha256(b"a vmm").hexdigest()}}
    (binary.parents[1] / "manifest.json").write_text(json.dumps({"files": files, "absent": []}))
    return found


async def chosen(
    settings: Settings, setting: str, required: Isolation | None = None, *, allow_host_compat: bool = False
) -> str:
    everything = Vmms(settings, Store(settings.environment_cache_dir))
    choice = await everything.choose(setting, required, None, allow_host_compat=allow_host_compat)
    assert bool(choice.no_vmm) == choice.driver.info.on_host
    return choice.driver.info.name


async def refusal(
    settings: Settings, setting: str, required: Isolation | None = None, *, allow_host_compat: bool = False
) -> HostError:
    with pytest.raises(HostError) as raised:
        await chosen(settings, setting, required, allow_host_compat=allow_host_compat)
    assert "\n" not in raised.value.message
    assert raised.value.hint
    return raised.value


async def test_nothing_speaks_against_kvm_that_can_be_opened(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "kvm_access", lambda: WORKING)
    assert await chosen(settings, "auto") == "firecracker"
    assert await chosen(settings, "qemu") == "qemu"


@pytest.mark.parametrize(
    ("kvm", "reason"),
    [
        (KvmAccess(exists=False, readable=False, writable=False), "there is no /dev/kvm"),
        (KvmAccess(exists=True, readable=True, writable=False), "may not open /dev/kvm"),
    ],
)
async def test_without_kvm_machines_are_emulated_unless_more_is_required(
    kvm: KvmAccess, reason: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "kvm_access", lambda: kvm)
    assert await chosen(settings, "auto") == "qemu"
    asked = await refusal(settings, "firecracker")
    assert (asked.code, reason in asked.message) == ("vmm-unavailable", True)
    required = await refusal(settings, "auto", Isolation.KVM)
    assert (required.code, reason in required.message) == ("isolation-unavailable", True)


async def test_an_altered_firecracker_is_not_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "kvm_access", lambda: WORKING)
    settings.firecracker_binary.write_bytes(b"another")
    assert await chosen(settings, "auto") == "qemu"
    assert "is not the file that was built" in (await refusal(settings, "firecracker")).message


async def test_a_build_without_firecracker_emulates(settings: Settings) -> None:
    (settings.firecracker_binary.parents[1] / "manifest.json").write_text(
        '{"files": {}, "absent": ["bin/firecracker"]}'
    )
    assert await chosen(settings, "auto") == "qemu"
    assert "not in this build" in (await refusal(settings, "firecracker")).message


@pytest.mark.parametrize(
    ("setting", "kvm", "jail", "asked", "name"),
    [
        ("auto", True, True, True, "firecracker"),
        ("auto", False, True, True, "qemu"),
        ("qemu", False, True, True, "qemu"),
        ("auto", True, False, True, "hostcompat"),
        ("auto", False, False, True, "hostcompat"),
        ("qemu", True, False, True, "hostcompat"),
        ("firecracker", False, True, True, "hostcompat"),
        # Without the flag nobody looks at the jail: it fails when it is made.
        ("auto", False, False, False, "qemu"),
    ],
)
async def test_the_host_itself_is_for_who_asks_and_only_where_no_vmm_runs(
    setting: str, kvm: bool, jail: bool, asked: bool, name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "kvm_access", lambda: WORKING if kvm else KvmAccess(False, False, False))
    monkeypatch.setattr(vmms, "require_tools", lambda: None)
    monkeypatch.setattr(vmms, "QEMU", settings.firecracker_binary)  # a file that is there
    monkeypatch.setattr(probe, "user_namespaces_allowed", lambda: jail)
    assert await chosen(settings, setting, allow_host_compat=asked) == name


async def test_no_qemu_is_a_reason_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmms, "QEMU", Path("/no/qemu"))
    assert await chosen(settings, "qemu", allow_host_compat=True) == "hostcompat"
    assert await chosen(settings, "qemu") == "qemu"


async def test_required_isolation_is_stronger_than_the_permission(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "kvm_access", lambda: KvmAccess(False, False, False))
    for setting in ("auto", "qemu"):
        refused = await refusal(settings, setting, Isolation.KVM, allow_host_compat=True)
        assert refused.code == "isolation-unavailable"


def test_a_kvm_that_may_not_be_opened_is_a_matter_of_a_group() -> None:
    obstacle = kvm_obstacle(KvmAccess(exists=True, readable=False, writable=False))
    assert obstacle is not None
    assert "usermod -aG kvm" in obstacle.hint
