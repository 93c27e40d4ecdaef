"""The archive is what the cpio program, and so the kernel, reads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pyro_mcp.environments.initramfs import Archive, build_initramfs
from tests.unit.environments.modules import module

MODULES = {"virtio_blk": module("virtio", "virtio_ring"), "virtio_ring": module(), "virtio": module("virtio_ring")}
GUEST = b"\x7fELF not really" * 1001


def listing(archive: bytes) -> list[list[str]]:
    """What the cpio program sees: mode, links, user, group, size (of files) and name of each member."""
    shown = subprocess.run(
        ["cpio", "--list", "--verbose", "--numeric-uid-gid", "--quiet"], input=archive, capture_output=True, check=True
    )
    assert not shown.stderr
    rows = [line.split() for line in shown.stdout.decode().splitlines()]
    return [[row[0], row[2], row[3], row[4] if row[0][0] == "-" else "", row[-1]] for row in rows]


def test_cpio_reads_what_the_kernel_will() -> None:
    archive = build_initramfs(MODULES, GUEST)
    directories = ["dev", "lib", "lib/modules", "mnt", "proc", "run", "sys", "tmp"]
    load = "/lib/modules/virtio_ring.ko\n/lib/modules/virtio.ko\n/lib/modules/virtio_blk.ko\n"
    assert listing(archive) == [
        *(["drwxr-xr-x", "0", "0", "", name] for name in directories),
        ["-rwxr-xr-x", "0", "0", str(len(GUEST)), "init"],
        ["-rw-r--r--", "0", "0", str(len(load)), "lib/modules/load"],
        *(
            ["-rw-r--r--", "0", "0", str(len(MODULES[name])), f"lib/modules/{name}.ko"]
            for name in ("virtio_ring", "virtio", "virtio_blk")
        ),
    ]


def test_unpacked_it_holds_every_byte(tmp_path: Path) -> None:
    archive = build_initramfs(MODULES, GUEST)
    subprocess.run(["cpio", "--extract", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "init").read_bytes() == GUEST
    assert (tmp_path / "lib/modules/load").read_text().split() == [
        f"/lib/modules/{name}.ko" for name in ("virtio_ring", "virtio", "virtio_blk")
    ]
    for name, contents in MODULES.items():
        assert (tmp_path / f"lib/modules/{name}.ko").read_bytes() == contents


def test_equal_inputs_give_equal_bytes_in_any_order() -> None:
    backwards = dict(reversed(MODULES.items()))
    assert build_initramfs(MODULES, GUEST) == build_initramfs(backwards, GUEST)
    assert build_initramfs(MODULES, GUEST) != build_initramfs(MODULES, GUEST + b"x")


def test_members_start_at_multiples_of_four_whatever_their_names_and_sizes() -> None:
    for length in range(9):
        archive = Archive()
        archive.file("n" * (length + 1), b"x" * length, 0o644)
        archive.file("last", b"", 0o600)
        data = archive.finish()
        assert [row[-1] for row in listing(data)] == ["n" * (length + 1), "last"]
        assert [at.start() % 4 for at in re.finditer(b"070701", data)] == [0, 0, 0]


def test_a_member_has_the_bytes_of_the_specification() -> None:
    archive = Archive()
    archive.file("init", b"AB", 0o755)
    assert archive.finish() == (
        b"070701000000010000" b"81ED0000000000000000000000010000000000000002"
        b"0000000000000000000000000000000000000005" b"00000000init\0\0AB\0\0"
        b"0707010000000000000000" b"0000000000000000" b"00000001" b"0000000000000000"
        b"00000000000000000000000000000000" b"0000000B" b"00000000" b"TRAILER!!!\0\0\0\0"
    )  # fmt: skip
