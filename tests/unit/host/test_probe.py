"""Facts about a host, measured rather than believed."""

from __future__ import annotations

import grp
import json
import os
import socket
from pathlib import Path

import pytest

from pyro_mcp.engine.launchpad import JAIL_UID_BASE
from pyro_mcp.errors import HostError
from pyro_mcp.host import probe
from pyro_mcp.host.process import boot_id


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_rate_of_the_clock_is_measured_once_per_boot(tmp_path: Path) -> None:
    guest = program(tmp_path / "guest", f'[ "$1" = tsc ] && echo 2596122 && echo once >> {tmp_path}/count')
    for _ in range(3):
        assert probe.tsc_khz(guest, cache=tmp_path / "tsc.json") == 2_596_122
    assert (tmp_path / "count").read_text() == "once\n"
    assert json.loads((tmp_path / "tsc.json").read_text()) == {"boot_id": boot_id(), "tsc_khz": 2_596_122}


@pytest.mark.parametrize(
    "kept",
    [
        b'{"boot_id": "another", "tsc_khz": 1000000}',
        b'{"boot_id": "BOOT", "tsc_khz": 5}',
        b'{"boot_id": "BOOT", "tsc_khz": "2000000"}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_what_is_odd_in_the_cache_is_measured_again(kept: bytes, tmp_path: Path) -> None:
    (tmp_path / "tsc.json").write_bytes(kept.replace(b"BOOT", boot_id().encode()))
    guest = program(tmp_path / "guest", "echo 3000000")
    assert probe.tsc_khz(guest, cache=tmp_path / "tsc.json") == 3_000_000


@pytest.mark.parametrize(
    "script", ["echo 5", "echo fast", "echo 2596122; exit 1", "true", "echo 99999999999", "echo -1"]
)
def test_a_rate_that_cannot_be_is_refused(script: str, tmp_path: Path) -> None:
    with pytest.raises(HostError) as raised:
        probe.tsc_khz(program(tmp_path / "guest", script), cache=tmp_path / "tsc.json")
    assert raised.value.code == "tsc-unknown"
    assert not (tmp_path / "tsc.json").exists()


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(probe, "_SBIN", str(tmp_path))
    program(tmp_path / "bwrap", "true")
    missing = {tool.name: tool.package for tool in probe.missing_tools()}
    assert "bwrap" not in missing
    assert missing["qemu-system-x86_64"] == "qemu-system-x86"
    assert missing["newuidmap"] == "uidmap"


def test_namespaces_are_not_allowed_where_none_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path / "bwrap", "exit 1")
    assert not probe.user_namespaces_allowed()
    (tmp_path / "bwrap").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not probe.user_namespaces_allowed()


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"user/max_user_namespaces": "0"}, "sudo sysctl -w user.max_user_namespaces=15000"),
        (
            {"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "0"},
            "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000",
        ),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1", "user/max_user_namespaces": "9"},
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"kernel/unprivileged_userns_clone": "1", "user/max_user_namespaces": "9"}, "in a container"),
        ({}, "in a container"),
    ],
)
def test_of_the_settings_that_could_forbid_namespaces_those_that_do_are_named(
    values: dict[str, str], remedy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(probe, "_PROC_SYS", tmp_path)
    for name, value in values.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert probe.user_namespaces_remedy().startswith(remedy)


@pytest.mark.parametrize(
    ("uids", "gids", "missing"),
    [
        ("0 0 4294967295", "0 0 4294967295", False),
        ("0 1000 1\n1 100000 2147483647", "0 0 4294967295", False),
        ("0 100000 65536", "0 100000 65536", True),
        ("0 0 4294967295", "0 100000 65536", True),
        ("", "", True),
    ],
)
def test_root_of_a_small_container_lacks_the_users_of_vmms(
    uids: str, gids: str, missing: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "uid_map").write_text(uids)
    (tmp_path / "gid_map").write_text(gids)
    monkeypatch.setattr(probe, "_PROC_SELF", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert probe.jail_ids_missing() is missing
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert not probe.jail_ids_missing()


def test_the_users_of_vmms_are_those_that_machines_are_given() -> None:
    assert probe._JAIL_IDS.start == JAIL_UID_BASE
    assert len(probe._JAIL_IDS) == 0x1_0001


def test_free_space_is_that_of_the_nearest_directory(tmp_path: Path) -> None:
    assert probe.free_bytes(tmp_path / "not" / "there" / "yet") > 0


def test_kvm_that_is_not_there_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "_KVM", tmp_path / "kvm")
    assert probe.kvm_access() == probe.KvmAccess(exists=False, readable=False, writable=False)


def test_the_way_to_kvm_is_the_group_of_its_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the node lets no group in, joining one would not help: then it is to be given to a group first."""
    monkeypatch.setattr(probe, "_KVM", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    gid = os.getegid() or next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in (0, 65534))
    os.chown(tmp_path / "kvm", -1, gid)
    (tmp_path / "kvm").chmod(0o660)
    assert probe.kvm_remedy() == f"sudo usermod -aG {grp.getgrgid(gid).gr_name} $USER, then log in again"
    give_it_away = "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm && sudo usermod -aG kvm "
    (tmp_path / "kvm").chmod(0o600)
    assert probe.kvm_remedy().startswith(give_it_away)
    (tmp_path / "kvm").chmod(0o660)
    monkeypatch.setattr(probe, "_NO_GROUPS", (gid,))
    assert probe.kvm_remedy().startswith(give_it_away)
    (tmp_path / "kvm").unlink()
    assert probe.kvm_remedy().startswith(give_it_away)


def test_the_way_to_taps_is_opened_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "_TUN", tmp_path / "tun")
    assert probe.tun_remedy().startswith("sudo modprobe tun")
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "tun"))  # as a node without a driver, it is there and does not open
    assert probe.tun_remedy().startswith("sudo modprobe tun")
    (tmp_path / "tun").unlink()
    (tmp_path / "tun").mkdir()
    assert probe.tun_remedy() == f"sudo chmod 666 {tmp_path / 'tun'}"
    (tmp_path / "tun").rmdir()
    (tmp_path / "tun").touch()
    assert probe.tun_remedy() == ""


def test_a_trial_of_kvm_is_remembered_for_this_boot(tmp_path: Path) -> None:
    cache = probe.kvm_cache(tmp_path)
    assert probe.known_trial(cache) is None
    trial = probe.KvmTrial(kernel="sha256:k", vmm="v", reason="it stayed silent")
    probe.remember_trial(cache, trial)
    assert probe.known_trial(cache) == trial
    probe.forget_trial(cache)
    probe.forget_trial(cache)
    assert probe.known_trial(cache) is None


@pytest.mark.parametrize("content", ["", "[]", '{"boot_id": "another", "kernel": "k", "vmm": "v", "reason": ""}'])
def test_a_trial_of_another_boot_is_none(content: str, tmp_path: Path) -> None:
    probe.kvm_cache(tmp_path).write_text(content)
    assert probe.known_trial(probe.kvm_cache(tmp_path)) is None
