"""A process that keeps its memory to itself."""

from __future__ import annotations

import subprocess
import sys

_DIE = """
import os, resource, signal, sys
from pathlib import Path
from pyro_mcp.host.private import keep_memory_private
resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)[1:] * 2)
keep_memory_private()
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.system("cat /proc/sys/kernel/random/boot_id > /dev/null")
print(Path(f"/proc/{os.getpid()}/fd/1").exists(), flush=True)
if "dump" in sys.argv:
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_it_leaves_no_core_and_can_still_use_its_own_descriptors() -> None:
    done = subprocess.run([sys.executable, "-c", _DIE, "dump"], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -11
    assert done.stdout.decode().splitlines() == ["(0, 0)", "True"]


_TELL = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), open('/proc/self/coredump_filter').read())"


def test_what_it_starts_is_as_any_other_but_leaves_no_memory_in_a_core() -> None:
    program = (
        "import subprocess, sys; from pyro_mcp.host.private import keep_memory_private; keep_memory_private();"
        f"subprocess.run([sys.executable, '-c', {_TELL!r}]); {_TELL}"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout.split() == [b"1", b"00000000", b"0", b"00000000"]
