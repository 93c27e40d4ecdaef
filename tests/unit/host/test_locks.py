"""Locks exclude whom they should and end with their last holder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyro_mcp.host.locks import Lock, exclusive


def test_an_exclusive_lock_excludes_and_shared_ones_do_not_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path) as first, Lock(path) as second, Lock(path) as third:
        assert first.try_shared()
        assert second.try_shared()
        assert not third.try_exclusive()
    with Lock(path) as alone, Lock(path) as other:
        assert alone.try_exclusive()
        assert not other.try_shared()


def test_a_child_that_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock(path)
    assert lock.try_exclusive()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as child:
        lock.close()
        with Lock(path) as other:
            assert not other.try_exclusive()
            assert child.stdin is not None
            child.stdin.close()
            child.wait()
            assert other.try_exclusive()


def test_a_lock_that_must_exist_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "lock", create=False)
    assert not (tmp_path / "lock").exists()


def test_a_section_gives_its_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with exclusive(path), Lock(path) as other:
            assert not other.try_shared()
