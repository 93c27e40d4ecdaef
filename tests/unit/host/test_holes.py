"""Zeros become holes where a file system can have them, and every byte is in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.host import files
from pyro_mcp.host.holes import PAGE, write_with_holes


def written(path: Path, pieces: list[bytes], size: int, segments: list[tuple[int, int]] | None = None) -> bytes:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        write_with_holes(file, pieces, size, segments)
    finally:
        os.close(file)
    return path.read_bytes()


@given(runs=st.lists(st.tuples(st.booleans(), st.integers(1, 3 * PAGE)), max_size=8), step=st.integers(1000, 4 * PAGE))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[bool, int]], step: int
) -> None:
    data = b"".join((b"x" if filled else b"\0") * length for filled, length in runs)
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert written(tmp_path_factory.getbasetemp() / "holes", pieces, len(data)) == data


def test_segments_go_to_their_places(tmp_path: Path) -> None:
    expected = bytearray(50_000)
    expected[10:14], expected[40_000:40_009] = b"abcd", b"efghijklm"
    made = written(tmp_path / "a", [b"abc", b"defgh", b"", b"ijklm"], 50_000, [(10, 4), (20, 0), (40_000, 9)])
    assert made == expected


def test_holes_are_where_pages_are_whoever_cut_the_data(tmp_path: Path) -> None:
    odd = 1000
    data = b"x" * (PAGE - odd) + bytes(16 * PAGE) + b"x" * odd
    written(tmp_path / "a", [data], odd + len(data), [(odd, len(data))])
    assert files.allocated_bytes(tmp_path / "a") <= 3 * PAGE


def test_a_file_of_zeros_has_its_size_and_takes_nothing(tmp_path: Path) -> None:
    assert written(tmp_path / "a", [bytes(PAGE)] * 100, 100 * PAGE) == bytes(100 * PAGE)
    assert files.allocated_bytes(tmp_path / "a") == 0
