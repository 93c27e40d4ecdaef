"""Which VMM is chosen, as far as nothing has to boot for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pyro_mcp.config import Settings
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


async def chosen(settings: Settings, setting: str, required: Isolation | None = None) -> str:
    driver = await Vmms(settings, Store(settings.environment_cache_dir)).choose(setting, required, None)
    return driver.info.name


async def refusal(settings: Settings, setting: str, required: Isolation | None = None) -> HostError:
    with pytest.raises(HostError) as raised:
        await chosen(settings, setting, required)
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


def test_a_kvm_that_may_not_be_opened_is_a_matter_of_a_group() -> None:
    obstacle = kvm_obstacle(KvmAccess(exists=True, readable=False, writable=False))
    assert obstacle is not None
    assert "usermod -aG kvm" in obstacle.hint
