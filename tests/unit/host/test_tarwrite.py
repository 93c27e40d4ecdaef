"""Headers say what they were told, at every length."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.host import tarwrite
from pyro_mcp.host.limits import LIMITS
from pyro_mcp.host.tarmember import Kind, Member, Members
from tests.unit.host import tars


def read_back(header: bytes, data: bytes = b"") -> Member:
    [member] = Members(tars.reader(header + data + tarwrite.padding(len(data)) + tarwrite.END), LIMITS)
    return member


@pytest.mark.parametrize("length", [1, 80, 81, 82, 83, 84, 99, 100, 101, 980, 981, 982, 983, 984, 985, 986, 4096])
def test_names_and_links_of_every_length_are_kept(length: int) -> None:
    name, link = b"n" * length, b"\xff" * length
    member = read_back(tarwrite.header(name, tarwrite.SYMLINK, mode=0o777, mtime_ns=0, link=link))
    assert (member.name, member.link, member.kind) == (name, link, Kind.SYMLINK)


def test_records_of_every_length_say_how_long_they_are() -> None:
    for length in range(101, 1100):
        header = tarwrite.header(b"n" * length, tarwrite.FILE, mode=0, mtime_ns=0)
        assert read_back(header).name == b"n" * length


@given(mtime_ns=st.integers(-(2**40) * 10**9, 2**40 * 10**9), mode=st.integers(0, 0o7777))
def test_times_and_modes_are_exact(mtime_ns: int, mode: int) -> None:
    member = read_back(tarwrite.header(b"a", tarwrite.DIRECTORY, mode=mode, mtime_ns=mtime_ns))
    assert (member.mtime_ns, member.mode) == (mtime_ns, mode)


@pytest.mark.parametrize("size", [0, 1, 8 << 30, (8 << 30) - 1, 64 << 30])
def test_sizes_beyond_octal_are_kept(size: int) -> None:
    header = tarwrite.header(b"a", tarwrite.FILE, mode=0, mtime_ns=1, size=size)
    member = tarfile.TarInfo.frombuf(header[-512:], "utf-8", "surrogateescape")
    assert (member.size == size) is (size < 8 << 30)
    assert (b"size=%d\n" % size in header) is (size >= 8 << 30)


def test_what_ustar_can_say_needs_one_block() -> None:
    assert len(tarwrite.header(b"a" * 100, tarwrite.FILE, mode=0o644, mtime_ns=5 * 10**9, size=3)) == 512
    assert len(tarwrite.header(b"a" * 100, tarwrite.FILE, mode=0o644, mtime_ns=1, size=3)) == 3 * 512
