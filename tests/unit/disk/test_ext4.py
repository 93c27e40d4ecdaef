"""Blank disks, checked with the file system's own tools."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyro_mcp.disk.clone import clone
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.host import files

GIB = 1 << 30


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "blank.ext4"


def test_a_blank_disk_is_a_sound_file_system_of_the_size_asked_for(image: Path) -> None:
    blank(image, 16 * GIB)
    assert image.stat().st_size == 16 * GIB
    assert files.allocated_bytes(image) < 512 << 10
    subprocess.run(["/sbin/e2fsck", "-fn", image], check=True, capture_output=True)


def test_the_guest_finds_nothing_left_to_initialise(image: Path) -> None:
    # Else its kernel would write zeros over 256 MiB of inode tables in the background, into a sparse file of the host.
    blank(image, GIB)
    shown = subprocess.run(["/sbin/dumpe2fs", image], check=True, capture_output=True, text=True).stdout
    groups = [line for line in shown.splitlines() if line.startswith("Group ")]
    assert groups
    assert all("ITABLE_ZEROED" in line for line in groups)
    assert "has_journal" not in shown


def test_whatever_was_there_is_replaced(image: Path) -> None:
    image.write_text("this is no file system")
    blank(image, GIB)
    subprocess.run(["/sbin/e2fsck", "-fn", image], check=True, capture_output=True)


def test_many_at_once_leave_one_whole_image(image: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: blank(image, GIB), range(8)))
    assert list(image.parent.iterdir()) == [image]
    subprocess.run(["/sbin/e2fsck", "-fn", image], check=True, capture_output=True)


def test_a_copy_of_a_blank_is_as_good(image: Path, tmp_path: Path) -> None:
    blank(image, GIB >> 4)
    clone(image, tmp_path / "copy")
    assert files.sha256(tmp_path / "copy") == files.sha256(image)


def test_an_odd_size_is_refused(image: Path) -> None:
    with pytest.raises(ValueError, match="4096"):
        blank(image, GIB + 1)
