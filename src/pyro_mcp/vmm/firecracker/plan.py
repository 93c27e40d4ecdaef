"""A MachineSpec as a Firecracker process and the requests that configure it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyro_mcp.model.machine import Bind, Disk, MachineSpec
from pyro_mcp.model.network import GUEST_MAC, TAP
from pyro_mcp.vmm import drives
from pyro_mcp.vmm.driver import SAVED_MEMORY, SAVED_STATE, Start, VmmPlan
from pyro_mcp.vmm.firecracker.api import BOOT_SOURCE, DRIVE, MACHINE, NETWORK, VSOCK, Request

KVM = Path("/dev/kvm")

ROOM = "room"
"""The one directory in which the VMM may make anything, and only before its guest runs: its sockets."""
API_SOCKET = "api.sock"
VSOCK_SOCKET = "vsock.sock"
DOORBELL = f"{VSOCK_SOCKET}_5006"
"""Where a guest comes out that connects to port 5006 of its host: Firecracker's naming, protocol/README.md's port."""

_BINARY = "/usr/bin/firecracker"
_GUEST_CID = 3  # the first that is free; machines share nothing, so all may have the same
_MIB = 1 << 20
# The largest disk image there may be, as for the other VMM.
_MAX_FILE_BYTES = 64 << 30
# Firecracker itself takes some 5 MiB; stacks and the mappings of KVM's structures are generously in this.
_OVERHEAD_MIB = 1024

# `panic=-1 reboot=k`: panics and reboots end at once in a reset by the keyboard controller, the one end of a guest that
# Firecracker notices. `pci=off`: there is none. The i8042 options are upstream's: no time is lost looking for a mouse.
_COMMAND_LINE = "console=ttyS0 quiet panic=-1 reboot=k pci=off i8042.noaux i8042.nomux i8042.dumbkbd"


def plan_firecracker(spec: MachineSpec, binary: Path, directory: Path, start: Start) -> VmmPlan:
    """The process for `spec` in the machine's `directory`. What it is to run it learns from `configuration`."""
    saved = (SAVED_MEMORY, SAVED_STATE) if start is Start.SAVABLE else ()
    return VmmPlan(
        argv=(_BINARY, "--api-sock", f"{ROOM}/{API_SOCKET}"),
        binds=(
            Bind(binary, _BINARY),
            *(drives.boot_binds(spec) if start is not Start.RESTORED else ()),
            *drives.disk_binds(spec),
            drives.writable(directory, ROOM),
            *(drives.writable(directory, name) for name in saved),
        ),
        max_file_bytes=_MAX_FILE_BYTES,
        address_space_bytes=(spec.mem_mib + _OVERHEAD_MIB) * _MIB,
        devices=(KVM, drives.TUN) if spec.network else (KVM,),
    )


def configuration(spec: MachineSpec) -> tuple[Request, ...]:
    """What makes the process the machine of `spec`, short of starting it. Paths are relative to its directory."""
    return (
        MACHINE(vcpu_count=spec.vcpu_count, mem_size_mib=spec.mem_mib),
        BOOT_SOURCE(kernel_image_path="kernel", initrd_path="initramfs", boot_args=_COMMAND_LINE),
        *_drives(spec.disks),
        *((NETWORK(iface_id="net", guest_mac=GUEST_MAC, host_dev_name=TAP),) if spec.network else ()),
        VSOCK(guest_cid=_GUEST_CID, uds_path=f"{ROOM}/{VSOCK_SOCKET}"),
    )


def _drives(disks: tuple[Disk, ...]) -> Iterator[Request]:
    for number, disk in enumerate(disks):
        # Flushes are skipped because a scratch disk does not outlive a crash of the host.
        yield DRIVE(
            drive_id=f"disk{number}",
            path_on_host=f"disk{number}",
            is_root_device=False,
            is_read_only=disk.read_only,
            cache_type="Unsafe",
        )
