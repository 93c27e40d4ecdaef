"""Which VMM a host gets when nobody says: the strongest that was seen to run a guest, found out once."""

from __future__ import annotations

import json
import os

import pytest

from tests.harness.installation import Installation, installation


@pytest.mark.skipif("PYRO_VMM" in os.environ, reason="this session is about one VMM")
def test_auto_settles_for_a_vmm_that_runs_guests_and_remembers(shared_pyro: Installation) -> None:
    """On hosts whose KVM is there but runs nothing, the trial says so within its deadline, and is not repeated."""
    assert shared_pyro.state_dir.exists()
    with installation(PYRO_VMM="auto") as pyro:
        first = pyro.json("run", "--json", "debian:12", "--", "true")
        second = pyro.json("run", "--json", "debian:12", "--", "true")
        trial = pyro.state_dir / "kvm.json"
        before = trial.stat() if trial.exists() else None
        third = pyro.json("run", "--json", "debian:12", "--", "true")

        assert {run["isolation"] for run in (first, second, third)} in ({"kvm"}, {"emulated"})
        if before is not None:
            assert trial.stat().st_mtime_ns == before.st_mtime_ns
            assert (not json.loads(trial.read_bytes())["reason"]) == (first["isolation"] == "kvm")
        doctor = json.loads(pyro.cli("doctor", "--json").stdout)
        assert doctor["kvm"]["usable"] == (first["isolation"] == "kvm")
