"""Records that are not whole count as absent; files that are not what they were are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pyro_mcp.environments import manifest
from pyro_mcp.environments.layout import Layout
from pyro_mcp.errors import IntegrityError
from pyro_mcp.host import files
from tests.unit.environments import shelf


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    kernel = shelf.put_kernel(tmp_path)
    environment = shelf.put(tmp_path, kernel=kernel)
    layout = Layout(tmp_path)
    assert manifest.read_kernel(layout.kernel(kernel.digest)) == kernel
    assert manifest.read_environment(layout.environment(environment.version, "debian:12")) == environment


def test_every_cut_of_a_record_means_not_installed(tmp_path: Path) -> None:
    record = shelf.put(tmp_path)
    path = Layout(tmp_path).environment(record.version, record.name)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert manifest.read_environment(path) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 1},
        {"schema": None},
        {"name": 7},
        {"rootfs": "x"},
        {"rootfs": {"path": "x"}},
        {"rootfs": {"path": "x", "sha256": "y", "fingerprint": {"dev": "1"}}},
        {"rootfs": {"path": "x", "sha256": "y", "fingerprint": [1, 2, 3, 4, 5]}},
        {"variables": ["PATH"]},
        {"variables": {"PATH": None}},
        {"unknown": "member"},
    ],
)
def test_a_record_with_other_members_means_not_installed(tmp_path: Path, damage: dict[str, object]) -> None:
    record = shelf.put(tmp_path)
    path = Layout(tmp_path).environment(record.version, record.name)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | damage))
    assert manifest.read_environment(path) is None


@pytest.mark.parametrize("content", ["", "null", "[]", "7", '"text"', "{}", "[" * 100_000, "\udcff"])
def test_nonsense_means_not_installed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert manifest.read_environment(path) is None
    assert manifest.read_kernel(path) is None


def recorded(tmp_path: Path) -> manifest.StoredFile:
    (tmp_path / "file").write_bytes(b"contents")
    return manifest.record_file(tmp_path, "file")


def test_an_untouched_file_is_trusted_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = recorded(tmp_path)
    monkeypatch.setattr(files, "sha256", None)
    assert manifest.verify(tmp_path, stored) is stored


def test_a_touched_file_with_the_same_bytes_gets_a_new_fingerprint(tmp_path: Path) -> None:
    stored = recorded(tmp_path)
    os.utime(tmp_path / "file")
    fresh = manifest.verify(tmp_path, stored)
    assert fresh.sha256 == stored.sha256
    assert fresh.fingerprint == files.fingerprint(tmp_path / "file") != stored.fingerprint


def test_other_bytes_are_found_even_with_size_and_time_put_back(tmp_path: Path) -> None:
    stored = recorded(tmp_path)
    (tmp_path / "file").write_bytes(b"CONTENTS")
    os.utime(tmp_path / "file", ns=(stored.fingerprint.mtime_ns, stored.fingerprint.mtime_ns))
    with pytest.raises(IntegrityError, match="damaged") as failure:
        manifest.verify(tmp_path, stored)
    assert failure.value.code == "digest-mismatch"


def test_a_missing_file_is_an_integrity_error_too(tmp_path: Path) -> None:
    stored = recorded(tmp_path)
    (tmp_path / "file").unlink()
    with pytest.raises(IntegrityError, match="No such file"):
        manifest.verify(tmp_path, stored)
