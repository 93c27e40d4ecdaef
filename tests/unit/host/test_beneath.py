"""Paths beneath a directory lead nowhere else."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError
from pyro_mcp.host import beneath as module
from pyro_mcp.host.beneath import Beneath
from tests.unit.host.confined import as_nobody, directory_of_everybody


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Beneath]:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "b" / "file").write_text("here")
    (inside / "out").symlink_to("../outside")
    (inside / "in").symlink_to("a")
    (inside / "secret").symlink_to("../outside/secret")
    (inside / "self").symlink_to("/proc/self/cwd")
    with Beneath.of(inside) as root:
        yield root


def test_a_file_is_opened_by_its_path(root: Beneath) -> None:
    descriptor = root.open(b"a/b/file", os.O_RDONLY)
    try:
        assert os.read(descriptor, 10) == b"here"
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"out/secret", errno.ELOOP),
        (b"in/b/file", errno.ELOOP),
        (b"secret", errno.ELOOP),
        (b"self/etc/passwd", errno.ELOOP),
        (b"../outside/secret", errno.EXDEV),
        (b"a/../../outside/secret", errno.EXDEV),
        (b"/etc/passwd", errno.EXDEV),
        (b"a/b/none", errno.ENOENT),
        (b"a/b/file/x", errno.ENOTDIR),
        (b"a/b/file\0", errno.EINVAL),
    ],
)
def test_what_leads_elsewhere_is_not_opened(root: Beneath, path: bytes, number: int) -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011
        os.close(root.open(path, os.O_RDONLY))
    assert refused.value.errno == number


@pytest.mark.parametrize("path", [b"out/new", b"in/new", b"../new", b"a/../../new", b"..", b"a/..", b".", b"", b"a/"])
def test_nothing_is_made_or_removed_through_a_symlink_or_dots(root: Beneath, tmp_path: Path, path: bytes) -> None:
    source = root.open(b"a/b/file", os.O_PATH)
    changes: list[Callable[[], None]] = [
        lambda: root.mkdir(path),
        lambda: os.close(root.create(path)),
        lambda: root.symlink(b"x", path),
        lambda: root.link(source, path),
        lambda: root.unlink(path),
        lambda: root.remove_tree(path.replace(b"new", b"secret")),
        lambda: root.rename_new(b"a/b/file", path),
    ]
    try:
        for change in changes:
            with pytest.raises((OSError, ValueError)):
                change()
    finally:
        os.close(source)
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["secret"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inside", "outside"]


def test_a_symlink_itself_can_be_held_and_replaced_names_are_not_taken_for_it(root: Beneath) -> None:
    descriptor = root.open(b"secret", os.O_PATH | os.O_NOFOLLOW)
    try:
        assert os.readlink(b"", dir_fd=descriptor) == b"../outside/secret"
    finally:
        os.close(descriptor)


def test_a_new_file_takes_nobodys_place(root: Beneath) -> None:
    for path in (b"a/b/file", b"secret", b"out"):
        with pytest.raises(FileExistsError):
            os.close(root.create(path))


def test_a_rename_takes_nobodys_place(root: Beneath) -> None:
    os.close(root.create(b"a/new"))
    with pytest.raises(FileExistsError):
        root.rename_new(b"a/new", b"a/b")
    root.rename_new(b"a/new", b"a/newer")
    assert root.lstat(b"a/newer").st_size == 0


def test_where_renames_cannot_refuse_by_themselves_they_look_first(
    root: Beneath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENAMEAT2", 100_000)  # no such call: ENOSYS
    os.close(root.create(b"a/new"))
    with pytest.raises(FileExistsError):
        root.rename_new(b"a/new", b"a/b")
    root.rename_new(b"a/new", b"a/newer")
    assert root.lstat(b"a/newer").st_size == 0


def test_a_tree_is_removed_whatever_its_modes_and_what_it_links_to_stays(root: Beneath, tmp_path: Path) -> None:
    closed = tmp_path / "inside" / "a" / "b" / "closed"
    closed.mkdir()
    (closed / "link").symlink_to(tmp_path / "outside")
    (closed / "file").write_text("x")
    closed.chmod(0)
    (tmp_path / "inside" / "a").chmod(0o500)
    root.remove_tree(b"a")
    root.remove_tree(b"out")
    root.remove_tree(b"none")
    assert not (tmp_path / "inside" / "a").exists()
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


def test_an_ordinary_user_removes_what_was_closed_to_its_owner() -> None:
    def work() -> list[str]:
        (base / "tree" / "closed" / "deep").mkdir(parents=True)
        (base / "tree" / "closed" / "deep" / "file").touch(mode=0)
        for path in ("tree/closed/deep", "tree/closed", "tree"):
            (base / path).chmod(0o100 if path == "tree" else 0)
        with Beneath.of(base) as root:
            root.remove_tree(b"tree")
        return os.listdir(base)  # noqa: PTH208

    with directory_of_everybody() as base:
        assert as_nobody(work) == []


def test_all_descriptors_are_given_back(root: Beneath, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Beneath.of(tmp_path) as other:
        other.mkdir(b"inside/a/b/c")
        other.mkdir(b"inside/a/c")
        other.lstat(b"inside/a/b/file")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert root.lstat(b"a/c")


def test_an_old_kernel_is_named_as_the_reason(root: Beneath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPENAT2", 100_000)
    with pytest.raises(HostError, match=r"5\.6") as refused:
        root.open(b"a", os.O_PATH)
    assert refused.value.code == "kernel-too-old"


_OPEN = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from pyro_mcp.host.beneath import Beneath
with Beneath.of(Path({root!r})) as root:
    os.close(root.open(b"a/b/file", os.O_RDONLY))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the kernel busy")
@pytest.mark.parametrize(("when", "opened"), [("1..5", True), ("1+", False)])
def test_a_busy_kernel_is_asked_again_but_not_for_ever(root: Beneath, tmp_path: Path, when: str, opened: bool) -> None:
    inject = f"inject=openat2:error=EAGAIN:when={when}"
    program = _OPEN.format(path=sys.path, root=str(tmp_path / "inside"))
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "trace=openat2", "-e", inject, sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is opened, done.stderr
    assert opened or "BlockingIOError" in done.stderr
    assert root.lstat(b"a/b/file")
