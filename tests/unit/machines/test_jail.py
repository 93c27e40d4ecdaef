"""The jail's command, to the letter, and what becomes of what is printed in it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError, PyroError, VmmError
from pyro_mcp.machines.jail import Jail, jail_argv
from pyro_mcp.model.machine import Bind, ProcessIdentity
from pyro_mcp.vmm.driver import VmmPlan

PLAN = VmmPlan(
    argv=("/usr/bin/vmm", "-x", "a b"),
    binds=(
        Bind(Path("/usr/bin/vmm"), "/usr/bin/vmm"),
        Bind(Path("/cache/k,e=r nel"), "/vm/kernel"),
        Bind(Path("/state/scratch"), "/vm/disk0", read_only=False),
    ),
    max_file_bytes=1000,
    address_space_bytes=2000,
)

LIMITS = "choom -n 500 -- prlimit --core=0:0 --nofile=256:256 --fsize=1000 --as=2000 bwrap"
NAMESPACES = "--unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup"
MANNERS = "--new-session --as-pid-1 --clearenv --cap-drop ALL"
LIBRARIES = "--ro-bind /usr/lib /usr/lib --ro-bind /usr/lib64 /usr/lib64"
FILES = """
    --ro-bind /usr/bin/vmm /usr/bin/vmm --ro-bind '/cache/k,e=r nel' /vm/kernel --bind /state/scratch /vm/disk0
    --symlink usr/lib /lib --symlink usr/lib64 /lib64 --ro-bind-try /etc/ld.so.cache /etc/ld.so.cache
    --proc /proc --dev /dev --remount-ro /dev --remount-ro /
    --chdir /vm --info-fd 5 --block-fd 6 --
"""
DIRECTORIES = "--dir /usr --dir /usr/bin --dir /vm"

AS_A_USER = f"{LIMITS} --unshare-user {NAMESPACES} {MANNERS} {DIRECTORIES} {LIBRARIES} {FILES} /usr/bin/vmm -x 'a b'"
AS_ROOT = f"""
    {LIMITS} {NAMESPACES} {MANNERS} --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP
    {DIRECTORIES} {LIBRARIES} --ro-bind /usr/bin/setpriv /usr/bin/setpriv --ro-bind /usr/bin/unshare /usr/bin/unshare
    {FILES}
    /usr/bin/setpriv --reuid=4711 --regid=4711 --clear-groups /usr/bin/unshare --user --map-root-user
    /usr/bin/setpriv --bounding-set=-all --inh-caps=-all --no-new-privs
    /usr/bin/vmm -x 'a b'
"""


def test_a_users_jail_is_the_golden_one() -> None:
    assert jail_argv(PLAN, (), uid=None, info=5, block=6) == tuple(shlex.split(AS_A_USER))


def test_a_machine_with_a_network_is_in_that_and_in_no_other() -> None:
    enter = ("nsenter", "--net=/proc/7/ns/net", "--")
    there = AS_A_USER.replace("bwrap", "nsenter --net=/proc/7/ns/net -- bwrap").replace("--unshare-net ", "")

    assert jail_argv(PLAN, (), uid=None, info=5, block=6, enter=enter) == tuple(shlex.split(there))


def test_a_device_in_a_directory_can_be_reached_by_everybody() -> None:
    node = Bind(Path("/state/tun"), "/dev/net/tun", read_only=False)
    argv = " ".join(jail_argv(PLAN, (node,), uid=4711, info=5, block=6))

    assert "--dev /dev --dir /dev/net --dev-bind /state/tun /dev/net/tun --remount-ro /dev" in argv


def test_roots_jail_drops_to_an_unprivileged_user() -> None:
    assert jail_argv(PLAN, (), uid=4711, info=5, block=6) == tuple(shlex.split(AS_ROOT))


def test_a_device_is_seen_where_the_vmm_looks_for_it() -> None:
    argv = jail_argv(PLAN, (Bind(Path("/state/kvm"), "/dev/kvm", read_only=False),), uid=None, info=5, block=6)
    assert shlex.join(argv).count("--dev /dev --dev-bind /state/kvm /dev/kvm --remount-ro /dev") == 1


def a_jail(directory: Path) -> Jail:
    def on_process(_identity: ProcessIdentity) -> None:
        raise AssertionError("nothing was to be started")

    return Jail(directory, uid=None, on_process=on_process)


@contextmanager
def printing(room: Jail) -> Iterator[int]:
    """The FIFO as the process in the jail holds it."""
    log = os.dup(room._log.make())
    try:
        yield log
    finally:
        os.close(log)


def test_the_log_keeps_what_was_printed_over_several_readings(tmp_path: Path) -> None:
    room = a_jail(tmp_path)
    with printing(room) as process:
        assert room.process_log() == ""
        os.write(process, b"one\n")
        assert room.process_log() == "one\n"
        os.write(process, b"two\xff")
        assert room.process_log() == "one\ntwo\N{REPLACEMENT CHARACTER}"
    room.close()


def test_last_words_can_be_read_after_the_end(tmp_path: Path) -> None:
    room = a_jail(tmp_path)
    with printing(room) as process:
        os.write(process, b"out of memory")
    room.close()
    assert room.process_log() == "out of memory"
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_prints_for_ever_neither_blocks_nor_fills_anything(tmp_path: Path) -> None:
    room = a_jail(tmp_path)
    with printing(room) as process:
        for _ in range(3):
            with suppress(BlockingIOError):
                for _ in range(100):
                    os.write(process, b"x" * 4096)
                pytest.fail("the FIFO took more than it can hold")
            assert len(room.process_log()) <= 65536
    room.close()


def test_a_log_that_was_never_made_is_empty(tmp_path: Path) -> None:
    room = a_jail(tmp_path)
    assert room.process_log() == ""
    room.close()
    room.close()


def explained(said: str, directory: Path) -> PyroError:
    room = a_jail(directory)
    with printing(room) as process:
        os.write(process, said.encode())
    explanation = room.explain(VmmError("QEMU is gone", code="vmm-gone"))
    room.close()
    return explanation


def test_a_failure_is_explained_by_what_was_printed(tmp_path: Path) -> None:
    error = explained("bwrap: Can't find source path /x\x1b[2J: No such file or directory\n", tmp_path)
    assert isinstance(error, VmmError)
    assert error.code == "vmm-gone"
    assert error.message.startswith("QEMU is gone; it printed: bwrap: Can't find source path /x\\x1b[2J")


@pytest.mark.parametrize(
    "said",
    [
        "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user "
        "namespaces.",
        "bwrap: Creating new namespace failed: No space left on device",
        "bwrap: setting up uid map: Permission denied",
        "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
        "unshare: unshare failed: Operation not permitted",
    ],
)
def test_a_host_without_user_namespaces_is_told_what_to_do(said: str, tmp_path: Path) -> None:
    error = explained(said, tmp_path)
    assert isinstance(error, HostError)
    assert error.code == "userns-disabled"
    assert "sysctl" in error.hint


@pytest.mark.parametrize(("tool", "package"), [("bwrap", "bubblewrap"), ("prlimit", "util-linux")])
async def test_a_missing_tool_is_named_with_its_package(
    tool: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    with pytest.raises(HostError) as raised:
        await a_jail(tmp_path)(PLAN, ())
    assert raised.value.code == f"{tool}-missing"
    assert package in raised.value.hint
    assert not (tmp_path / "vmm.log").exists()
