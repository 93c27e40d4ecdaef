"""What Firecracker is told, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pyro_mcp.model.machine import Bind, Disk, MachineSpec
from pyro_mcp.vmm.driver import Start
from pyro_mcp.vmm.firecracker.plan import configuration, plan_firecracker

SPEC = MachineSpec(
    vcpu_count=2,
    mem_mib=1024,
    kernel=Path("/cache/vmlinux"),
    initramfs=Path("/cache/initramfs"),
    disks=(
        Disk("base", Path("/cache/rootfs.ext4"), read_only=True),
        Disk("scratch", Path('/state/a "b\nc'), read_only=False),
    ),
    tsc_khz=2_000_000,
)

REQUESTS = [
    ("PUT", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 1024}),
    (
        "PUT",
        "/boot-source",
        {
            "kernel_image_path": "kernel",
            "initrd_path": "initramfs",
            "boot_args": "console=ttyS0 quiet panic=-1 reboot=k pci=off i8042.noaux i8042.nomux i8042.dumbkbd",
        },
    ),
    (
        "PUT",
        "/drives/disk0",
        {
            "drive_id": "disk0",
            "path_on_host": "disk0",
            "is_root_device": False,
            "is_read_only": True,
            "cache_type": "Unsafe",
        },
    ),
    (
        "PUT",
        "/drives/disk1",
        {
            "drive_id": "disk1",
            "path_on_host": "disk1",
            "is_root_device": False,
            "is_read_only": False,
            "cache_type": "Unsafe",
        },
    ),
    ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "room/vsock.sock"}),
]


def test_the_requests_are_the_golden_ones() -> None:
    assert [(request.method, request.path, request.body) for request in configuration(SPEC)] == REQUESTS


def test_the_process_sees_its_files_its_room_and_kvm() -> None:
    plan = plan_firecracker(SPEC, Path("/bundle/firecracker"), Path("/state/vm"), Start.COLD)
    assert plan.argv == ("/usr/bin/firecracker", "--api-sock", "room/api.sock")
    assert plan.devices == (Path("/dev/kvm"),)
    assert plan.binds == (
        Bind(Path("/bundle/firecracker"), "/usr/bin/firecracker"),
        Bind(Path("/cache/vmlinux"), "/vm/kernel"),
        Bind(Path("/cache/initramfs"), "/vm/initramfs"),
        Bind(Path("/cache/rootfs.ext4"), "/vm/disk0"),
        Bind(Path('/state/a "b\nc'), "/vm/disk1", read_only=False),
        Bind(Path("/state/vm/room"), "/vm/room", read_only=False),
    )


def test_memory_and_files_are_bounded() -> None:
    plan = plan_firecracker(SPEC, Path("/f"), Path("/d"), Start.COLD)
    assert plan.address_space_bytes == 2048 << 20
    assert plan.max_file_bytes == 64 << 30


def test_a_network_is_the_tap_of_its_namespace() -> None:
    spec = replace(SPEC, network=True)
    added = [request for request in configuration(spec) if request not in configuration(SPEC)]

    assert [(request.method, request.path, request.body) for request in added] == [
        (
            "PUT",
            "/network-interfaces/net",
            {"iface_id": "net", "guest_mac": "02:50:59:52:4f:02", "host_dev_name": "tap0"},
        )
    ]
    assert plan_firecracker(spec, Path("/fc"), Path("/state/vm-1"), Start.COLD).devices == (
        Path("/dev/kvm"),
        Path("/dev/net/tun"),
    )
