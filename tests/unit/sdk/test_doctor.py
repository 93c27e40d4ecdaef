"""`diagnose`: what it makes of a host's facts. The facts themselves are tested where they are found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.config import Settings
from pyro_mcp.host import probe
from pyro_mcp.sdk.doctor import diagnose


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", environment_cache_dir=tmp_path, bundle_dir=tmp_path)


def test_without_taps_there_is_no_network_and_a_note_says_what_makes_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = diagnose(settings)
    monkeypatch.setattr(probe, "_TUN", tmp_path / "tun")
    found = diagnose(settings)

    assert (found["networking"]["tun"], found["capabilities"]["guest_network"]) == (False, False)
    assert any("no network" in note and "modprobe tun" in note for note in found["notes"])
    assert found["issues"] == before["issues"]  # guests run all the same


@pytest.mark.parametrize(
    ("program", "package"), [("nft", "nftables"), ("slirp4netns", "slirp4netns"), ("ip", "iproute2")]
)
def test_a_program_that_networks_need_is_named_with_its_package(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, program: str, package: str
) -> None:
    monkeypatch.setattr(probe, "missing_tools", lambda: (probe.MissingTool(program, package),))
    found = diagnose(settings)

    assert f"{program} is not installed: sudo apt-get install {package}" in found["issues"]
    assert (found["networking"]["tools"], found["capabilities"]["guest_network"]) == (False, False)
