"""Trees to seed workspaces with, and what a tree is: to compare two of them in everything that has to survive."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

A_MOMENT_NS = 1_600_000_000_123_456_789


@dataclass(frozen=True)
class Entry:
    """One entry of a tree. `links` are the other names of the same file in the tree."""

    kind: int
    mode: int
    mtime_ns: int
    content: str
    links: tuple[str, ...] = ()


def tree_of(root: Path) -> dict[str, Entry]:
    """Relative name → entry, of everything that is not a socket, FIFO or device. The root is `.`."""
    names: dict[tuple[int, int], list[str]] = {}
    found: dict[str, os.stat_result] = {}
    for path in (root, *_beneath(root)):
        status, relative = path.lstat(), str(path.relative_to(root))
        if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            continue
        found[relative] = status
        if stat.S_ISREG(status.st_mode):
            names.setdefault((status.st_dev, status.st_ino), []).append(relative)
    return {
        name: Entry(
            kind=stat.S_IFMT(status.st_mode),
            mode=0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode),
            mtime_ns=status.st_mtime_ns,
            content=_content(root / name, status),
            links=tuple(sorted(names.get((status.st_dev, status.st_ino), ()))),
        )
        for name, status in found.items()
    }


def changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> dict[str, str]:
    """What a comparison of the two as `/workspace` has to say: the status of each path that is another."""
    found = {f"/workspace/{name}": "added" for name in after.keys() - before.keys()}
    found |= {f"/workspace/{name}": "deleted" for name in before.keys() - after.keys()}
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old.kind != new.kind:
            found[f"/workspace/{name}"] = "type_changed"
        elif (old.mode, old.content) != (new.mode, new.content):
            found[f"/workspace/{name}"] = "modified"
    return found


def _beneath(root: Path) -> Iterator[Path]:
    for directory, directories, others in os.walk(root):
        for name in (*directories, *others):
            yield Path(directory) / name


def _content(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return str(path.readlink())
    return "" if stat.S_ISDIR(status.st_mode) else hashlib.sha256(path.read_bytes()).hexdigest()


def nasty_tree(root: Path) -> Path:
    """A tree with everything that copies usually lose."""
    root.mkdir()
    (root / "text.txt").write_text("one\ntwo\nthree\n")
    (root / "empty").touch()
    (root / "empty-directory").mkdir()
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "program").write_bytes(b"#!/bin/sh\necho ran\n")
    (root / "deep" / "er" / "program").chmod(0o755)
    (root / "secret").write_text("s")
    (root / "secret").chmod(0o600)
    (root / "setuid").write_text("u")
    (root / "setuid").chmod(0o4755)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    (root / "hard-1").write_text("linked")
    os.link(root / "hard-1", root / "deep" / "hard-2")
    (root / "relative-link").symlink_to("text.txt")
    (root / "absolute-link").symlink_to("/usr/bin/env")
    (root / "dangling").symlink_to("nowhere/at all")
    (root / ("n" * 255)).write_text("a long name")
    long = root
    for _ in range(10):
        long = long / ("d" * 100)
    long.mkdir(parents=True)
    (long / "bottom").write_text("deep down")
    (root / "with space\tand\nnewline").write_text("odd")
    (root / os.fsdecode(b"not-utf8-\xff\xfe")).write_bytes(b"raw name")
    with (root / "sparse").open("wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"island")
    (root / "binary").write_bytes(bytes(range(256)) * 40)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    for path in sorted(_beneath(root), reverse=True):
        os.utime(path, ns=(A_MOMENT_NS, A_MOMENT_NS + len(path.name)), follow_symlinks=False)
    os.utime(root, ns=(A_MOMENT_NS, A_MOMENT_NS))
    return root
