"""A MachineSpec as a QEMU command line. Pure.

QEMU parses its options at commas and equal signs. Nothing that a caller names gets into them: inside the jail every
file has a fixed name, so there is nothing to escape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pyro_mcp.model.machine import Bind, Disk, MachineSpec
from pyro_mcp.model.network import GUEST_MAC, TAP
from pyro_mcp.vmm import drives
from pyro_mcp.vmm.driver import SAVED_MEMORY, Start, VmmPlan

BINARY = Path("/usr/bin/qemu-system-x86_64")
CONSOLE = "console"
CONSOLE_BYTES = 65536
"""Size of the console ring; QEMU wants a power of two."""

AGENT_PORT = "pyro.agent"

FIRMWARE = tuple(Path("/usr/share/qemu") / name for name in ("bios-microvm.bin", "linuxboot_dma.bin", "pvh.bin"))
"""What a machine of this kind reads before its kernel."""

_FIRMWARE = (Path("/usr/share/qemu"), Path("/usr/share/seabios"))
_TRANSLATION_CACHE_MIB = 64
# All that can be emulated, but for the hint that moving single bytes is fast: it is what is slowest here. Without it
# kernels and libraries move words, and a guest reads a file five times as fast.
_PROCESSOR = "max,-erms,-fsrm"
_MIB = 1 << 20
KERNEL_HEAD = "kernel.head"
KERNEL_HEAD_BYTES = 65536
"""The beginning of the kernel, in the machine's directory: a restored machine has its kernel in its memory, but QEMU
wants to see a file that begins like one, and would keep all of it."""

# The largest disk image there may be; without it a QEMU taken over by its guest could fill the host's disk.
_MAX_FILE_BYTES = 64 << 30
# QEMU's own code, translation cache, stacks and heaps (each thread reserves 128 MiB that it hardly uses); measured:
# 700 MiB with two vCPUs.
_OVERHEAD_MIB = 4096


def plan_qemu(spec: MachineSpec, directory: Path, descriptors: Mapping[str, int], start: Start) -> VmmPlan:
    """The process for `spec` in the machine's `directory`.

    `descriptors` has the listening sockets `agent` and `qmp`, and for a restored machine `memory`.
    """
    return VmmPlan(
        argv=tuple(_argv(spec, descriptors, start)),
        binds=tuple(_binds(spec, directory, start)),
        max_file_bytes=_MAX_FILE_BYTES,
        address_space_bytes=(spec.mem_mib + _OVERHEAD_MIB) * _MIB,
        devices=(drives.TUN,) if spec.network else (),
    )


def kernel_command_line(spec: MachineSpec) -> str:
    """What the guest's kernel is told.

    `panic=-1 reboot=t`: panics and reboots end in a triple fault at once, the one reset that QEMU notices on this
    machine. `pci=off`: there is none. `mitigations=off`: what they guard against is the speculation of a processor that
    this one is not. `norandmaps`: what QEMU has translated is found again by its address, so a library at another
    address in each process would be translated for each. `init_on_alloc=0`: Debian's kernel zeroes memory that it takes
    for itself, which emulation pays for; what programs get is zeroed as ever. `tsc_early_khz`: with a rate of its own
    the kernel calibrates nothing, which on a busy host it cannot.
    """
    options = "console=ttyS0 quiet panic=-1 reboot=t pci=off mitigations=off norandmaps init_on_alloc=0 tsc=reliable"
    return f"{options} tsc_early_khz={spec.tsc_khz}"


def _argv(spec: MachineSpec, descriptors: Mapping[str, int], start: Start) -> Iterator[str]:
    yield str(BINARY)
    yield from _memory(spec, descriptors, start)
    threads = "multi" if spec.vcpu_count > 1 else "single"
    yield from ("-accel", f"tcg,thread={threads},tb-size={_TRANSLATION_CACHE_MIB}")
    yield from ("-cpu", _PROCESSOR, "-smp", str(spec.vcpu_count))
    yield from ("-nodefaults", "-no-user-config", "-display", "none")
    yield from ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
    # A guest that ended stays, paused, until it is stopped: its console can still be read.
    yield from ("-action", "reboot=shutdown,shutdown=pause")
    yield from ("-kernel", "kernel")
    if start is not Start.RESTORED:
        yield from ("-initrd", "initramfs")
    yield from ("-append", kernel_command_line(spec))
    # A ring: a file would grow as the guest likes, a pipe would end with its reader.
    yield from ("-chardev", f"ringbuf,id={CONSOLE},size={CONSOLE_BYTES}", "-device", f"isa-serial,chardev={CONSOLE}")
    yield from ("-chardev", _listener("qmp", descriptors), "-mon", "chardev=qmp,mode=control")
    yield from ("-device", "virtio-serial-device", "-chardev", _listener("agent", descriptors))
    yield from ("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}")
    for number, disk in enumerate(spec.disks):
        yield from ("-drive", _drive(number, disk), "-device", f"virtio-blk-device,drive=disk{number}")
    if spec.network:
        yield from ("-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no,vhost=off")
        yield from ("-device", f"virtio-net-device,netdev=net,mac={GUEST_MAC}")


def _memory(spec: MachineSpec, descriptors: Mapping[str, int], start: Start) -> Iterator[str]:
    """The machine and its memory. What is saved is left out of the device state because it is shared, or was.

    What is in there is the guest's own, secrets too: it gets into no core file of QEMU's, whoever takes those here.
    """
    machine, size = "microvm,pcie=off,rtc=on,usb=off,graphics=off,dump-guest-core=off", f"{spec.mem_mib}M"
    if start is Start.COLD:
        yield from ("-M", machine, "-m", size)
        return
    restored = start is Start.RESTORED
    path = f"/proc/self/fd/{descriptors['memory']}" if restored else SAVED_MEMORY
    share = "off" if restored else "on"
    yield from ("-M", f"{machine},memory-backend=ram", "-m", size)
    yield from ("-object", f"memory-backend-file,id=ram,size={size},mem-path={path},share={share}")
    if restored:
        yield from ("-incoming", "defer")


def _listener(name: str, descriptors: Mapping[str, int]) -> str:
    return f"socket,id={name},fd={descriptors[name]},server=on,wait=off"


def _drive(number: int, disk: Disk) -> str:
    common = f"if=none,id=disk{number},file=disk{number},format=raw"
    if disk.read_only:
        return f"{common},readonly=on"
    # What a guest discards is given back to the host; a full host disk is an I/O error in the guest, not a silent
    # pause; flushes are skipped because a scratch disk does not outlive a crash of the host.
    return f"{common},cache=unsafe,discard=unmap,detect-zeroes=unmap,werror=report,rerror=report"


def _binds(spec: MachineSpec, directory: Path, start: Start) -> Iterator[Bind]:
    yield Bind(BINARY, str(BINARY))
    for firmware in _FIRMWARE:
        yield Bind(firmware, str(firmware))
    if start is Start.RESTORED:
        yield Bind(directory / KERNEL_HEAD, f"{drives.MACHINE_DIRECTORY}/kernel")
    else:
        yield from drives.boot_binds(spec)
    yield from drives.disk_binds(spec)
    if start is Start.SAVABLE:
        yield drives.writable(directory, SAVED_MEMORY)
