"""How long runs take on Firecracker, booted and restored. No part of `make test-lab`, which is long enough without."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab import inside
from tests.lab.test_lab import SESSION_SECONDS, prepared, show

pytestmark = pytest.mark.timeout(SESSION_SECONDS + 300)


async def test_a_restored_machine_starts_sooner_than_a_booted_one(
    host: InstalledEnvironment, packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        async with prepared(host, packed, "root") as machine:
            status = await machine.run(
                inside.python_as("root", "tests.lab.figures"),
                cwd="/lab/project",
                timeout_seconds=SESSION_SECONDS,
                on_output=show,
            )
            assert status == 0
