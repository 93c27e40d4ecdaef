"""The files that the style tests read: what git tracks or would track."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "pyro_mcp"


def tracked_files() -> list[Path]:
    """Files in the index and new ones that git does not ignore: what the next commit could hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    files = (ROOT / name for name in sorted(set(listing.split("\0")) - {""}))
    return [file for file in files if file.is_file() and not file.is_symlink()]


def tracked_beneath(directory: Path, suffix: str) -> list[Path]:
    return [file for file in tracked_files() if file.suffix == suffix and file.is_relative_to(directory)]


def is_binary(content: bytes) -> bool:
    """Git's own rule: a NUL among the first 8,000 bytes."""
    return b"\0" in content[:8000]


def line_count(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def findings(files: list[Path], check: Callable[[str], list[str]]) -> list[str]:
    """`FILE:LINE: what` for everything that `check` finds in `files`."""
    return [f"{file.relative_to(ROOT)}:{found}" for file in files for found in check(file.read_text())]
