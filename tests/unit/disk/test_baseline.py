"""An image holds the tree that it was made of, as the tools of the file system's makers read it, or there is none."""

from __future__ import annotations

import os
import random
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from pyro_mcp.disk.baseline import BASELINE_BYTES, make_baseline
from pyro_mcp.errors import ConflictError, PyroError, UsageError
from pyro_mcp.host import command, erofs, files, sealed
from tests.harness.trees import Entry, nasty_tree, tree_of
from tests.unit.host.confined import as_nobody, directory_of_everybody, on_small_disk
from tests.unit.host.planted import Plant, plant, plants

needs_tools = pytest.mark.skipif(shutil.which("fsck.erofs") is None, reason="erofs-utils is not installed")


def extracted(image: Path, place: Path) -> dict[str, Entry]:
    """What fsck.erofs finds in the image. It does not tell setuid bits and hard links."""
    place.mkdir()
    subprocess.run(["fsck.erofs", "--preserve-perms", f"--extract={place}", image], check=True, capture_output=True)
    return told_by_fsck(tree_of(place))


def told_by_fsck(tree: dict[str, Entry]) -> dict[str, Entry]:
    return {name: replace(entry, mode=entry.mode & 0o777, links=()) for name, entry in tree.items()}


def inode(image: Path, name: str) -> tuple[int, int, int]:
    """Number, mode and number of links of what has this name."""
    dumped = subprocess.run(["dump.erofs", f"--path=/{name}", image], check=True, capture_output=True, text=True).stdout
    found = re.search(r"NID: (\d+) +Links: (\d+)", dumped)
    assert found is not None
    with image.open("rb") as file:
        file.seek(int(found[1]) * erofs.SLOT + 4)
        return int(found[1]), int.from_bytes(file.read(2), "little"), int(found[2])


@needs_tools
@given(entries=plants)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_tree_is_in_its_image(entries: list[Plant]) -> None:
    with tempfile.TemporaryDirectory() as base:
        tree, image = Path(base, "tree"), Path(base, "image")
        plant(tree, entries)
        make_baseline(tree, image)
        assert extracted(image, Path(base, "out")) == told_by_fsck(tree_of(tree))


@needs_tools
def test_everything_that_copies_lose_is_kept(tmp_path: Path) -> None:
    tree, image = nasty_tree(tmp_path / "tree"), tmp_path / "image"
    assert make_baseline(tree, image), "it has a file with two names"
    assert extracted(image, tmp_path / "out") == told_by_fsck(tree_of(tree))
    for name, mode in (("setuid", stat.S_IFREG | 0o4755), ("sticky", stat.S_IFDIR | 0o1777)):
        assert inode(image, name)[1] == mode
    assert inode(image, "hard-1") == inode(image, "deep/hard-2")
    assert inode(image, "hard-1")[2] == 2


@needs_tools
def test_data_of_every_length_is_kept(tmp_path: Path) -> None:
    noise, tree = random.Random(1), tmp_path / "tree"
    tree.mkdir()
    around = (0, 192, 4032, 4096, 8192, 3 * 4096 + 192, 256 << 10)
    for size in {max(0, at + step) for at in around for step in (-1, 0, 1, 100)}:
        (tree / str(size)).write_bytes(noise.randbytes(size))
    for length in (1, 191, 192, 193, 3000, 4031, 4032, 4033, 4095):
        (tree / f"link-{length}").symlink_to("x" * length)
    assert not make_baseline(tree, tmp_path / "image")
    assert extracted(tmp_path / "image", tmp_path / "out") == told_by_fsck(tree_of(tree))


@needs_tools
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 30, 31, 32, 500, 1000])
def test_directories_of_every_size_are_kept(tmp_path: Path, count: int) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    for number in range(count):
        (tree / "d" / f"{number:x<254}").touch()
    for name in ("!", "-", "..."):  # which are sorted before, between and behind the two that are always there
        (tree / "d" / name).touch()
    make_baseline(tree, tmp_path / "image")
    assert extracted(tmp_path / "image", tmp_path / "out").keys() == tree_of(tree).keys()


@needs_tools
def test_an_empty_one_is_a_mount_point_like_any_other(tmp_path: Path) -> None:
    assert not make_baseline(None, tmp_path / "image")
    found = extracted(tmp_path / "image", tmp_path / "out")
    assert [(name, entry.mode) for name, entry in found.items()] == [(".", 0o755)]
    shutil.rmtree(tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["image"]
    assert files.allocated_bytes(tmp_path / "image") <= 8192


def test_an_image_has_always_the_same_size_and_may_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / "image").write_text("an older one")
    tree = nasty_tree(tmp_path / "tree")
    make_baseline(tree, tmp_path / "image")
    status = (tmp_path / "image").stat()
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (BASELINE_BYTES, 0o644)


