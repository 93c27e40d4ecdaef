"""What happens in the lab: how it becomes a host for pyro, and how pytest is run there. Command lines only."""

from __future__ import annotations

from collections.abc import Sequence

ORDINARY = "tester"
"""An ordinary user whose one privilege is the group kvm."""

PREPARE = f"""
set -eu
sysctl -q kernel.randomize_va_space=2
modprobe -a kvm_amd tun
groupadd --system --force kvm
chown root:kvm /dev/kvm
chmod 0660 /dev/kvm
useradd --create-home --groups kvm {ORDINARY}
mkdir /lab
mount "$1" /lab
chown -R root:root /lab/project /lab/packages
chown "$2" /lab/cache
find /lab/cache -path /lab/cache/objects -prune -o -exec chown "$2" {{}} +
cd /lab && python3 -m compileall -q project/src project/tests packages
"""
"""`$1` is the luggage's device, `$2` who shall own the environment cache. Objects stay root's, as in a shared cache.

Emulated machines do not randomise addresses. A host for others must: with every program at the same addresses as the
next, emulated virtualisation was seen to stop for good within minutes, three times of three, and never otherwise.
"""

_VARIABLES = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": "/lab/packages:/lab/project/src",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYRO_ENVIRONMENT_CACHE_DIR": "/lab/cache",
    "PYRO_VMM": "firecracker",
    # A guest in here boots on an emulated processor's emulated virtualisation, beside others.
    "PYRO_BOOT_TIMEOUT_SECONDS": "300",
}

# What is run as whom. A machine takes ten seconds here: all of tests/guest for both users would take most of an hour.
# The jail depends on the user, and is looked at for both; the rest is divided between them. Left out are refusals and
# the daemon's own life, which no VMM has a part in, and the rude clients of QEMU's serial port.
BEHAVIOURS = {
    "root": (
        "tests/guest/test_jail.py",
        "tests/guest/test_endings.py",
        "tests/guest/test_adoption.py::test_an_idle_machine_is_taken_over_with_all_that_is_in_it",
        "tests/guest/test_workspace_life.py::test_a_seeded_tree_comes_out_as_it_went_in",
        "tests/guest/test_workspace_snapshots.py::test_going_back_to_a_snapshot_brings_everything_back",
        "tests/guest/test_network.py::test_what_is_allowed_is_open_and_nothing_beside_it[root]",
        "tests/guest/test_secrets.py::test_a_guest_finds_them_as_files_of_its_memory",
    ),
    ORDINARY: (
        "tests/guest/test_jail.py",
        "tests/guest/test_run.py",
        "tests/guest/test_lifecycle.py::test_a_vm_goes_from_created_to_running_to_deleted_by_its_one_command",
        "tests/guest/test_lifecycle.py::test_a_stopped_vm_keeps_its_disk_and_starts_again",
        "tests/guest/test_workspace_life.py::test_a_stopped_workspace_keeps_its_files_and_starts_again",
        "tests/guest/test_workspace_files.py::test_a_pushed_tree_comes_out_as_it_went_in",
    ),
}


def prepare(device: str, user: str) -> tuple[str, ...]:
    return ("sh", "-c", PREPARE, "prepare", device, user)


def pytest_as(user: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The command that runs pytest with `arguments` as `user`."""
    options = ("-p", "tests.lab.proof", "-p", "no:cacheprovider", "-o", "timeout=900")
    return python_as(user, "pytest", *options, *arguments)


def python_as(user: str, module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a Python module as `user`, in a session like one that has just logged in."""
    return (
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--inh-caps=-all", "--reset-env"),
        *("env", *(f"{name}={value}" for name, value in _VARIABLES.items())),
        *("python3", "-m", module, *arguments),
    )
