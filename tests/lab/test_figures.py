"""A few of the figures that `make bench` has more of. No part of `make test-lab`, which is long enough without."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab.bench import figures_of
from tests.lab.session import SESSION_SECONDS

pytestmark = pytest.mark.timeout(SESSION_SECONDS + 300)


async def test_a_restored_machine_starts_sooner_than_a_booted_one(host: InstalledEnvironment, packed: Path) -> None:
    found = await figures_of(host, packed, runs=3)
    booted, restored = (statistics.median(run["whole"] for run in found[how]["runs"]) for how in ("booted", "restored"))
    assert restored < booted
