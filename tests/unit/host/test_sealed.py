"""What is sealed stays as it is, takes memory only where it is not zero, and is known by its digest."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from pyro_mcp.host.sealed import seal

KIB = 1024


def sparse(path: Path, size: int, **data: bytes) -> Path:
    """A file of holes; `at_N` is what stands at offset N."""
    with path.open("wb") as file:
        file.truncate(size)
        for at, content in data.items():
            file.seek(int(at.removeprefix("at_")))
            file.write(content)
    return path


def test_it_is_an_equal_file_that_takes_no_memory_for_zeros(tmp_path: Path) -> None:
    path = sparse(tmp_path / "a", 8 << 20, at_0=b"begin", at_5000000=b"middle", at_8388605=b"end")
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(bytes(1 << 20))  # zeros that are no hole
    sealed = seal(path)
    assert sealed.path.read_bytes() == path.read_bytes()
    assert os.fstat(sealed.descriptor).st_blocks * 512 <= 3 * 64 * KIB


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1])
def test_every_size_is_kept(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    assert seal(path).path.read_bytes() == b"x" * size


def test_nobody_can_change_it_but_everybody_may_map_it_privately(tmp_path: Path) -> None:
    sealed = seal(sparse(tmp_path / "a", 64 * KIB, at_0=b"here"))
    again = os.open(sealed.path, os.O_RDWR)  # what a VMM does
    try:
        with pytest.raises(PermissionError):
            os.pwrite(again, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(again, 0)
        with pytest.raises(PermissionError):
            mmap.mmap(again, 0, mmap.MAP_SHARED)
        with mmap.mmap(again, 0, mmap.MAP_PRIVATE) as private:
            private[0:4] = b"mine"
        assert sealed.path.read_bytes()[:4] == b"here"
    finally:
        os.close(again)


def test_the_digest_knows_content_and_size_and_no_holes(tmp_path: Path) -> None:
    digest = seal(sparse(tmp_path / "a", 1 << 20, at_300000=b"x")).digest
    filled = tmp_path / "b"
    filled.write_bytes((tmp_path / "a").read_bytes())
    assert seal(filled).digest == digest
    assert seal(sparse(tmp_path / "c", 1 << 20, at_300001=b"x")).digest != digest
    assert seal(sparse(tmp_path / "d", (1 << 20) + 1, at_300000=b"x")).digest != digest
    assert seal(sparse(tmp_path / "e", 1 << 20, at_300000=b"y")).digest != digest


def test_a_copy_is_equal_and_has_the_holes(tmp_path: Path) -> None:
    sealed = seal(sparse(tmp_path / "a", 8 << 20, at_5000000=b"middle"))
    sealed.copy_to(tmp_path / "b")
    assert seal(tmp_path / "b").digest == sealed.digest
    assert (tmp_path / "b").stat().st_blocks * 512 <= 64 * KIB
    with pytest.raises(FileExistsError):
        sealed.copy_to(tmp_path / "b")


def test_the_memory_goes_with_the_last_reference(tmp_path: Path) -> None:
    sealed = seal(sparse(tmp_path / "a", 64 * KIB, at_0=b"here"))
    descriptor = sealed.descriptor
    os.fstat(descriptor)
    del sealed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
