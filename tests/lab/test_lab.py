"""The behaviours of `tests/guest` once more, on Firecracker with KVM, as root and as an ordinary user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab import inside
from tests.lab.machine import Lab
from tests.lab.session import SESSION_SECONDS, prepared, show

# The lab's own deadlines come first, and say more.
pytestmark = pytest.mark.timeout(SESSION_SECONDS + 300)


@pytest.mark.parametrize("user", inside.BEHAVIOURS)
async def test_what_holds_for_guests_holds_on_firecracker_with_kvm(
    host: InstalledEnvironment, packed: Path, capsys: pytest.CaptureFixture[str], user: str
) -> None:
    with capsys.disabled():
        async with prepared(host, packed, user) as machine:
            status = await run_pytest(machine, user, *inside.BEHAVIOURS[user], "-v", "--durations=8", on_output=show)
            assert status == 0, f"pytest in the lab, whose output stands above, ended with {status}"


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        ("test_another_program_makes_a_machine", "made a machine: it is not "),
        ("test_a_machine_runs_without_kvm", "vm-000000000000 ran, and KVM knows nothing of it"),
    ],
)
async def test_a_session_without_proof_fails(
    host: InstalledEnvironment, packed: Path, lie: str, objection: str
) -> None:
    said = bytearray()
    async with prepared(host, packed, "root") as machine:
        status = await run_pytest(machine, "root", f"tests/lab/planted.py::{lie}", on_output=said.extend)
    text = said.decode(errors="replace")
    assert "1 passed" in text, text
    assert objection in text
    assert status == 1


async def run_pytest(machine: Lab, user: str, *arguments: str, on_output: Callable[[bytes], object]) -> int:
    return await machine.run(
        inside.pytest_as(user, arguments),
        cwd="/lab/project",
        timeout_seconds=SESSION_SECONDS,
        on_output=on_output,
    )
