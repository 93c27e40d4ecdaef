"""What a guest exports arrives where the user said, whole, or not at all; and nowhere else, whoever moves things."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyro_mcp.errors import GuestError, PyroError
from pyro_mcp.host.archive import RootType, Unpacked, place
from pyro_mcp.host.limits import Limits
from pyro_mcp.host.tarsource import Read
from pyro_mcp.host.tree import tar_chunks
from tests.harness.trees import nasty_tree, tree_of
from tests.unit.host import tars
from tests.unit.host.confined import NOBODY, as_nobody, directory_of_everybody
from tests.unit.host.tars import END, block, directory, file, pax, symlink


def placed(data: bytes, output: Path, limits: Limits | None = None) -> Unpacked:
    return place(tars.reader(data, step=1000), output, limits=limits or Limits())


def refused(data: bytes, output: Path) -> str:
    """The code of the error."""
    with pytest.raises(PyroError) as error:
        placed(data, output)
    return error.value.code


def test_a_directory_arrives_as_it_was(tmp_path: Path) -> None:
    tree = nasty_tree(tmp_path / "tree")
    made = placed(b"".join(tar_chunks(tree)), tmp_path / "out")
    assert tree_of(tmp_path / "out") == tree_of(tree)
    assert (made.type, made.entries) == (RootType.DIRECTORY, len(tree_of(tree)) - 1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "tree"]


def test_a_single_file_arrives_as_it_was(tmp_path: Path) -> None:
    data = pax((b"mtime", b"12.000000034")) + file(b".", b"x" * 5000, mode=0o4751) + END
    made = placed(data, tmp_path / "out")
    status = (tmp_path / "out").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size) == (0o4751, 12_000_000_034, 5000)
    assert made == Unpacked(RootType.FILE, 1, 5000)


def test_a_single_symlink_arrives_and_is_not_followed(tmp_path: Path) -> None:
    made = placed(symlink(b"./", b"/etc/passwd") + END, tmp_path / "out")
    assert (tmp_path / "out").readlink() == Path("/etc/passwd")
    assert made == Unpacked(RootType.SYMLINK, 1, 0)


def test_a_directory_that_is_closed_arrives_too() -> None:
    with directory_of_everybody() as base:
        as_nobody(lambda: placed(directory(b".", 0o500) + file(b"a") + END, base / "out") and None)
        assert stat.S_IMODE((base / "out").stat().st_mode) == 0o500
        (base / "out").chmod(0o700)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad-archive"),
        (END, "bad-archive"),
        (file(b".") + file(b"a"), "bad-archive"),
        (symlink(b".", b"/tmp") + file(b"./a"), "bad-archive"),
        (symlink(b".", b"/tmp") + symlink(b".", b"/tmp"), "bad-archive"),
        (directory(b".") + file(b"."), "bad-archive"),
        (directory(b".") + symlink(b".", b"/tmp"), "bad-archive"),
        (directory(b".") + file(b"../a"), "archive-traversal"),
        (directory(b".") + file(b"a", b"x" * 600)[:800], "bad-archive"),
        (file(b".", b"x" * 600)[:800], "bad-archive"),
        (block(b".", b"2"), "bad-archive"),
        (block(b".", size=1 << 31), "archive-too-large"),
    ],
)
def test_what_is_not_as_agreed_leaves_nothing(tmp_path: Path, data: bytes, code: str) -> None:
    with pytest.raises(PyroError) as error:
        placed(data, tmp_path / "out", Limits(total_bytes=1 << 30))
    assert error.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_guest_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    good = tars.reader(directory(b".", 0) + directory(b"a", 0) + file(b"a/b", b"x" * 5000), step=512)

    def read(count: int) -> bytes:
        if data := good(count):
            return data
        raise GuestError("gone", code="guest-gone")

    with pytest.raises(GuestError, match="gone"):
        place(read, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("existing", ["file", "directory", "symlink"])
def test_what_exists_stays(tmp_path: Path, existing: str) -> None:
    out = tmp_path / "out"
    if existing == "directory":
        out.mkdir()
    elif existing == "file":
        out.write_text("mine")
    else:
        out.symlink_to("nowhere")
    assert refused(directory(b".") + END, out) == "output-exists"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert out.is_symlink() or out.is_dir() or out.read_text() == "mine"


def test_what_comes_to_exist_meanwhile_stays(tmp_path: Path) -> None:
    good = tars.reader(directory(b".") + file(b"a") + END, step=512)

    def read(count: int) -> bytes:
        if not (data := good(count)):
            (tmp_path / "out").mkdir(exist_ok=True)
        return data

    with pytest.raises(PyroError) as error:
        place(read, tmp_path / "out")
    assert error.value.code == "output-exists"
    assert [entry.name for entry in tmp_path.rglob("*")] == ["out"]


@pytest.mark.parametrize("output", ["none/out", "file/out", "loop/out", "dangling/out"])
def test_a_directory_that_is_not_there_is_named(tmp_path: Path, output: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("none")
    assert refused(directory(b".") + END, tmp_path / output) == "output-parent-missing"


@pytest.mark.parametrize("output", ["out", "/", "/tmp/..", "", "/tmp/" + "n" * 256])
def test_what_is_no_new_absolute_path_is_refused(output: str) -> None:
    assert refused(directory(b".") + END, Path(output)) == "invalid-output-path"


def test_a_directory_that_may_not_be_written_is_named() -> None:
    with directory_of_everybody() as base:
        (base / "closed").mkdir(mode=0o555)
        (base / "closed").chmod(0o555)
        assert as_nobody(lambda: refused(directory(b".") + END, base / "closed" / "out")) == "output-not-writable"
        (base / "closed").chmod(0o700)


def test_the_callers_own_symlinks_lead_to_the_place(tmp_path: Path) -> None:
    (tmp_path / "a" / "real").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "relative").symlink_to("../a/./real")
    placed(directory(b".") + END, tmp_path / "absolute" / "relative" / ".." / "real" / "out")
    assert (tmp_path / "a" / "real" / "out").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes symlinks of other users")
@pytest.mark.parametrize("way", ["strange/out", "mine/out", "strange/../real/out"])
def test_a_strangers_symlink_leads_nowhere(tmp_path: Path, way: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "strange").symlink_to("real")
    os.chown(tmp_path / "strange", NOBODY, NOBODY, follow_symlinks=False)
    (tmp_path / "mine").symlink_to("strange")
    assert refused(directory(b".") + END, tmp_path / way) == "output-in-symlinked-directory"
    assert list((tmp_path / "real").iterdir()) == []


# Puts a symlink that leads out in the place of a directory, and back, in whatever tree lies below `base`.
_SWAPPER = """
import os, sys
base, trap = sys.argv[1:]
print("ready", flush=True)
while True:
    for found in os.listdir(base):
        for path in (f"{base}/{found}/d0", f"{base}/{found}/d1") * 50:
            try:
                os.rename(path, path + ".away")
                os.symlink(trap, path)
                os.unlink(path)
                os.rename(path + ".away", path)
            except OSError:
                break
