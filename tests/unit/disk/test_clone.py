"""Copies of images: the same bytes and holes, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.disk import clone as module
from pyro_mcp.disk.clone import clone
from pyro_mcp.host import files

MIB = 1 << 20


def sparse(path: Path, *ranges: tuple[int, bytes], size: int) -> Path:
    with path.open("wb") as file:
        for start, data in ranges:
            file.seek(start)
            file.write(data)
        file.truncate(size)
    return path


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        ((0, b"first"),),
        ((5 * MIB, b"middle" * 1000),),
        ((64 * MIB - 4, b"last"),),
        ((0, b"a" * MIB), (10 * MIB, b"b"), (64 * MIB - 1, b"c")),
    ],
)
def test_a_copy_has_the_same_bytes_and_the_same_holes(tmp_path: Path, ranges: tuple[tuple[int, bytes], ...]) -> None:
    source = sparse(tmp_path / "source", *ranges, size=64 * MIB)
    clone(source, tmp_path / "copy")
    assert files.sha256(tmp_path / "copy") == files.sha256(source)
    assert files.allocated_bytes(tmp_path / "copy") <= files.allocated_bytes(source) + 8192


def test_a_copy_is_private_and_independent(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", (0, b"original"), size=MIB)
    clone(source, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    with (tmp_path / "copy").open("r+b") as copy:
        copy.write(b"changed!")
    assert source.read_bytes()[:8] == b"original"


def test_an_existing_destination_is_never_overwritten(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", size=MIB)
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(FileExistsError):
        clone(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_dangling_link_at_the_destination_is_not_followed(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source", size=MIB)
    (tmp_path / "copy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        clone(source, tmp_path / "copy")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = sparse(tmp_path / "source", (0, b"data"), size=MIB)
    descriptors = open_descriptors()

    def fail(*_: object) -> bool:
        raise OSError(5, "broken disk")

    monkeypatch.setattr(module, "_share_blocks", fail)
    with pytest.raises(OSError, match="broken disk"):
        clone(source, tmp_path / "copy")
    assert [found.name for found in tmp_path.iterdir()] == ["source"]
    assert open_descriptors() == descriptors


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
