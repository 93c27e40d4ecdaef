"""What a microVM is made of, independent of the VMM that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Isolation(StrEnum):
    """How strongly the guest is kept from the host; part of every run payload."""

    KVM = "kvm"
    EMULATED = "emulated"
    NONE = "none"


class ExecutionMode(StrEnum):
    """How commands reach the place they run in."""

    GUEST_VSOCK = "guest_vsock"
    GUEST_SERIAL = "guest_serial"
    HOST_COMPAT = "host_compat"


class KernelFormat(StrEnum):
    """What a VMM reads a kernel from: the compressed image that a boot loader starts, or the program inside of it.

    NONE is for what boots nothing: the host's kernel runs the agent, and that program stands in the kernel's place.
    """

    BZIMAGE = "bzimage"
    ELF = "elf"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Disk:
    """A raw disk image to attach. The guest sees it under the driver's name for `name` (`GuestEndpoint.devices`)."""

    name: str
    path: Path
    read_only: bool


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """All inputs of a boot. Equal specs on equal hosts give machines that cannot be told apart.

    `kernel` is in the format that the driver reads (`DriverInfo.kernel_format`).
    """

    vcpu_count: int
    mem_mib: int
    kernel: Path
    initramfs: Path
    disks: tuple[Disk, ...]
    tsc_khz: int
    """Rate of this host's TSC; a guest that must calibrate it by itself hangs on a busy host."""
    network: bool = False
    """Whether it has a network interface, on the TAP of the namespace that its VMM runs in (`model/network.py`)."""


@dataclass(frozen=True, slots=True)
class Bind:
    """One file or directory of the host made visible in the jail, at `target` (absolute, inside the jail)."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Names one process of one boot for good: a pid alone may be reused.

    `start_ticks` is field 22 of `/proc/PID/stat`; `boot_id` is `/proc/sys/kernel/random/boot_id`.
    """

    pid: int
    start_ticks: int
    boot_id: str