"""


@contextmanager
def swapping(base: Path, trap: Path) -> Iterator[None]:
    argv = [sys.executable, "-c", _SWAPPER, str(base), str(trap)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        swapper.stdout.readline()
        try:
            yield
        finally:
            swapper.kill()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory on a file system in memory, which is fast enough for races."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as made:
        (Path(made) / "trap").mkdir()
        (Path(made) / "base").mkdir()
        yield Path(made)


def test_renaming_meanwhile_leads_nothing_out(memory: Path) -> None:
    members = (file(b"d%d/f%d" % (number % 2, number), b"") for number in range(200))
    data = directory(b".") + directory(b"d0") + directory(b"d1") + b"".join(members) + END
    tries = rounds = broken_off = 0
    with swapping(memory / "base", memory / "trap"):
        while tries < 20_000:
            whole = tars.reader(data, step=512)

            def read(count: int, whole: Read = whole) -> bytes:
                nonlocal tries
                tries += 1  # one block is one file
                return whole(count)

            rounds += 1
            try:
                place(read, memory / "base" / "out")
            except PyroError:
                broken_off += 1
            for left in (memory / "base").iterdir():
                shutil.rmtree(left, ignore_errors=True)
    assert list((memory / "trap").iterdir()) == []
    assert broken_off > rounds / 10, "there was hardly anything in the way, so this proves nothing"


def test_looking_before_opening_loses_that_race(memory: Path) -> None:
    """The attack of the test above works: here, where a path is made sure first and then opened."""
    out = memory / "base" / "out"
    (out / "d0").mkdir(parents=True)
    (out / "d1").mkdir()
    with swapping(memory / "base", memory / "trap"):
        for number in range(200_000):
            path = f"{out}/d{number % 2}"
            with suppress(OSError):
                if Path(path).resolve().is_relative_to(out):
                    (Path(path) / f"f{number}").touch()
            if number % 100 == 0 and any((memory / "trap").iterdir()):
                return
    pytest.fail("nothing escaped")
