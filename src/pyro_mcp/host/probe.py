"""Facts about this host, found out by trying where a file's existence would prove nothing."""

from __future__ import annotations

import errno
import grp
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import command
from pyro_mcp.host.files import write_atomically
from pyro_mcp.host.process import boot_id

_KVM = Path("/dev/kvm")
_TUN = Path("/dev/net/tun")
_TRY_SECONDS = 10.0
_PROC_SYS = Path("/proc/sys")
_PROC_SELF = Path("/proc/self")
# Whom VMMs run as where pyro is root, and whom the VMM of a trial.
_JAIL_IDS = range(0x7000_0000, 0x7001_0001)
# Settings that may forbid user namespaces; each with the value that does, and the one that ends it.
_NAMESPACE_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)
# Groups nobody is put into for a device: root's own, and the one of ids that a container does not know.
_NO_GROUPS = (0, 65534)
# Anything outside is a guest binary gone wrong, not a clock: 100 MHz to 10 GHz.
_TSC_KHZ_RANGE = range(100_000, 10_000_001)

_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "bwrap": "bubblewrap",
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "mke2fs": "e2fsprogs",
    "nft": "nftables",
    "slirp4netns": "slirp4netns",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "choom": "util-linux",
    "zstd": "zstd",
}
# Ordinary users have no sbin on their PATH, but their tools are there.
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class KvmAccess:
    """What can be done with `/dev/kvm`. Whether a guest then boots is another question, which this does not answer."""

    exists: bool
    readable: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class KvmTrial:
    """What came of booting a guest on KVM: `reason` says why it did not run, and is empty if it did.

    It holds for the kernel and the VMM with these digests.
    """

    kernel: str
    vmm: str
    reason: str


@dataclass(frozen=True, slots=True)
class MissingTool:
    """A program that is not installed, and the Debian package that has it."""

    name: str
    package: str


def tsc_khz(guest_binary: Path, *, cache: Path) -> int:
    """The rate of this host's TSC, measured once per boot (0.1 s) by the guest binary and kept in `cache`.

    `/proc/cpuinfo` will not do: with frequency scaling its "cpu MHz" is not the rate of the TSC.
    Raises HostError `tsc-unknown`.
    """
    boot = boot_id()
    known = _cached_khz(cache, boot)
    if known is not None:
        return known
    measured = command.run([guest_binary, "tsc"], deadline_seconds=_TRY_SECONDS)
    text = measured.output.strip()
    if not (measured.succeeded and text.isdecimal() and int(text) in _TSC_KHZ_RANGE):
        raise HostError(
            f"the rate of this host's TSC cannot be measured: {measured.last_words() or 'no answer'}",
            code="tsc-unknown",
            hint="pyro needs an x86-64 processor with an invariant TSC",
        )
    write_atomically(cache, json.dumps({"boot_id": boot, "tsc_khz": int(text)}).encode())
    return int(text)


def processor() -> str:
    """What this host's processor is and can do, as the kernel says it; the same text for equal ones."""
    first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    facts = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    return "; ".join(line.partition(":")[2].strip() for line in first.splitlines() if line.partition("\t")[0] in facts)


def kvm_access() -> KvmAccess:
    return KvmAccess(_KVM.exists(), os.access(_KVM, os.R_OK), os.access(_KVM, os.W_OK))


def kvm_remedy() -> str:
    """The commands that let this user open the `/dev/kvm` that is there."""
    group = _kvm_group()
    give_it = "" if group else "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && "
    return f"{give_it}sudo usermod -aG {group or 'kvm'} $USER, then log in again"


def tun_remedy() -> str:
    """What lets this user open the device behind TAPs, which guests' networks need; empty if it opens."""
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
        return f"sudo modprobe tun, or give the container {_TUN}" if missing else f"sudo chmod 666 {_TUN}"
    return ""


def kvm_cache(state_dir: Path) -> Path:
    return state_dir / "kvm.json"


def known_trial(cache: Path) -> KvmTrial | None:
    """The last trial, if it was made during this boot; anything odd in the file means that there was none."""
    match _read_json(cache):
        case {"boot_id": str(boot), "kernel": str(kernel), "vmm": str(vmm), "reason": str(reason)} if boot == boot_id():
            return KvmTrial(kernel, vmm, reason)
        case _:
            return None


def remember_trial(cache: Path, trial: KvmTrial) -> None:
    write_atomically(cache, json.dumps({"boot_id": boot_id(), **asdict(trial)}).encode())


def forget_trial(cache: Path) -> None:
    """The next machine is to try again."""
    cache.unlink(missing_ok=True)


def missing_tools() -> tuple[MissingTool, ...]:
    """The programs that pyro runs and this host does not have."""
    return tuple(MissingTool(name, package) for name, package in _TOOLS.items() if not _installed(name))


def _installed(name: str) -> bool:
    return bool(shutil.which(name) or shutil.which(name, path=_SBIN))


def user_namespaces_allowed() -> bool:
    """Whether a jail can be made here: really tried, as some hosts allow such a namespace but no rights in it."""
    attempt = ["bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true"]
    try:
        return command.run(attempt, deadline_seconds=_TRY_SECONDS).succeeded
    except HostError:
        return False


def user_namespaces_remedy() -> str:
    """What is to be done where `user_namespaces_allowed` says no: the settings of this host that forbid them."""
    wrong = [f"{name}={good}" for name, bad, good in _NAMESPACE_SETTINGS if _sysctl(name) == bad]
    if wrong:
        return f"sudo sysctl -w {' '.join(wrong)}"
    return "in a container, start it with the right to make user namespaces"


def jail_ids_missing() -> bool:
    """Whether we are root of a container that has too few ids for the users that VMMs run as."""
    return os.geteuid() == 0 and not all(_maps(_JAIL_IDS, _PROC_SELF / name) for name in ("uid_map", "gid_map"))


def free_bytes(path: Path) -> int:
    """Space left for us on the file system of `path`, or of its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _kvm_group() -> str | None:
    """The group whose members may open `/dev/kvm`; None if there is none that users are put into."""
    try:
        found = _KVM.stat()
        opens = found.st_mode & 0o060 == 0o060 and found.st_gid not in _NO_GROUPS
        return grp.getgrgid(found.st_gid).gr_name if opens else None
    except (OSError, KeyError):
        return None


def _maps(wanted: range, table: Path) -> bool:
    """Whether one line of a user namespace's `table` has all ids that are `wanted`."""
    rows = (tuple(map(int, line.split())) for line in table.read_text().splitlines())
    return any(first <= wanted.start and wanted.stop <= first + count for first, _, count in rows)


def _sysctl(name: str) -> str | None:
    """The value of a setting of the kernel; None if it does not have it."""
    try:
        return _PROC_SYS.joinpath(*name.split(".")).read_text().strip()
    except OSError:
        return None


def _cached_khz(cache: Path, boot: str) -> int | None:
    """What an earlier call found during this boot; anything odd in the file means that nothing is known."""
    match _read_json(cache):
        case {"boot_id": str(of_boot), "tsc_khz": int(khz)} if of_boot == boot and khz in _TSC_KHZ_RANGE:
            return khz
        case _:
            return None


def _read_json(path: Path) -> object:
    """The content of a file that nobody misses; None if it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
