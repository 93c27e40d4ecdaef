"""Advisory locks between processes. The kernel drops them with their last holder, so a dead owner blocks nobody.

flock, not fcntl locks: those vanish when the process closes any descriptor of the file. A lock belongs to the open file
description: children that inherit the descriptor keep it held until they too are gone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Lock:
    """An open lock file. Close it to give the lock back; it is created if need be and never deleted by us."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Raises OSError."""
        # Read-only is enough for flock on local file systems.
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
        self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)

    def fileno(self) -> int:
        return self._descriptor

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def wait_exclusive(self) -> None:
        """For locks that are held for moments only: cannot be cancelled."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def wait_shared(self) -> None:
        """As `wait_exclusive`."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, waiting for it; for sections that last moments."""
    with Lock(path) as lock:
        lock.wait_exclusive()
        yield
