"""Formatting gives the same image for the same input."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from pyro_mcp.host import command, files, mke2fs

_UUID = UUID("11111111-2222-3333-4444-555555555555")


def test_equal_inputs_format_equal_images(tmp_path: Path) -> None:
    images = [tmp_path / "one", tmp_path / "two"]
    for image in images:
        argv = mke2fs.command(mke2fs.Format(image, blocks=8192, inodes=2048, uuid=_UUID, label="test"))
        variables = [f"{name}={value}" for name, value in mke2fs.VARIABLES.items()]
        done = command.run(["env", *variables, *argv], deadline_seconds=60)
        assert done.succeeded, done.output
    assert images[0].read_bytes() == images[1].read_bytes()
    assert files.allocated_bytes(images[0]) < 256 << 10


def test_a_tree_is_copied_only_if_there_is_one(tmp_path: Path) -> None:
    blank = mke2fs.Format(tmp_path / "image", blocks=1, inodes=1, uuid=_UUID, label="test")
    filled = mke2fs.Format(tmp_path / "image", blocks=1, inodes=1, uuid=_UUID, label="test", tree=tmp_path)
    assert "-d" not in mke2fs.command(blank)
    assert mke2fs.command(filled)[mke2fs.command(filled).index("-d") + 1] == tmp_path
