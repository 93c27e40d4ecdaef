"""Lies for the proof to find; `test_lab.py` has them run in the lab and expects both sessions to fail."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing

from tests.harness.installation import Installation

_KVM_CREATE_VM = 0xAE01


def test_another_program_makes_a_machine() -> None:
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    os.close(fcntl.ioctl(kvm, _KVM_CREATE_VM, 0))
    os.close(kvm)


def test_a_machine_runs_without_kvm(pyro: Installation) -> None:
    """As far as pyro's records go."""
    assert pyro.cli("run", "debian:12", "--", "true").returncode == 0
    with closing(sqlite3.connect(pyro.state_dir / "state.sqlite3")) as connection, connection:
        connection.execute("UPDATE machines SET vm_id = 'vm-000000000000'")
