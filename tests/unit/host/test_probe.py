"""Facts about a host, measured rather than believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


def test_free_space_is_that_of_the_nearest_directory(tmp_path: Path) -> None:
    assert probe.free_bytes(tmp_path / "not" / "there" / "yet") > 0


def test_kvm_that_is_not_there_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "_KVM", tmp_path / "kvm")
    assert probe.kvm_access() == probe.KvmAccess(exists=False, readable=False, writable=False)


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
