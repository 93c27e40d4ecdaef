"""Paths that the kernel would find too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SUN_PATH_BYTES = 107


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """`path`, or another name for it where it does not fit into `sun_path` (107 bytes, unix(7)).

    Raises OSError where the directory does not exist or cannot be entered.
    """
    if len(os.fsencode(path)) <= _SUN_PATH_BYTES:
        yield str(path)  # the name that `ss` and getsockname() shall show
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
