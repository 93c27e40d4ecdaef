"""Where a VMM finds the files and devices of a machine, and where its guest finds the disks. Pure.

Inside the jail every file has a fixed name, so nothing that a caller names gets into a VMM's own language.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path

from pyro_mcp.model.machine import Bind, MachineSpec

TUN = Path("/dev/net/tun")
"""The device behind TAPs, for a machine with a network interface."""

MACHINE_DIRECTORY = "/vm"
"""The VMM's working directory: `kernel`, `initramfs`, and `disk0`, `disk1`, … in the order of the spec."""


def boot_binds(spec: MachineSpec) -> Iterator[Bind]:
    yield Bind(spec.kernel, f"{MACHINE_DIRECTORY}/kernel")
    yield Bind(spec.initramfs, f"{MACHINE_DIRECTORY}/initramfs")


def disk_binds(spec: MachineSpec) -> Iterator[Bind]:
    for number, disk in enumerate(spec.disks):
        yield Bind(disk.path, f"{MACHINE_DIRECTORY}/disk{number}", disk.read_only)


def writable(directory: Path, name: str) -> Bind:
    """A file of the machine's own `directory` that its VMM writes, under the same name."""
    return Bind(directory / name, f"{MACHINE_DIRECTORY}/{name}", read_only=False)


def devices(spec: MachineSpec) -> dict[str, str]:
    """Where the guest finds each disk: it numbers them in the order in which they are attached."""
    return {disk.name: f"/dev/vd{letter}" for disk, letter in zip(spec.disks, string.ascii_lowercase, strict=False)}
