"""Looking into an ext4 image without mounting it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Node:
    mode: int
    user: int
    group: int
    size: int


class Image:
    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raises CalledProcessError if the file system is not sound."""
        subprocess.run(["/sbin/e2fsck", "-fn", self.path], check=True, capture_output=True)

    def read(self, path: str) -> str:
        return self._debugfs(f"cat {path}")

    def directory(self, path: str) -> dict[str, Node]:
        nodes = {}
        for line in self._debugfs(f"ls -p {path}").splitlines():
            if line.strip():
                _, _, mode, user, group, name, size, _ = line.split("/")
                nodes[name] = Node(int(mode, 8), int(user), int(group), int(size or 0))
        return nodes

    def _debugfs(self, request: str) -> str:
        shown = subprocess.run(
            ["/sbin/debugfs", "-R", request, self.path], check=True, capture_output=True, text=True, errors="replace"
        )
        return shown.stdout
