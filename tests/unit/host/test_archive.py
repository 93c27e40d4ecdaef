"""Archives of real tools come out as what went in, and never by half."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pyro_mcp.errors import HostError, PyroError, UsageError
from pyro_mcp.host import command, files
from pyro_mcp.host.archive import Unpacked, unpack, unpack_stream
from tests.harness.trees import Entry, nasty_tree, tree_of
from tests.unit.host import tars
from tests.unit.host.planted import PAGE, Plant, pages_of, plant, plants

FORMATS = (
    ("--format=posix",),
    ("--format=gnu",),
    ("--format=posix", "--sparse"),
    ("--format=posix", "--sparse", "--sparse-version=0.0"),
    ("--format=posix", "--sparse", "--sparse-version=0.1"),
    ("--format=gnu", "--sparse"),
)


def pack(tree: Path, *options: str) -> bytes:
    return subprocess.run(["tar", *options, "-C", tree, "-c", "."], check=True, capture_output=True).stdout


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".tar.gz":
        return gzip.compress(data)
    if suffix == ".tar.zst":
        return subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
    return data


@given(entries=plants)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_tree_comes_out_as_it_went_in(entries: list[Plant]) -> None:
    with tempfile.TemporaryDirectory() as base:
        tree, out = Path(base, "tree"), Path(base, "out")
        plant(tree, entries)
        before = tree_of(tree)
        for options in FORMATS:
            made = unpack_stream(tars.reader(pack(tree, *options), step=10_000), out)
            after = tree_of(out)
            if "--format=gnu" in options:  # which has whole seconds
                assert {name: whole_seconds(entry) for name, entry in after.items()} == {
                    name: whole_seconds(entry) for name, entry in before.items()
                }
            else:
                assert after == before
            assert made.entries == len(after) - 1
            for path in out.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    # One more for what the file system notes about pieces of a file.
                    assert files.allocated_bytes(path) <= (pages_of(path.read_bytes()) + 1) * PAGE
            shutil.rmtree(out)


def whole_seconds(entry: Entry) -> Entry:
    return replace(entry, mtime_ns=entry.mtime_ns // 10**9)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_everything_that_copies_lose_is_kept(tmp_path: Path, suffix: str) -> None:
    tree = nasty_tree(tmp_path / "tree")
    packed = tmp_path / f"seed{suffix}"
    packed.write_bytes(compressed(pack(tree, "--format=posix"), suffix))
    made = unpack(packed, tmp_path / "out")
    assert tree_of(tmp_path / "out") == tree_of(tree)
    assert made == Unpacked(
        made.type, len(tree_of(tree)) - 1, sum(size_once(tree).values()), skipped=(b"fifo",), skipped_count=1
    )  # of the socket tar itself said that it left it out


def size_once(tree: Path) -> dict[int, int]:
    found = (path.lstat() for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {status.st_ino: status.st_size for status in found}


def small_archive(tmp_path: Path) -> bytes:
    """Some thirty blocks that do not compress."""
    noise = random.Random(1)
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(4):
        (tree / f"file-{number}").write_bytes(noise.randbytes(1500))
    (tree / "link").symlink_to("x" * 150)
    return pack(tree, "--format=posix", "--blocking-factor=1")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
def test_an_archive_that_is_cut_off_is_refused_unless_behind_a_member(tmp_path: Path, suffix: str) -> None:
    packed = small_archive(tmp_path)
    taken = []
    for cut in range(0, len(packed) + 1, 512):
        (tmp_path / "cut").write_bytes(compressed(packed[:cut], suffix))
        code = refusal(lambda: unpack(tmp_path / "cut", tmp_path / "out"))
        assert (tmp_path / "out").exists() is (code == "")
        if not code:
            taken.append(cut)
            (tmp_path / "by-tar").mkdir()
            subprocess.run(
                ["tar", "-C", tmp_path / "by-tar", "-x"], input=packed[:cut], capture_output=True, check=True
            )
            assert tree_of(tmp_path / "out") == tree_of(tmp_path / "by-tar")
            shutil.rmtree(tmp_path / "by-tar")
            shutil.rmtree(tmp_path / "out")
        else:
            assert code == "bad-archive"
    assert len(taken) == 6 + 2  # behind each member, and with one or both of the blocks that say that it ends
    assert taken[-3:] == [len(packed) - 1024, len(packed) - 512, len(packed)]


def refusal(work: Callable[[], object]) -> str:
    """The code of the error that it ends with, or nothing."""
    try:
        work()
    except PyroError as error:
        return error.code
    return ""


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.zst"])
def test_a_compressed_archive_that_is_cut_off_is_always_refused(tmp_path: Path, suffix: str) -> None:
    packed = small_archive(tmp_path)
    whole = compressed(packed, suffix)
    assert len(whole) > 6000
    for cut in (*range(0, len(whole), 512), *range(1, 12), len(whole) - 1, len(whole) - 4, len(whole) - 8):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(UsageError) as refused:
            unpack(tmp_path / "cut", tmp_path / "out")
        assert refused.value.code == "bad-archive"
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.zst"])
def test_a_damaged_stream_is_refused(tmp_path: Path, suffix: str) -> None:
    packed = small_archive(tmp_path)
    whole = bytearray(compressed(packed, suffix))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "damaged").write_bytes(whole)
    with pytest.raises(UsageError) as refused:
        unpack(tmp_path / "damaged", tmp_path / "out")
    assert refused.value.code == "bad-archive"


def test_streams_one_behind_the_other_are_one(tmp_path: Path) -> None:
    packed = small_archive(tmp_path)
    first, second = packed[:5000], packed[5000:]
    (tmp_path / "a").write_bytes(gzip.compress(first) + gzip.compress(b"") + gzip.compress(second) + bytes(9000))
    (tmp_path / "b").write_bytes(compressed(first, ".tar.zst") + compressed(second, ".tar.zst"))
    for name in "ab":
        unpack(tmp_path / name, tmp_path / f"out-{name}")
        assert tree_of(tmp_path / f"out-{name}") == tree_of(tmp_path / "tree")


def test_what_follows_a_gzip_stream_is_not_passed_over(tmp_path: Path) -> None:
    packed = small_archive(tmp_path)
    (tmp_path / "a").write_bytes(gzip.compress(packed) + b"more")
    with pytest.raises(UsageError, match="gzip"):
        unpack(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize(
    "make",
    [lambda _: None, lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")],
    ids=["nothing", "directory", "fifo", "dangling"],
)
def test_what_is_no_file_is_no_archive(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a")
    with pytest.raises(UsageError) as refused:
        unpack(tmp_path / "a", tmp_path / "out")
    assert refused.value.code == "archive-unreadable"


def test_a_missing_zstd_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = small_archive(tmp_path)
    (tmp_path / "a").write_bytes(compressed(packed, ".tar.zst"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="zstd") as refused:
        unpack(tmp_path / "a", tmp_path / "out")
    assert refused.value.code == "zstd-missing"
    assert "apt-get install zstd" in refused.value.hint


def test_zstd_ends_when_unpacking_does(tmp_path: Path) -> None:
    huge = tars.block(b"../x") + bytes(64 << 20)
    (tmp_path / "a").write_bytes(compressed(huge, ".tar.zst"))
    with pytest.raises(UsageError):
        unpack(tmp_path / "a", tmp_path / "out")
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_unpacking_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    packed = small_archive(tmp_path)
    (tmp_path / "a").write_bytes(packed)
    cancel = command.Cancellation()
    cancel.set()
    with pytest.raises(PyroError) as cancelled:
        unpack(tmp_path / "a", tmp_path / "out", cancel=cancel)
    assert cancelled.value.code == "cancelled"
    assert not (tmp_path / "out").exists()
