"""What a stranger may name: the attacks that are known, and what people really have in their trees."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.errors import UsageError
from pyro_mcp.host.allowed import AllowedRoots


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A directory that is allowed, beside things that are not; each lies there under a name of its own."""
    (tmp_path / "allowed/sub/deep").mkdir(parents=True)
    (tmp_path / "allowed_evil").mkdir()
    for place in ("allowed/file", "allowed/sub/.git", "allowed/real", "allowed_evil/file", "secret"):
        (tmp_path / place).write_text("x")
    for place, target in {
        "out": "..",
        "out-file": "../secret",
        "absolute": str(tmp_path / "allowed/sub"),
        "chain": "out/secret",
        "loop": "loop",
        "dangling": "nowhere",
        "root": "/",
        "proc": "/proc/self/root",
        "in": "sub/deep",
        "sub/up-but-in": "../sub/deep",
    }.items():
        (tmp_path / "allowed" / place).symlink_to(target)
    os.link(tmp_path / "allowed/real", tmp_path / "allowed/twin")
    return tmp_path / "allowed"


def attacks(allowed: Path) -> Iterator[str]:
    descriptor = os.open(allowed.parent, os.O_PATH)
    try:
        yield from ("..", "../secret", "sub/../../secret", "sub/deep/../../../secret", "./..", "in/../../../secret")
        yield from ("/etc/passwd", "/", "//etc/passwd", str(allowed.parent), str(allowed.parent / "secret"))
        yield from (f"{allowed}_evil/file", f"{allowed}/../secret", f"{allowed}/../allowed_evil/file")
        yield from ("out", "out/secret", "out-file", "absolute/deep", "chain", "loop", "loop/x", "root/etc", "proc/etc")
        yield from ("/proc/self/root/etc/passwd", f"/proc/self/root{allowed}/file", f"/proc/self/cwd/{allowed}")
        yield from (f"/dev/fd/{descriptor}", f"/proc/self/fd/{descriptor}/secret", "/dev/stdin")
        yield from (
            "~",
            "~/file",
            "~root/file",
            f"file://{allowed}/file",
            "FILE:///etc/passwd",
            "https://example.org/x",
        )
        yield from ("file\0", f"{allowed}/file\0/../../secret", "\ud800")
    finally:
        os.close(descriptor)


def test_no_attack_leads_to_what_is_there(allowed: Path) -> None:
    roots = AllowedRoots([allowed])
    for attack in attacks(allowed):
        with pytest.raises(UsageError) as refused:
            roots.existing("seed_path", attack, missing="seed-not-found")
        assert refused.value.code == "path-not-allowed", attack
        assert str(allowed) in refused.value.hint
        assert "\0" not in refused.value.message


def test_no_attack_leads_to_a_place_for_something_new(allowed: Path) -> None:
    roots = AllowedRoots([allowed])
    for attack in attacks(allowed):
        for output in (attack, f"{attack}/new"):
            with pytest.raises(UsageError) as refused:
                roots.new("output_path", output, missing="output-parent-missing")
            # What the link is called is taken, wherever it leads.
            expected = "output-exists" if output in ("out", "out-file", "chain", "loop") else "path-not-allowed"
            assert refused.value.code == expected, output


@pytest.mark.parametrize(
    ("named", "real"),
    [
        ("file", "file"),
        ("./sub//deep/", "sub/deep"),
        ("sub/../file", "file"),
        (".", "."),
        ("in", "sub/deep"),
        ("sub/up-but-in", "sub/deep"),
        ("twin", "twin"),
        ("sub/.git", "sub/.git"),
    ],
)
def test_what_lies_within_is_found_under_its_real_path(allowed: Path, named: str, real: str) -> None:
    roots = AllowedRoots([allowed])

    assert roots.existing("seed_path", named, missing="-") == allowed / real
    assert roots.existing("seed_path", f"{allowed}/{named}", missing="-") == allowed / real


