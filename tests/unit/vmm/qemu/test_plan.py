"""The command line of QEMU, to the letter."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.model.machine import Bind, Disk, MachineSpec
from pyro_mcp.vmm.driver import Start, VmmPlan
from pyro_mcp.vmm.drives import devices
from pyro_mcp.vmm.qemu.plan import kernel_command_line, plan_qemu

SPEC = MachineSpec(
    vcpu_count=1,
    mem_mib=1024,
    kernel=Path("/cache/vmlinuz"),
    initramfs=Path("/cache/initrd"),
    disks=(Disk("base", Path("/cache/rootfs.ext4"), True), Disk("scratch", Path("/state/vm-1/scratch.ext4"), False)),
    tsc_khz=2_596_122,
)
DESCRIPTORS = {"agent": 7, "qmp": 9}
MACHINE = Path("/state/vm-1")

GOLDEN = """
/usr/bin/qemu-system-x86_64
-M microvm,pcie=off,rtc=on,usb=off,graphics=off,dump-guest-core=off -m 1024M
-accel tcg,thread=single,tb-size=64
-cpu max,-erms,-fsrm -smp 1
-nodefaults -no-user-config -display none
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-action reboot=shutdown,shutdown=pause
-kernel kernel -initrd initramfs
-append 'console=ttyS0 quiet panic=-1 reboot=t pci=off mitigations=off norandmaps init_on_alloc=0 tsc=reliable \
tsc_early_khz=2596122'
-chardev ringbuf,id=console,size=65536 -device isa-serial,chardev=console
-chardev socket,id=qmp,fd=9,server=on,wait=off -mon chardev=qmp,mode=control
-device virtio-serial-device
-chardev socket,id=agent,fd=7,server=on,wait=off -device virtserialport,chardev=agent,name=pyro.agent
-drive if=none,id=disk0,file=disk0,format=raw,readonly=on -device virtio-blk-device,drive=disk0
-drive if=none,id=disk1,file=disk1,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap,werror=report,rerror=report
-device virtio-blk-device,drive=disk1
"""


def cold(spec: MachineSpec) -> VmmPlan:
    return plan_qemu(spec, MACHINE, DESCRIPTORS, Start.COLD)


def test_the_command_line_is_the_golden_one() -> None:
    assert cold(SPEC).argv == tuple(shlex.split(GOLDEN))


def test_the_jail_shows_exactly_the_files_that_are_needed() -> None:
    assert cold(SPEC).binds == (
        Bind(Path("/usr/bin/qemu-system-x86_64"), "/usr/bin/qemu-system-x86_64"),
        Bind(Path("/usr/share/qemu"), "/usr/share/qemu"),
        Bind(Path("/usr/share/seabios"), "/usr/share/seabios"),
        Bind(Path("/cache/vmlinuz"), "/vm/kernel"),
        Bind(Path("/cache/initrd"), "/vm/initramfs"),
        Bind(Path("/cache/rootfs.ext4"), "/vm/disk0"),
        Bind(Path("/state/vm-1/scratch.ext4"), "/vm/disk1", read_only=False),
    )


def test_only_disks_that_are_not_read_only_can_be_written() -> None:
    for bind in cold(SPEC).binds:
        assert bind.read_only == (bind.source != Path("/state/vm-1/scratch.ext4"))


def test_more_vcpus_get_a_thread_each() -> None:
    argv = cold(replace(SPEC, vcpu_count=4, mem_mib=512)).argv
    assert "tcg,thread=multi,tb-size=64" in argv
    assert argv[argv.index("-smp") + 1] == "4"
    assert argv[argv.index("-m") + 1] == "512M"


def test_the_address_space_grows_with_the_guest() -> None:
    small, large = (cold(replace(SPEC, mem_mib=mib)).address_space_bytes for mib in (256, 32_768))
    assert large - small == (32_768 - 256) << 20
    assert small > 2 * 256 << 20


@pytest.mark.parametrize("evil", ["a,readonly=off,b", "a=b", "-device", "a b", "a\nb", "%s", "$(x)", "'"])
def test_no_name_of_a_caller_gets_into_the_command_line(evil: str) -> None:
    path = Path("/state") / evil
    spec = replace(SPEC, kernel=path, initramfs=path, disks=(Disk(evil, path, True), Disk(evil + "2", path, False)))
    assert cold(spec).argv == cold(SPEC).argv


def test_disks_are_numbered_in_their_order() -> None:
    disks = tuple(Disk(f"d{number}", Path("/x"), True) for number in range(3))
    assert devices(replace(SPEC, disks=disks)) == {"d0": "/dev/vda", "d1": "/dev/vdb", "d2": "/dev/vdc"}


def test_the_kernel_calibrates_nothing_and_ends_at_once_when_it_panics() -> None:
    words = kernel_command_line(SPEC).split()
    assert {"tsc=reliable", "tsc_early_khz=2596122", "panic=-1", "reboot=t"} <= set(words)


def memory_options(start: Start) -> list[str]:
    """What differs from a cold start, less what both have."""
    plan = plan_qemu(SPEC, MACHINE, DESCRIPTORS | {"memory": 5}, start)
    return [word for word in plan.argv if word not in cold(SPEC).argv]


def test_the_memory_of_a_savable_machine_is_a_file_that_it_alone_writes() -> None:
    assert memory_options(Start.SAVABLE) == shlex.split(
        "microvm,pcie=off,rtc=on,usb=off,graphics=off,dump-guest-core=off,memory-backend=ram "
        "-object memory-backend-file,id=ram,size=1024M,mem-path=memory,share=on"
    )
    binds = plan_qemu(SPEC, MACHINE, DESCRIPTORS, Start.SAVABLE).binds
    assert binds[-1] == Bind(MACHINE / "memory", "/vm/memory", read_only=False)


def test_a_restored_machine_maps_its_memory_privately_and_waits_for_its_state() -> None:
    assert memory_options(Start.RESTORED) == shlex.split(
        "microvm,pcie=off,rtc=on,usb=off,graphics=off,dump-guest-core=off,memory-backend=ram "
        "-object memory-backend-file,id=ram,size=1024M,mem-path=/proc/self/fd/5,share=off -incoming defer"
    )


def test_a_restored_machine_sees_only_the_beginning_of_its_kernel() -> None:
    plan = plan_qemu(SPEC, MACHINE, DESCRIPTORS | {"memory": 5}, Start.RESTORED)
    assert "-initrd" not in plan.argv
    booted = cold(SPEC).binds
    assert plan.binds == (*booted[:3], Bind(MACHINE / "kernel.head", "/vm/kernel"), *booted[5:])


def test_a_network_is_the_tap_of_its_namespace() -> None:
    plan = cold(replace(SPEC, network=True))

    added = "-netdev tap,id=net,ifname=tap0,script=no,downscript=no,vhost=off "
    added += "-device virtio-net-device,netdev=net,mac=02:50:59:52:4f:02"
    assert plan.argv == (*cold(SPEC).argv, *added.split())
    assert (plan.devices, cold(SPEC).devices) == ((Path("/dev/net/tun"),), ())
