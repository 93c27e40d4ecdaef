"""Root's work in namespaces: nothing of it stays outside, and the remedies are right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyro_mcp.host import command, subids
from pyro_mcp.host.locks import Lock


def test_root_gets_no_user_namespace_and_others_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--map-auto" not in subids.as_root(["true"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--map-auto" in subids.as_root(["true"])


def test_a_command_finds_its_tools_and_variables() -> None:
    argv = subids.as_root(["sh", "-c", "id -u; echo $PATH $COLOUR"], {"COLOUR": "red"})
    done = command.run(argv, deadline_seconds=30)
    assert done.output.splitlines() == ["0", f"{subids.PATH} red"]


def test_everything_a_killed_command_started_dies_with_it(tmp_path: Path) -> None:
    # The sleeper has a session of its own and not our pipe: only the end of the pid namespace reaches it.
    argv = subids.as_root(["sh", "-c", "setsid sh -c 'echo started; exec sleep 1000 >/dev/null 2>&1' & wait"])
    cancel = command.Cancellation()
    with Lock(tmp_path / "lock") as lock:
        assert lock.try_exclusive()
        done = command.run(
            argv, deadline_seconds=60, cancel=cancel, on_line=lambda _: cancel.set(), pass_fds=[lock.fileno()]
        )
    assert done.ended is command.Ended.CANCELLED
    with Lock(tmp_path / "lock") as freed:
        freed.wait_exclusive()


def test_what_is_mounted_inside_stays_inside(tmp_path: Path) -> None:
    done = command.run(subids.as_root(["mount", "-t", "tmpfs", "none", tmp_path]), deadline_seconds=30)
    assert done.succeeded, done.output
    assert not tmp_path.is_mount()


@pytest.mark.parametrize(
    ("table", "free"),
    [("", 100_000), ("ann:100000:65536\n", 165_536), ("ann:200000:65536\nbob:100000:65536\nnonsense\n", 265_536)],
)
def test_the_remedy_names_a_range_nobody_has(tmp_path: Path, table: str, free: int) -> None:
    (tmp_path / "subuid").write_text(table)
    assert subids._first_free(tmp_path / "subuid") == free


def test_a_tree_is_removed_whatever_is_in_it_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "link").symlink_to("/etc")
    subids.remove_tree(tree)
    assert not tree.exists()
    assert Path("/etc/passwd").exists()
    subids.remove_tree(tree)
