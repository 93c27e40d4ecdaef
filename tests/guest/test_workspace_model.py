"""A workspace against a plain directory: whatever is done to both, both hold the same, and the diff is what changed."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pyro_mcp import Pyro
from pyro_mcp.errors import PyroError
from tests.harness.installation import Installation
from tests.harness.trees import Entry, tree_of

STEPS = 2400
_EXAMPLES = 30

NAMES = st.lists(st.sampled_from(["a", "b", "c", "d e"]), min_size=1, max_size=3).map("/".join)
TEXTS = st.text(alphabet="ab\n", max_size=40)
SCRIPTS = (
    "rm -rf '{0}'",
    "mkdir -p '{0}'",
    "mv -T '{0}' '{1}'",
    "ln -T '{0}' '{1}'",
    "ln -sT '{1}' '{0}'",
    "cp -aT '{0}' '{1}'",
    "echo more >> '{0}'",
    ": > '{0}'",
    "chmod u+x '{0}'",
    "chmod 700 '{0}'",
    "touch -h '{0}'",
    "rm -rf '{0}' && mkdir -p '{0}' && echo new > '{0}/a'",
    "mkfifo '{0}'",
    "truncate -s 5000 '{0}'",
)


def comparable(tree: dict[str, Entry]) -> dict[str, Entry]:
    """Everything but times, which two machines never share, and the top."""
    return {name: dataclasses.replace(entry, mtime_ns=0) for name, entry in tree.items() if name != "."}


def changes(before: dict[str, Entry], after: dict[str, Entry]) -> dict[str, str]:
    found = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found[name] = "added" if old is None else "deleted"
        elif old.kind != new.kind:
            found[name] = "type_changed"
        elif (old.mode, old.content) != (new.mode, new.content):
            found[name] = "modified"
    return found


class Both(RuleBasedStateMachine):
    """Set by `machine`: the workspace, and what it began as."""

    sdk: Pyro
    workspace_id: str
    seed: Path

    @initialize()
    def begin(self) -> None:
        self.room = Path(tempfile.mkdtemp(prefix="pyro-model-"))
        self.plain = self.room / "plain"
        self.kept: dict[str, Path] = {}
        shutil.copytree(self.seed, self.plain, symlinks=True)
        self.relink(self.plain)
        self.sdk.reset_workspace(self.workspace_id)

    def relink(self, tree: Path) -> None:
        """copytree makes two files of one with two names."""
        (tree / "a/b").unlink()
        (tree / "a/b").hardlink_to(tree / "c")

    @rule(script=st.sampled_from(SCRIPTS), one=NAMES, two=NAMES)
    def run(self, script: str, one: str, two: str) -> None:
        command = script.format(one, two)
        here = subprocess.run(["sh", "-c", f"umask 022; {command}"], cwd=self.plain, capture_output=True, check=False)
        there = self.sdk.exec_workspace(self.workspace_id, command=["sh", "-c", command])
        assert there["exit_code"] == here.returncode, (command, there, here)

    @rule(path=NAMES, text=TEXTS)
    def write(self, path: str, text: str) -> None:
        target = self.plain / path
        if any(parent.is_symlink() for parent in (target, *target.parents)) or target.is_fifo():
            return
        if target.is_dir() or any(parent.exists() and not parent.is_dir() for parent in target.parents):
            with pytest.raises(PyroError, match="director"):
                self.sdk.write_workspace_file(self.workspace_id, path, text=text)
            return
        self.sdk.write_workspace_file(self.workspace_id, path, text=text)
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
        target.unlink(missing_ok=True)  # a file that is replaced is another file
        target.write_text(text)
        target.chmod(mode)

    @rule(path=NAMES, names=st.lists(NAMES, max_size=4))
    def push(self, path: str, names: list[str]) -> None:
        target = self.plain / path
        if any(parent.is_symlink() for parent in (target, *target.parents)):
            return
        source = Path(tempfile.mkdtemp(dir=self.room))
        source.chmod(0o755)
        for name in names:
            if not any((source / name).is_relative_to(file) for file in source.rglob("*") if file.is_file()):
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                if not (source / name).exists():
                    (source / name).write_text(name)
        if any(place.exists() and not place.is_dir() for place in (target, *target.parents)):
            with pytest.raises(PyroError, match="no directory"):
                self.sdk.push_workspace_sync(self.workspace_id, source, dest=path)
            return
        self.sdk.push_workspace_sync(self.workspace_id, source, dest=path)
        merge(source, target)

    @precondition(lambda self: len(self.kept) < 3)
    @rule()
    def snapshot(self) -> None:
        name = f"s{len(self.kept)}-{self.room.name[-6:]}"
        self.sdk.create_snapshot(self.workspace_id, name)
        subprocess.run(["cp", "-a", self.plain, self.room / name], check=True)
        self.kept[name] = self.room / name

    @precondition(lambda self: bool(self.kept))
    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.kept)))
        self.sdk.reset_workspace(self.workspace_id, snapshot=name)
        shutil.rmtree(self.plain)
        subprocess.run(["cp", "-a", self.kept[name], self.plain], check=True)

    @rule()
    def compare(self) -> None:
        out = self.room / "out"
        self.sdk.export_workspace(self.workspace_id, ".", output_path=out)
        now = comparable(tree_of(out))
        shutil.rmtree(out)
        assert now == comparable(tree_of(self.plain))
        told = {
            entry["path"].removeprefix("/workspace/"): entry["status"]
            for entry in self.sdk.diff_workspace(self.workspace_id)["entries"]
            if entry["artifact_type"] != "other"
        }
        expected = changes(comparable(tree_of(self.seed)), now)
        # What became a FIFO is told as one, and is nothing that a tree of files shows.
        fifos = {str(path.relative_to(self.plain)) for path in self.plain.rglob("*") if path.is_fifo()}
        assert told == {name: status for name, status in expected.items() if name not in fifos}

    def teardown(self) -> None:
        if hasattr(self, "room"):
            try:
                self.compare()
            finally:
                for name in self.kept:
                    self.sdk.delete_snapshot(self.workspace_id, name)
                shutil.rmtree(self.room)


def merge(source: Path, target: Path) -> None:
    """What a push does, in its simplest words."""
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(source.stat().st_mode & 0o7777)
    for entry in source.iterdir():
        place = target / entry.name
        if entry.is_dir() and place.is_dir() and not place.is_symlink():
            merge(entry, place)
            continue
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        subprocess.run(["cp", "-a", entry, place], check=True)


@contextmanager
def machine(pyro: Installation, directory: Path) -> Iterator[type[Both]]:
    seed = directory / "seed"
    (seed / "a").mkdir(parents=True)
    (seed / "c").write_text("linked\n")
    (seed / "a/b").hardlink_to(seed / "c")
    (seed / "b").mkdir()
    (seed / "b/a").write_text("text\n")
    (seed / "d e").symlink_to("b")
    sdk = pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", seed_path=seed, ttl_seconds=0)["workspace_id"]
    try:
        yield type("BothHere", (Both,), {"sdk": sdk, "workspace_id": workspace_id, "seed": seed})
    finally:
        sdk.delete_workspace(workspace_id)


def explore(pyro: Installation, directory: Path, examples: int, steps: int) -> None:
    with machine(pyro, directory) as both:
        run_state_machine_as_test(
            both,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )


def test_a_workspace_does_what_a_directory_does(pyro: Installation, tmp_path: Path) -> None:
    explore(pyro, tmp_path, examples=5, steps=30)


@pytest.mark.fault
@pytest.mark.timeout(3600)
def test_a_workspace_does_what_a_directory_does_for_long(pyro: Installation, tmp_path: Path) -> None:
    explore(pyro, tmp_path, examples=_EXAMPLES, steps=STEPS // _EXAMPLES)
