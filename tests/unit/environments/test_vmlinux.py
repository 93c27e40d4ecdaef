"""The ELF file out of a bzImage."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.environments.store import Store
from pyro_mcp.environments.vmlinux import extract
from pyro_mcp.errors import BuildError
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import KernelFormat
from tests.unit.environments import shelf

# Literals, then copies: of what lies further back, and one that overlaps itself; lengths beyond fifteen.
FIRST = b"\x7fELF" + b"0123456789abcdefgh"
BLOCK = (
    bytes([0xF4, 22 - 15]) + FIRST + struct.pack("<H", 22)
    + bytes([0x1F]) + b"z" + struct.pack("<H", 1) + bytes([255, 26])
    + bytes([0x30]) + b"end"
)  # fmt: skip
UNPACKED = FIRST + FIRST[:8] + b"z" * (1 + 4 + 15 + 255 + 26) + b"end"


def image(*blocks: bytes, size: int, frame: bytes = bytes.fromhex("02214c18"), magic: bytes = b"HdrS") -> bytes:
    packed = frame + b"".join(struct.pack("<I", len(block)) + block for block in blocks) + struct.pack("<I", size)
    setup = bytearray(2 * 512)
    setup[0x1F1] = 1
    setup[0x202:0x206] = magic
    struct.pack_into("<II", setup, 0x248, 100, len(packed))
    return bytes(setup) + b"c" * 100 + packed + b"behind"


def test_blocks_are_unpacked_one_after_the_other() -> None:
    assert extract(image(BLOCK, size=len(UNPACKED))) == UNPACKED
    assert extract(image(BLOCK, BLOCK, size=2 * len(UNPACKED))) == 2 * UNPACKED


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        image(BLOCK, size=1),
        image(BLOCK, size=len(UNPACKED), magic=b"none"),
        image(BLOCK, size=len(UNPACKED), frame=b"\x1f\x8b\0\0"),
        image(BLOCK[:-1], size=len(UNPACKED)),
        image(b"\xf0", size=1),
        image(b"\x10a\xff\xff\0", size=5),
        image(b"\x10a\0\0\0", size=5),
        image(b"\x40none", size=4),
        image(BLOCK, size=len(UNPACKED))[:1150],
    ],
)
def test_what_makes_no_sense_is_refused(damaged: bytes) -> None:
    with pytest.raises(BuildError):
        extract(damaged)


@pytest.fixture
def installed(tmp_path: Path) -> InstalledEnvironment:
    shelf.put(tmp_path / "store")
    found = Store(tmp_path / "store").resolve("debian:12")
    assert found is not None
    (tmp_path / "vmlinuz").write_bytes(image(BLOCK, size=len(UNPACKED)))
    return replace(found, kernel=tmp_path / "vmlinuz")


def test_it_is_made_once_and_again_when_it_is_damaged(installed: InstalledEnvironment, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = store.with_kernel(installed, KernelFormat.ELF).kernel
    assert made.read_bytes() == UNPACKED
    inode = made.stat().st_ino
    assert store.with_kernel(installed, KernelFormat.ELF).kernel.stat().st_ino == inode
    made.write_bytes(b"damaged")
    assert store.with_kernel(installed, KernelFormat.ELF).kernel.read_bytes() == UNPACKED


def test_the_image_itself_is_a_format_too(installed: InstalledEnvironment, tmp_path: Path) -> None:
    assert Store(tmp_path / "store").with_kernel(installed, KernelFormat.BZIMAGE) is installed


def test_a_prune_takes_it_along_with_its_kernel(installed: InstalledEnvironment, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made = store.with_kernel(installed, KernelFormat.ELF).kernel
    store.prune()
    assert made.exists()
    for record in (store.root / "environments").glob("*/*.json"):
        record.unlink()
    store.prune()
    assert list(made.parent.iterdir()) == []
