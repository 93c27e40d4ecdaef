"""A pytest plugin, active in the lab: the session fails unless every machine in it was run by Firecracker on KVM.

Two accounts are compared: pyro's records of the machines that it started, and the kernel's announcements of those that
KVM made. `pytest -p tests.lab.proof`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from tests.harness.installation import Installation
from tests.lab.witness import Sighting, Witness

FIRECRACKER = Path("bin/firecracker")


class Proof:
    """Both accounts of one session."""

    def __init__(self) -> None:
        vmm = Settings.from_environment().bundle_dir / BUNDLE_PLATFORM / FIRECRACKER
        if not vmm.is_file():
            raise pytest.UsageError(f"nothing can be proven without Firecracker: {vmm} is missing")
        self.started: set[str] = set()
        self.witness = Witness(vmm)
        self._patch = pytest.MonkeyPatch()
        stop = Installation.stop

        def note_and_stop(installation: Installation) -> None:
            # Every installation is stopped before it is removed, so none gets away unread.
            self.started |= started_machines(installation.state_dir)
            stop(installation)

        self._patch.setattr(Installation, "stop", note_and_stop)

    def close(self) -> None:
        self._patch.undo()
        self.witness.close()

    def objections(self) -> list[str]:
        """What is not as it should be, in words; empty is what a session wants."""
        return objections(self.started, self.witness.sightings)


def objections(started: set[str], sightings: list[Sighting]) -> list[str]:
    found = [
        f"process {seen.pid} ({seen.executable or 'gone'}) made a machine: {seen.fault}"
        for seen in sightings
        if seen.fault
    ]
    proven = {seen.vm_id for seen in sightings if not seen.fault}
    found += [f"{vm_id} ran, and KVM knows nothing of it" for vm_id in sorted(started - proven)]
    if not started:
        found.append("no machine was started")
    return found


def started_machines(state_dir: Path) -> set[str]:
    """The machines in this state directory whose guest has answered."""
    database = state_dir / "state.sqlite3"
    if not database.exists():
        return set()
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT vm_id, timings_ms FROM machines").fetchall()
    except sqlite3.DatabaseError:
        return set()  # a test made it so
    return {vm_id for vm_id, timings in rows if "agent" in json.loads(timings)}


_PROOF = pytest.StashKey[Proof]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_PROOF] = Proof()


@pytest.hookimpl(trylast=True)  # pytest itself ends the last fixtures in this hook
def pytest_sessionfinish(session: pytest.Session) -> None:
    proof = session.config.stash[_PROOF]
    proof.close()
    if proof.objections():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    proof = config.stash[_PROOF]
    good = sum(not seen.fault for seen in proof.witness.sightings)
    terminalreporter.section("proof of Firecracker on KVM")
    terminalreporter.line(f"{len(proof.started)} machines answered; KVM announced {good} by {proof.witness.vmm.name}")
    for objection in proof.objections():
        terminalreporter.line(f"OBJECTION: {objection}", red=True)