def test_what_is_not_there_is_called_so(allowed: Path) -> None:
    roots = AllowedRoots([allowed])
    for name in ("nothing", "dangling", "file/below", "sub/nothing/deep", "x" * 200):
        with pytest.raises(UsageError) as refused:
            roots.existing("seed_path", name, missing="seed-not-found")
        assert refused.value.code == "seed-not-found", name
    for value in ("", None, 5, ["file"]):
        with pytest.raises(UsageError) as wrong:
            roots.existing("seed_path", value, missing="-")
        assert wrong.value.code == "invalid-argument"


def test_something_new_goes_where_nothing_is(allowed: Path) -> None:
    roots = AllowedRoots([allowed])

    assert roots.new("output_path", "new", missing="-") == allowed / "new"
    assert roots.new("output_path", f"{allowed}/in/new/", missing="-") == allowed / "sub/deep/new"
    for name, code in {
        "file": "output-exists",
        "sub": "output-exists",
        "dangling": "output-exists",
        ".": "output-exists",
        "none/new": "output-parent-missing",
        "file/new": "output-parent-missing",
        "sub/..": "path-not-allowed",
    }.items():
        with pytest.raises(UsageError) as refused:
            roots.new("output_path", name, missing="output-parent-missing")
        assert refused.value.code == code, name


def test_relative_paths_begin_in_the_first_root_and_absolute_ones_lie_in_any(allowed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "only-here").touch()
    roots = AllowedRoots([allowed, other])

    assert roots.existing("seed_path", str(other / "only-here"), missing="-") == other / "only-here"
    with pytest.raises(UsageError) as refused:
        roots.existing("seed_path", "only-here", missing="seed-not-found")
    assert refused.value.code == "seed-not-found"
    assert refused.value.hint == f"allowed: what lies in {allowed}, {other}; relative paths begin in {allowed}"


def test_a_root_may_be_named_by_a_symlink_and_so_may_what_lies_in_it(allowed: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("allowed")
    roots = AllowedRoots([tmp_path / "alias"])

    for spelling in (tmp_path / "alias/file", allowed / "file", "file"):
        assert roots.existing("seed_path", str(spelling), missing="-") == allowed / "file"


def test_a_root_that_is_no_directory_is_refused(allowed: Path) -> None:
    for wrong in (allowed / "nothing", allowed / "file"):
        with pytest.raises(UsageError) as refused:
            AllowedRoots([wrong])
        assert refused.value.code == "root-not-found"


def test_where_nobody_said_anything_it_is_the_working_directory_but_never_all_files(
    allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(allowed)
    assert AllowedRoots.here().roots == (allowed,)
    monkeypatch.chdir("/")
    assert AllowedRoots.here().roots == ()
    with pytest.raises(UsageError) as refused:
        AllowedRoots.here().existing("seed_path", "/etc", missing="-")
    assert refused.value.code == "path-not-allowed"
    assert "--allow-root" in refused.value.hint


def test_a_directory_that_turns_into_a_symlink_meanwhile_leads_nowhere_else(allowed: Path) -> None:
    """One moves a directory out and a symlink that leads there into its place, as often as it can; the other looks."""
    roots = AllowedRoots([allowed])
    (allowed / "swapped").mkdir()
    (allowed / "swapped/file").write_text("x")
    (allowed / "trap").symlink_to("../aside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (allowed / "swapped").rename(allowed.parent / "aside")
            (allowed / "trap").rename(allowed / "swapped")
            (allowed / "swapped").rename(allowed / "trap")
            (allowed.parent / "aside").rename(allowed / "swapped")

    swapping = threading.Thread(target=swap)
    swapping.start()
    outcomes = set()
    try:
        for _ in range(5000):
            try:
                found = roots.existing("seed_path", "swapped/file", missing="seed-not-found")
                outcomes.add(str(found.relative_to(allowed)))
            except UsageError as error:
                outcomes.add(error.code)
    finally:
        done.set()
        swapping.join()

    assert outcomes <= {"swapped/file", "path-not-allowed", "seed-not-found"}
    assert {"swapped/file", "path-not-allowed"} <= outcomes
