"""The VMM's jail, looked at from outside, where it cannot lie."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.test_endings import vmm_pids
from tests.harness.installation import Installation
from tests.harness.vmm import VMM

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")


@pytest.fixture
def vmm(pyro: Installation) -> Iterator[Path]:
    """`/proc/PID` of the VMM of a running VM."""
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(vm_id)
    (pid,) = vmm_pids(pyro)
    yield Path(f"/proc/{pid}")
    sdk.delete_vm(vm_id)


def facts(vmm: Path, name: str) -> dict[str, str]:
    lines = (vmm / name).read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines if ":" in line)}


def test_it_is_nobody_and_may_nothing(vmm: Path) -> None:
    status = facts(vmm, "status")

    uids, gids = set(status["Uid"].split()), set(status["Gid"].split())
    if os.geteuid() == 0:
        assert len(uids | gids) == 1
        assert int(uids.pop()) >= 0x7000_0000
        assert status["Groups"] == ""
    else:
        assert uids == {str(os.geteuid())}
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_it_shares_no_namespace_with_the_host(vmm: Path) -> None:
    for name in NAMESPACES:
        assert (vmm / "ns" / name).readlink() != Path(f"/proc/self/ns/{name}").readlink(), name


def test_its_network_is_a_loopback_that_is_alone(vmm: Path) -> None:
    assert [name.strip() for name in facts(vmm, "net/dev")] == ["lo"]
    assert (vmm / "net/route").read_text().count("\n") == 1


def test_its_root_holds_only_what_it_reads(vmm: Path) -> None:
    root = vmm / "root"

    assert {entry.name for entry in root.iterdir()} <= {"dev", "etc", "lib", "lib64", "proc", "usr", "vm"}
    assert {entry.name for entry in (root / "usr").iterdir()} <= {"bin", "lib", "lib64", "share"}
    # A restored machine has all of that in its memory, but for the beginning of a kernel.
    own = ({VMM.room} if VMM.room else set()) | (set() if VMM.restored else {"initramfs"})
    assert {entry.name for entry in (root / "vm").iterdir()} == {"kernel", "disk0", "disk1"} | own
    assert {entry.name for entry in (root / "etc").iterdir()} <= {"ld.so.cache"}


def test_of_the_host_it_can_write_its_scratch_disk_alone(vmm: Path, pyro: Installation) -> None:
    writable = [
        fields[4]
        for fields in (line.split() for line in (vmm / "mountinfo").read_text().splitlines())
        if "rw" in fields[5].split(",") and not fields[4].startswith(("/proc", "/dev"))
    ]
    (scratch,) = (pyro.state_dir / "machines").glob("*/scratch.ext4")

    own = [f"/vm/{VMM.room}"] if VMM.room else []
    assert writable == ["/vm/disk1", *own]
    assert (vmm / "root/vm/disk1").stat().st_ino == scratch.stat().st_ino


def test_it_inherited_no_descriptor_but_its_own(vmm: Path, pyro: Installation) -> None:
    for entry in (vmm / "fd").iterdir():
        target = str(entry.readlink())
        kind = stat.S_IFMT(entry.stat().st_mode)
        anonymous = target.startswith(("anon_inode:", "socket:", "/dev/null", "/vm/"))
        device = target == VMM.device
        own_log = kind == stat.S_IFIFO and target.startswith(f"{pyro.state_dir}/machines/")
        template = target.startswith("/memfd:") and is_sealed(entry)
        assert anonymous or device or own_log or template, target


def is_sealed(entry: Path) -> bool:
    """Whether nobody who holds this file can change it."""
    descriptor = os.open(entry, os.O_RDWR)
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    finally:
        os.close(descriptor)
    every = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    return seals & every == every


def test_it_is_bounded_and_dumps_no_core(vmm: Path) -> None:
    limits = {line[:26].strip(): line[26:].split()[1] for line in (vmm / "limits").read_text().splitlines()[1:]}

    assert limits["Max core file size"] == "0"
    assert int(limits["Max open files"]) <= 256
    assert limits["Max file size"] != "unlimited"
    assert limits["Max address space"] != "unlimited"


def test_it_listens_to_the_network_nowhere(vmm: Path) -> None:
    for table in ("tcp", "tcp6", "udp", "udp6", "raw"):
        assert (vmm / "net" / table).read_text().count("\n") == 1, table
