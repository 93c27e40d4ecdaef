"""A process whose memory stays its own: nothing of it in a core file, nothing for a debugger of the same user."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

_PR_SET_DUMPABLE = 4

_libc = ctypes.CDLL(None, use_errno=True)


def keep_memory_private() -> None:
    """From now on for this process. What it starts may be looked into as ever, but leaves no memory in a core.

    The limit alone would not do: core(5) does not keep it where a program takes the cores, as distributions have it.
    Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # a kernel without cores has no such file
        Path("/proc/self/coredump_filter").write_text("0")
    if _libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
