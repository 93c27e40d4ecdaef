"""Settings: where they come from and who reads them again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pyro_mcp.config import Settings, daemon_environment
from pyro_mcp.errors import UsageError


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*daemon_environment(Settings.from_environment()), "XDG_STATE_HOME", "XDG_CACHE_HOME"]:
        if name.startswith(("PYRO_", "XDG_")):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")


def test_defaults_are_beneath_home() -> None:
    settings = Settings.from_environment()

    assert settings.state_dir == Path("/home/someone/.local/state/pyro-mcp")
    assert settings.environment_cache_dir == Path("/home/someone/.cache/pyro-mcp/environments")
    assert settings.vmm == "auto"
    assert settings.require_isolation is None


def test_xdg_directories_are_honoured_unless_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    settings = Settings.from_environment()

    assert settings.state_dir == Path("/var/state/pyro-mcp")
    assert settings.environment_cache_dir == Path("/home/someone/.cache/pyro-mcp/environments")


def test_another_process_reads_the_very_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Settings(
        state_dir=Path("/s"),
        environment_cache_dir=Path("/c"),
        bundle_dir=Path("/b"),
        vmm="qemu",
        require_isolation="kvm",
        boot_timeout_seconds=7.5,
        daemon_idle_seconds=3.0,
    )
    for name, value in daemon_environment(original).items():
        monkeypatch.setenv(name, value)

    assert Settings.from_environment() == original


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf", "1e99"])
def test_a_number_of_seconds_that_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PYRO_BOOT_TIMEOUT_SECONDS", text)
    with pytest.raises(UsageError, match="PYRO_BOOT_TIMEOUT_SECONDS"):
        Settings.from_environment()


def test_only_what_a_daemon_cannot_take_from_a_request_is_in_its_fingerprint() -> None:
    settings = Settings.from_environment()

    assert dataclasses.replace(settings, vmm="qemu").fingerprint == settings.fingerprint
    assert dataclasses.replace(settings, bundle_dir=Path("/b")).fingerprint != settings.fingerprint
    assert dataclasses.replace(settings, environment_cache_dir=Path("/c")).fingerprint != settings.fingerprint


def test_the_daemon_gets_its_own_path_and_nothing_it_was_not_meant_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    environment = daemon_environment(Settings.from_environment())

    assert "/usr/bin" in environment["PATH"].split(":")
    assert "canary" not in environment.values()
    assert environment["https_proxy"] == "http://proxy:3128"
