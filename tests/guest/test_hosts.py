"""Hosts that lack something: one line that says what and how to get it, from `run` and from `doctor`, and no guest."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from tests.harness.hosts import (
    KVM_OF_OTHERS,
    NO_KVM,
    NO_SUBORDINATE_IDS,
    NO_USER_NAMESPACES,
    USELESS_KVM,
    Lack,
    as_ordinary_user,
    as_root,
    as_root_of_a_small_container,
    without,
)
from tests.harness.installation import Installation, installation

pytestmark = [
    pytest.mark.skipif("PYRO_VMM" in os.environ, reason="this session is about one VMM"),
    pytest.mark.usefixtures("shared_pyro"),  # the environment is there
]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root")
USERS = [pytest.param(as_ordinary_user, id="user"), pytest.param(as_root, id="root", marks=only_root)]
Become = Callable[..., list[str]]

RUN = ("debian:12", "--", "true")


def refusal(pyro: Installation, code: str) -> str:
    """The error and the hint, a line each, of a run that must be refused with `code` and leave nothing."""
    clean = pyro.census()
    done = pyro.cli("run", *RUN)
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("[run] ")]
    assert (done.returncode, done.stdout) == (1, b"")
    assert [line.partition(" ")[0] for line in lines] == ["[error]", "hint:"], lines

    as_json = pyro.cli("run", "--json", *RUN)
    assert (as_json.returncode, as_json.stderr) == (1, b"")
    assert json.loads(as_json.stdout)["code"] == code
    assert not pyro.census().leaks_since(clean)
    return "\n".join(lines)


def isolation(pyro: Installation, vmm: str) -> object:
    pyro.environment["PYRO_VMM"] = vmm
    return pyro.json("run", "--json", *RUN)["isolation"]


def doctor(pyro: Installation) -> Any:
    done = pyro.cli("doctor", "--json")
    assert done.stderr == b""
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["runtime_ok"] else 1)
    return found


def line_with(text: str, lines: list[str]) -> str:
    """The one of `lines` that has `text`."""
    (found,) = (line for line in lines if text in line)
    assert "\n" not in found
    return found


@pytest.mark.parametrize("become", USERS)
@pytest.mark.parametrize(
    ("program", "code", "package"),
    [
        ("/usr/bin/bwrap", "bwrap-missing", "bubblewrap"),
        ("/usr/bin/prlimit", "prlimit-missing", "util-linux"),
        ("/usr/bin/choom", "choom-missing", "util-linux"),
        ("/usr/bin/qemu-system-x86_64", "qemu-missing", "qemu-system-x86"),
        ("/usr/sbin/mke2fs", "tool-missing", "e2fsprogs"),
    ],
)
def test_a_program_that_is_not_installed_is_named_with_its_package(
    become: Become, program: str, code: str, package: str
) -> None:
    with installation(*become(without(program))) as pyro:
        error, hint = refusal(pyro, code).splitlines()
        found = doctor(pyro)

    name = Path(program).name
    assert name in error
    assert hint == f"hint: sudo apt-get install {package}"
    assert line_with(f"{name} is not", found["issues"]).endswith(f"sudo apt-get install {package}")
    assert found["capabilities"]["vm_boot"] is False


@only_root
@pytest.mark.parametrize("name", ["setpriv", "unshare"])
def test_root_is_told_of_the_programs_that_drop_its_rights(name: str) -> None:
    with installation(*as_root(without(f"/usr/bin/{name}"))) as pyro:
        error, hint = refusal(pyro, f"{name}-missing").splitlines()

    assert error == f"[error] {name} is not installed"
    assert hint == "hint: sudo apt-get install util-linux"


def test_where_user_namespaces_are_off_no_guest_runs_and_the_setting_is_named() -> None:
    with installation(*as_ordinary_user(NO_USER_NAMESPACES)) as pyro:
        assert "max_user_namespaces" in refusal(pyro, "userns-disabled")
        found = doctor(pyro)

    assert line_with("namespaces", found["issues"]).endswith("sudo sysctl -w user.max_user_namespaces=15000")
    assert (found["runtime"]["user_namespaces"], found["capabilities"]["vm_boot"]) == (False, False)


def test_root_of_a_container_that_has_no_ids_for_vmms_runs_none_as_root_instead() -> None:
    with installation(*as_root_of_a_small_container()) as pyro:
        assert "run pyro as an ordinary user" in refusal(pyro, "userns-disabled")
        found = doctor(pyro)

    assert "run pyro as an ordinary user" in line_with("users that VMMs run as", found["issues"])
    assert found["capabilities"]["vm_boot"] is False


def test_a_user_without_subordinate_ids_is_told_how_to_get_some() -> None:
    with installation(*as_ordinary_user(NO_SUBORDINATE_IDS)) as pyro:
        found = doctor(pyro)

    assert "sudo usermod --add-subuids" in line_with("no range of subordinate ids", found["issues"])
    assert found["capabilities"]["environment_build"] is False
    assert found["capabilities"]["vm_boot"] is True


@pytest.mark.parametrize(
    ("become", "lack", "why", "remedy"),
    [
        pytest.param(as_ordinary_user, NO_KVM, "there is no /dev/kvm", "virtualisation", id="absent"),
        pytest.param(as_ordinary_user, KVM_OF_OTHERS, "may not open /dev/kvm", "usermod -aG kvm", id="of-others"),
        pytest.param(as_ordinary_user, USELESS_KVM, "KVM is there but ran no guest", "doctor --boot", id="useless"),
        pytest.param(as_root, NO_KVM, "there is no /dev/kvm", "virtualisation", id="absent-root", marks=only_root),
        pytest.param(as_root, USELESS_KVM, "ran no guest", "doctor --boot", id="useless-root", marks=only_root),
    ],
)
def test_without_kvm_guests_are_emulated_and_doctor_notes_why(
    become: Become, lack: Lack, why: str, remedy: str
) -> None:
    with installation(*become(lack)) as pyro:
        assert isolation(pyro, "auto") == "emulated"
        pyro.environment["PYRO_VMM"] = "firecracker"
        error, hint = refusal(pyro, "vmm-unavailable").splitlines()
        found = doctor(pyro)

    assert why in error
    assert remedy in hint
    # The way in which KVM is taken away takes the devices of networks, too: that is another note.
    (note,) = (note for note in found["notes"] if "network" not in note)
    assert why in note
    assert remedy in note
    assert [issue for issue in found["issues"] if "kvm" in issue.lower()] == []
    assert found["capabilities"]["vm_boot"] is True
    assert found["kvm"]["exists"] is (lack is not NO_KVM)
    assert found["kvm"]["readable"] is (lack is USELESS_KVM)
    assert found["kvm"]["usable"] is False


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="there is no /dev/kvm to be deceived by")
def test_a_kvm_that_runs_nothing_is_found_out_once_for_all_settings() -> None:
    """The host's own, if it is of that kind: found out long before a boot would time out, and never tried again."""
    with installation(PYRO_VMM="firecracker") as pyro:
        began = time.monotonic()
        if pyro.cli("run", *RUN).returncode == 0:
            pytest.skip("KVM runs guests here")
        assert time.monotonic() - began < Settings.from_environment().boot_timeout_seconds / 2
        words = refusal(pyro, "vmm-unavailable")
        assert isolation(pyro, "auto") == "emulated"
        log = pyro.logs()

    assert log.count("KVM runs no guest here") == 1
    reason = log.partition("KVM runs no guest here: ")[2].partition("\n")[0]
    assert f"KVM is there but ran no guest ({reason[:100]}" in words


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the runtime bundle, to damage."""
    copy = tmp_path / "bundle"
    shutil.copytree(Settings.from_environment().bundle_dir, copy)
    return copy


def remove(_bundle: Path, file: Path) -> None:
    file.unlink()


def flip_a_bit(_bundle: Path, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swap_for_arm(bundle: Path, file: Path) -> None:
    """A program for AArch64 which the manifest vouches for: a whole header, and nothing to run behind it."""
    fields = [(2, 2), (183, 2), (1, 4), (0x400078, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (1, 2), *[(0, 2)] * 3]
    segment = [(1, 4), (5, 4), (0, 8), (0x400000, 8), (0x400000, 8), (120, 8), (120, 8), (0x1000, 8)]
    numbers = b"".join(value.to_bytes(size, "little") for value, size in fields + segment)
    file.write_bytes(b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + numbers)
    manifest = bundle / BUNDLE_PLATFORM / "manifest.json"
    facts = json.loads(manifest.read_text())
    digest = sha256(file.read_bytes()).hexdigest()
    facts["files"][f"bin/{file.name}"] = {"sha256": digest, "size": file.stat().st_size}
    manifest.write_text(json.dumps(facts))


DAMAGES = [
    pytest.param(remove, "is missing", id="missing"),
    pytest.param(flip_a_bit, "is not the file that was built", id="altered"),
    pytest.param(swap_for_arm, "is a program for another processor", id="foreign"),
]


@pytest.mark.parametrize(("damage", "what"), DAMAGES)
def test_a_damaged_firecracker_is_named_and_never_run(
    damage: Callable[[Path, Path], None], what: str, bundle: Path
) -> None:
    binary = bundle / BUNDLE_PLATFORM / "bin/firecracker"
    if not binary.exists():
        pytest.skip("this build has no Firecracker")
    damage(bundle, binary)
    with installation(PYRO_RUNTIME_BUNDLE_DIR=str(bundle), PYRO_VMM="firecracker") as pyro:
        assert f"firecracker {what}" in refusal(pyro, "vmm-unavailable")
        assert isolation(pyro, "auto") == "emulated"
        assert not (pyro.state_dir / "kvm.json").exists()  # it was not even tried
        found = doctor(pyro)

    assert "install pyro-mcp anew" in line_with(f"firecracker {what}", found["issues"])
    assert found["runtime_ok"] is False
    assert found["capabilities"]["vm_boot"] is True


@pytest.mark.parametrize(("damage", "what"), DAMAGES)
def test_a_guest_binary_damaged_under_a_running_daemon_runs_nowhere(
    damage: Callable[[Path, Path], None], what: str, bundle: Path
) -> None:
    with installation(PYRO_RUNTIME_BUNDLE_DIR=str(bundle)) as pyro:
        assert isolation(pyro, "qemu") == "emulated"
        damage(bundle, bundle / BUNDLE_PLATFORM / "bin/pyro-guest")
        assert f"pyro-guest {what}" in refusal(pyro, "bundle-incomplete")
        found = doctor(pyro)

    assert "install pyro-mcp anew" in line_with(f"pyro-guest {what}", found["issues"])
    assert found["capabilities"]["vm_boot"] is False