def test_holes_take_no_room(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"island")
    (tree / "zeros").write_bytes(bytes(1 << 20))
    make_baseline(tree, tmp_path / "image")
    assert files.allocated_bytes(tmp_path / "image") <= 64 << 10


def test_equal_trees_make_equal_images(tmp_path: Path, in_memory: Path) -> None:
    first = nasty_tree(tmp_path / "first")
    second = in_memory / "second"  # where entries come in another order
    subprocess.run(["cp", "-a", first, second], check=True)
    (second / "socket").unlink()
    os.utime(second, ns=(0, first.stat().st_mtime_ns))
    digests = []
    for tree in (first, second, None, None):
        make_baseline(tree, tmp_path / "image")
        digests.append(digest(tmp_path / "image"))
    assert digests[0] == digests[1] != digests[2] == digests[3]
    (second / "empty").chmod(0o600)
    make_baseline(second, tmp_path / "image")
    assert digest(tmp_path / "image") != digests[0]


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


def digest(image: Path) -> str:
    return sealed.seal(image).digest


@needs_tools
def test_what_shall_be_left_out_is_left_out(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "c").touch()
    os.mkfifo(tree / "fifo")
    make_baseline(tree, tmp_path / "image", skipped=[b"a/b", b"fifo"])
    assert extracted(tmp_path / "image", tmp_path / "out").keys() == {".", "a", "a/c"}


def only(tmp_path: Path, *names: str) -> bool:
    return {entry.name for entry in tmp_path.iterdir()} == set(names)


def test_what_may_not_be_read_is_named_and_leaves_nothing() -> None:
    with directory_of_everybody() as base:
        (base / "tree").mkdir()
        (base / "tree" / "secret").touch(mode=0)
        with pytest.raises(UsageError, match="secret cannot be read") as refused:
            as_nobody(lambda: make_baseline(base / "tree", base / "image"))
        assert refused.value.code == "seed-unreadable"
        assert only(base, "tree")


@pytest.mark.parametrize(
    "put",
    [lambda _: None, lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: path.mkdir()],
    ids=["nothing", "symlink", "fifo", "directory"],
)
def test_what_changes_while_it_is_read_is_named_and_leaves_nothing(
    tmp_path: Path, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("x")
    really_open = os.open

    def swap_and_open(path: str | bytes, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> int:
        if path == b"a":
            (tmp_path / "tree" / "a").unlink()
            put(tmp_path / "tree" / "a")
        return really_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(ConflictError, match="a changed") as refused:
        make_baseline(tmp_path / "tree", tmp_path / "image")
    assert refused.value.code == "source-changed"
    assert only(tmp_path, "tree")


def test_more_than_fits_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "huge").open("wb") as file:
        file.truncate(BASELINE_BYTES + 1)
    with pytest.raises(UsageError, match="64 GiB") as refused:
        make_baseline(tmp_path / "tree", tmp_path / "image")
    assert refused.value.code == "seed-too-large"
    assert only(tmp_path, "tree")


def test_an_image_within_its_own_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        make_baseline(tmp_path, tmp_path / "image")
    assert refused.value.code == "seed-holds-image"
    assert only(tmp_path)


def test_it_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    tree, cancel = nasty_tree(tmp_path / "tree"), command.Cancellation()
    cancel.set()
    with pytest.raises(PyroError) as cancelled:
        make_baseline(tree, tmp_path / "image", cancel=cancel)
    assert cancelled.value.code == "cancelled"
    assert only(tmp_path, "tree")


_FULL = """
import os
from pathlib import Path
from pyro_mcp.disk.baseline import make_baseline
from pyro_mcp.errors import HostError
try:
    make_baseline(Path({tree!r}), Path({place!r}) / "image")
except HostError as error:
    print(error.code, os.listdir({place!r}))
"""


def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "disk").mkdir()
    for number in range(4):
        (tmp_path / "tree" / str(number)).write_bytes(random.Random(number).randbytes(1 << 20))
    program = _FULL.format(tree=str(tmp_path / "tree"), place=str(tmp_path / "disk"))
    assert on_small_disk(tmp_path / "disk", program) == "no-space []"
