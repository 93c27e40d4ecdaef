"""What lies below a directory is counted and packed as it is; what cannot be is named."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pyro_mcp.errors import ConflictError, PyroError, UsageError
from pyro_mcp.host.archive import unpack_stream
from pyro_mcp.host.limits import Limits
from pyro_mcp.host.tree import Survey, survey, tar_chunks
from tests.harness.trees import nasty_tree, tree_of
from tests.unit.host import tars
from tests.unit.host.confined import as_nobody, directory_of_everybody
from tests.unit.host.planted import Plant, plant, plants


def packed(root: Path) -> bytes:
    return b"".join(tar_chunks(root))


@given(entries=plants)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_tree_survives_gnu_tar_and_our_own_reader(entries: list[Plant]) -> None:
    with tempfile.TemporaryDirectory() as base:
        tree, by_tar, by_us = Path(base, "tree"), Path(base, "by-tar"), Path(base, "by-us")
        plant(tree, entries)
        before, data = tree_of(tree), packed(tree)
        by_tar.mkdir()
        argv = ["tar", "-C", str(by_tar), "-x", "--preserve-permissions", "--no-same-owner"]
        subprocess.run(argv, input=data, check=True, capture_output=True)
        assert tree_of(by_tar) == before
        made = unpack_stream(tars.reader(data), by_us)
        assert tree_of(by_us) == before
        assert survey(tree) == Survey(made.entries, made.bytes, ())
        shutil.rmtree(by_tar)


def test_python_reads_it_with_times_to_the_nanosecond(tmp_path: Path) -> None:
    tree = nasty_tree(tmp_path / "tree")
    expected = tree_of(tree)
    with tarfile.open(fileobj=io.BytesIO(packed(tree)), encoding="utf-8", errors="surrogateescape") as archive:
        found = {member.name: member for member in archive}
    assert found.keys() == expected.keys()
    for name, member in found.items():
        seconds, fraction = member.pax_headers["mtime"].split(".")
        assert int(seconds) * 10**9 + int(fraction) == expected[name].mtime_ns
        assert member.mode == expected[name].mode or member.issym()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
    links = {member.name for member in found.values() if member.islnk()}
    assert links == {"hard-1"}  # `deep/hard-2` comes before it


def test_everything_is_counted_once_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    tree = nasty_tree(tmp_path / "tree")
    found = survey(tree)
    assert found.entries == len(tree_of(tree)) - 1
    files = (path.lstat() for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    assert found.bytes == sum({status.st_ino: status.st_size for status in files}.values())
    assert found.skipped == (b"fifo", b"socket")


def test_a_single_file_is_packed_under_a_dot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "file", tmp_path / "link"):  # whoever names a symlink means what it leads to
        with tarfile.open(fileobj=io.BytesIO(packed(path))) as archive:
            [member] = archive.getmembers()
            assert (member.name, member.size, member.isreg()) == (".", 4, True)
        assert survey(path) == Survey(1, 4, ())


def test_an_empty_directory_is_an_archive_with_its_root(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path))) as archive:
        assert [(member.name, member.isdir()) for member in archive] == [(".", True)]
    assert survey(tmp_path) == Survey(0, 0, ())


def test_chunks_are_neither_tiny_nor_huge(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / str(number)).write_bytes(b"x" * 100)
    (tmp_path / "large").write_bytes(b"x" * (3 << 20))
    *chunks, last = list(tar_chunks(tmp_path))
    assert all(256 << 10 <= len(chunk) <= 600 << 10 for chunk in chunks)
    assert last.endswith(bytes(1024))


def test_what_may_not_be_read_is_named() -> None:
    with directory_of_everybody() as base:
        (base / "a").mkdir()
        (base / "a" / "secret\nfile").write_text("x")
        (base / "a" / "secret\nfile").chmod(0)
        for look in (survey, packed):
            with pytest.raises(UsageError, match=r"a/secret \| file cannot be read: permission denied") as refused:
                as_nobody(lambda look=look: look(base))  # type: ignore[misc]
            assert refused.value.code == "seed-unreadable"
        (base / "a" / "secret\nfile").chmod(0o644)
        (base / "a").chmod(0o311)
        for look in (survey, packed):
            with pytest.raises(UsageError, match=r"^a cannot be read") as refused:
                as_nobody(lambda look=look: look(base))  # type: ignore[misc]
            assert refused.value.code == "seed-unreadable"
        (base / "a").chmod(0o755)
        assert as_nobody(lambda: survey(base)).entries == 2


def test_a_file_that_becomes_shorter_while_it_is_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (1 << 20))
    chunks = tar_chunks(tmp_path)
    next(chunks)
    os.truncate(tmp_path / "a", 100)
    with pytest.raises(ConflictError, match="a changed") as refused:
        list(chunks)
    assert refused.value.code == "source-changed"


@pytest.mark.parametrize(
    "put",
    [lambda _: None, lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: path.mkdir()],
    ids=["nothing", "symlink", "fifo", "directory"],
)
def test_a_file_that_was_another_when_it_was_looked_at_is_not_read(
    tmp_path: Path, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("x")
    really_open = os.open

    def swap_and_open(path: str | bytes, flags: int, *, dir_fd: int | None = None) -> int:
        if path == b"a":
            (tmp_path / "a").unlink()
            put(tmp_path / "a")
        return really_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(ConflictError, match="a changed") as refused:
        packed(tmp_path)
    assert refused.value.code == "source-changed"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(entries=2), "more than 2 entries"),
        (Limits(total_bytes=5), "more than 0 GiB"),
        (Limits(depth=2), "too deep"),
        (Limits(path=4), "too deep"),
    ],
)
def test_what_is_too_large_is_refused(tmp_path: Path, limits: Limits, reason: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("sixsix")
    for look in (survey, lambda root, limits: list(tar_chunks(root, limits=limits))):
        with pytest.raises(UsageError, match=reason) as refused:
            look(tmp_path, limits=limits)
        assert refused.value.code == "seed-too-large"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    for look in (survey, packed):
        with pytest.raises(PyroError, match="none"):
            look(tmp_path / "none")


def test_descriptors_are_given_back_when_nobody_reads_on(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"x" * (1 << 20))
    before = len(list(Path("/proc/self/fd").iterdir()))
    chunks = tar_chunks(tmp_path)
    next(chunks)
    del chunks
    assert len(list(Path("/proc/self/fd").iterdir())) == before
