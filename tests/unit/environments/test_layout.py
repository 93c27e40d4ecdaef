"""What is in use stays, what was left behind goes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyro_mcp.environments.layout import LEASE, Layout
from pyro_mcp.errors import HostError
from pyro_mcp.host.locks import Lock
from tests.unit.environments.shelf import names


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.create()
    return made


def test_a_workspace_is_gone_afterwards_with_all_that_was_in_it(layout: Layout) -> None:
    with layout.workspace() as work:
        (work.path / "a" / "b").mkdir(parents=True)
        (work.path / "link").symlink_to("/etc")
    assert names(layout.root / "work") == set()


def test_a_workspace_is_gone_after_a_failure_too(layout: Layout) -> None:
    with pytest.raises(ZeroDivisionError), layout.workspace():
        _ = 1 // 0
    assert names(layout.root / "work") == set()


def test_a_sweep_leaves_a_workspace_that_is_in_use(layout: Layout) -> None:
    with layout.workspace() as work:
        assert Layout(layout.root).sweep() == 0
        assert work.path.is_dir()


def test_a_sweep_removes_what_a_killed_process_left(layout: Layout) -> None:
    leftover = layout.root / "work" / "leftover"
    (leftover / "deep").mkdir(parents=True)
    (leftover / LEASE).touch()
    without_lease = layout.root / "work" / "killed-very-early"
    without_lease.mkdir()
    assert layout.sweep() == 2
    assert names(layout.root / "work") == set()


def test_a_leftover_is_in_use_while_a_tool_of_its_builder_lives(layout: Layout) -> None:
    leftover = layout.root / "work" / "leftover"
    leftover.mkdir()
    lock = Lock(leftover / LEASE)
    assert lock.try_exclusive()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as tool:
        lock.close()
        assert layout.sweep() == 0
        assert tool.stdin is not None
        tool.stdin.close()
        tool.wait()
        assert layout.sweep() == 1


def test_a_sweep_of_a_store_that_does_not_exist_finds_nothing(tmp_path: Path) -> None:
    assert Layout(tmp_path / "nowhere").sweep() == 0
    assert not (tmp_path / "nowhere").exists()


def test_a_sealed_directory_is_readable_for_all_under_any_umask(layout: Layout) -> None:
    before = os.umask(0o077)
    try:
        with layout.workspace() as work:
            out = work.path / "out"
            (out / "sub").mkdir(parents=True)
            (out / "sub" / "file").write_bytes(b"x")
            layout.seal(out)
            assert {oct(path.stat().st_mode & 0o777) for path in (out, out / "sub")} == {"0o755"}
            assert (out / "sub" / "file").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_publishing_again_replaces_the_object_and_its_old_files_stay_open_for_users(layout: Layout) -> None:
    for text in ("damaged", "repaired"):
        with layout.workspace() as work:
            out = work.path / "out"
            out.mkdir()
            (out / "file").write_text(text)
            layout.seal(out)
            layout.publish(out, "digest", lambda: None)
        if text == "damaged":
            reader = (layout.object("digest") / "file").open()
    with reader:
        assert reader.read() == "damaged"
    assert (layout.object("digest") / "file").read_text() == "repaired"
    assert layout.sweep() == 1


def test_a_cache_that_cannot_be_written_is_a_host_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError) as failure:
        Layout(tmp_path / "file" / "cache").create()
    assert failure.value.code == "cache-not-writable"
    assert "PYRO_ENVIRONMENT_CACHE_DIR" in failure.value.hint
