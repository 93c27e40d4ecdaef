"""Random trees: what hypothesis draws, and how it is planted on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

PAGE = 4096


@dataclass(frozen=True)
class Plant:
    """One entry: `kind` is one of `dfls` (directory, file, hard link, symlink); `parent` chooses among those before."""

    kind: str
    parent: int
    name: bytes
    mode: int
    mtime_ns: int
    text: bytes
    pages: tuple[int, ...]
    tail: int


names = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.sampled_from([b"n" * 255, b"-rf", b" ", b"a\nb", b"...", b"\xff\xfe", "ü".encode() * 60, b"x" * 99, b"x" * 100]),
).filter(lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b".."))

plants = st.lists(
    st.builds(
        Plant,
        kind=st.sampled_from("ddfffls"),
        parent=st.integers(0, 1000),
        name=names,
        mode=st.integers(0, 0o7777),
        mtime_ns=st.one_of(
            st.integers(0, 4 * 10**18), st.integers(-(10**18), -1), st.sampled_from([0, 1, 10**9, 10**18 + 1])
        ),
        text=st.binary(min_size=1, max_size=120).filter(lambda text: b"\0" not in text),
        pages=st.lists(st.integers(0, 12), max_size=4).map(tuple),
        tail=st.integers(0, PAGE),
    ),
    max_size=14,
)


def plant(root: Path, entries: list[Plant]) -> None:
    """Make the tree; entries whose name is taken, or which have nothing to link to, are passed over."""
    root.mkdir()
    directories, files = [os.fsencode(root)], []
    status: list[tuple[bytes, Plant]] = []
    for entry in entries:
        path = directories[entry.parent % len(directories)] + b"/" + entry.name
        if os.path.lexists(path) or len(path) > 3000:
            continue
        match entry.kind:
            case "d":
                os.mkdir(path)  # noqa: PTH102
                directories.append(path)
            case "f":
                _fill(path, entry)
                files.append(path)
            case "s":
                os.symlink(entry.text, path)  # noqa: PTH211
            case "l" if files:
                os.link(files[entry.parent % len(files)], path)
                continue
            case _:
                continue
        status.append((path, entry))
    for path, entry in reversed(status):
        if entry.kind != "s":
            # What its owner may not read, an ordinary user cannot compare afterwards.
            os.chmod(path, entry.mode | (0o700 if entry.kind == "d" else 0o400))  # noqa: PTH101
        os.utime(path, ns=(0, entry.mtime_ns), follow_symlinks=False)
    os.utime(root, ns=(0, 1_234_567_890_123_456_789))


def _fill(path: bytes, entry: Plant) -> None:
    """Pages of text between holes, and something at the end that fills no page, or nothing."""
    with open(path, "wb") as file:  # noqa: PTH123
        for page in entry.pages:
            file.seek(page * PAGE)
            file.write((entry.text * PAGE)[: PAGE - page])
        end = file.seek(0, os.SEEK_END)
        file.truncate(end + entry.tail)
        if entry.tail % 2:
            file.write(entry.text[: entry.tail])


def pages_of(content: bytes) -> int:
    """How many pages are not all zero."""
    return sum(any(content[at : at + PAGE]) for at in range(0, len(content), PAGE))
