"""The parts of an image are as the format says, byte by byte."""

from __future__ import annotations

import stat
import struct
from uuid import UUID

import pytest

from pyro_mcp.host import erofs


def test_the_superblock_has_every_field_in_its_place() -> None:
    block = erofs.superblock(root=36, inodes=7, blocks=1234, uuid=UUID(int=5))
    assert len(block) <= 128
    assert struct.unpack_from("<I", block, 0) == (0xE0F5E1E2,)
    assert block[12] == 12  # blocks of 4096 bytes
    assert struct.unpack_from("<HQ", block, 14) == (36, 7)
    assert struct.unpack_from("<I", block, 36) == (1234,)
    assert block[48:64] == UUID(int=5).bytes
    assert not any(block[80:])  # nothing that a kernel has to be able to do


def test_an_inode_has_every_field_in_its_place() -> None:
    made = erofs.inode(
        mode=stat.S_IFREG | 0o4755, size=1 << 40, mtime_ns=-1_500_000_001, number=9, block=77, inline=True, links=3
    )
    assert len(made) == erofs.INODE
    assert struct.unpack_from("<HHH", made, 0) == (1 | 2 << 1, 0, stat.S_IFREG | 0o4755)
    assert struct.unpack_from("<QIIII", made, 8) == (1 << 40, 77, 9, 0, 0)
    assert struct.unpack_from("<qII", made, 32) == (-2, 499_999_999, 3)
    assert struct.unpack_from("<I", made, erofs.LINKS_AT) == (3,)


@pytest.mark.parametrize(
    ("size", "parts"), [(0, (0, 0)), (1, (0, 1)), (4032, (0, 4032)), (4033, (1, 0)), (4096, (1, 0)), (9000, (2, 808))]
)
def test_data_is_split_so_that_its_end_fits_behind_the_inode(size: int, parts: tuple[int, int]) -> None:
    assert erofs.split(size) == parts


def test_less_may_be_allowed_behind_the_inode() -> None:
    assert erofs.split(4096 + 193, most_inline=192) == (2, 0)
    assert erofs.split(4096 + 192, most_inline=192) == (1, 192)


@pytest.mark.parametrize("count", [0, 1, 200, 5000])
def test_a_directory_is_as_large_as_was_said_and_no_entry_lies_in_two_blocks(count: int) -> None:
    names = sorted([b".", b"..", *(b"%x" % number * (number % 30 + 1) for number in range(count))])
    data = erofs.directory([(name, index, stat.S_IFREG) for index, name in enumerate(names)])
    assert len(data) == erofs.directory_size(names)
    found = []
    for at in range(0, len(data), erofs.BLOCK):
        block = data[at : at + erofs.BLOCK]
        heads = [
            struct.unpack_from("<QHB", block, 12 * index) for index in range(struct.unpack_from("<QH", block)[1] // 12)
        ]
        ends = [*(offset for _, offset, _ in heads[1:]), len(block)]
        found += [block[offset:end].rstrip(b"\0") for (_, offset, _), end in zip(heads, ends, strict=True)]
    assert found == names
