"""Files are replaced whole, and a touched one is told from an untouched one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pyro_mcp.host import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "record"
    files.write_atomically(path, b"old")
    before = path.stat().st_ino
    files.write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["record"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "record"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        files.write_atomically(path, b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["record"]


def test_a_digest_is_taken_with_progress(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 2_500_000)
    seen: list[int] = []
    assert files.sha256(path, seen.append) == hashlib.sha256(b"x" * 2_500_000).hexdigest()
    assert seen == sorted(seen)
    assert seen[-1] == 2_500_000


def test_a_fingerprint_moves_with_every_write_even_if_the_old_time_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1))
    before = files.fingerprint(path)
    assert files.fingerprint(path) == before
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    after = files.fingerprint(path)
    assert after != before
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)


def test_holes_take_no_space(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    assert files.allocated_bytes(path) == 0
