"""The boot that finds out whether a VMM runs guests: how long it waits for one that is slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.errors import GuestError
from pyro_mcp.machines import trial
from pyro_mcp.vmm.qemu.driver import QemuDriver, QemuVmm
from tests.harness import bare
from tests.harness.installation import Installation

TOO_SHORT_SECONDS = 0.2


async def boot(directory: Path) -> None:
    plan = bare.machine_plan(None, directory)
    await trial.try_boot(QemuDriver(), replace(plan.spec, disks=()), directory, uid=plan.uid, patience_seconds=60)


async def test_a_guest_that_prints_nothing_in_time_is_given_up(
    shared_pyro: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared_pyro.state_dir.exists()  # the environment is there
    monkeypatch.setattr(trial, "TRIAL_SECONDS", TOO_SHORT_SECONDS)

    async def silent(_: QemuVmm) -> str:
        return ""

    monkeypatch.setattr(QemuVmm, "console", silent)
    with pytest.raises(GuestError, match="console is empty"):
        await boot(tmp_path / "vm")
    assert not (tmp_path / "vm").exists()


async def test_a_guest_that_prints_is_waited_for(
    shared_pyro: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared_pyro.state_dir.exists()
    monkeypatch.setattr(trial, "TRIAL_SECONDS", TOO_SHORT_SECONDS)

    async def speaking(_: QemuVmm) -> str:
        return "[    0.270000] a line of the kernel\n"

    monkeypatch.setattr(QemuVmm, "console", speaking)
    await boot(tmp_path / "vm")
    assert not (tmp_path / "vm").exists()
