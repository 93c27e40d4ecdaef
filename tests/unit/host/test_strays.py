"""Finding what runs on the host for a machine, and ending all of it and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyro_mcp.host import strays

# An agent to whom orphans come back: all of its children are started by one that ends, without an environment.
_AGENT = """
import ctypes, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
orphan = "(env -i /usr/bin/setsid sh -c 'echo $$; while :; do /usr/bin/setsid sleep 0.01; done' & )"
subprocess.run(["sh", "-c", orphan], check=True)
sys.stdin.read()
"""


@contextmanager
def process_for(directory: str, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        argv or ["/bin/cat"],
        env={strays.MARKER: directory},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_only_the_doomed_end(tmp_path: Path) -> None:
    with (
        process_for(f"{tmp_path}/machines/vm-a") as doomed,
        process_for(f"{tmp_path}/machines/vm-b") as spared,
        process_for(f"{tmp_path}/elsewhere/vm-a") as other,
        process_for(f"{tmp_path}/machines/vm-a/deeper") as deeper,
        process_for("") as unnamed,
    ):
        await strays.end_marked(tmp_path / "machines", lambda name: name == "vm-a")
        assert doomed.wait(10) == -9
        assert [child.poll() for child in (spared, other, deeper, unnamed)] == [None] * 4


async def test_what_cleared_its_environment_is_found_by_its_parents(tmp_path: Path) -> None:
    with process_for(f"{tmp_path}/vm-a", sys.executable, "-c", _AGENT) as agent:
        assert agent.stdout is not None
        orphan = int(agent.stdout.readline())
        await strays.end_marked(tmp_path, lambda _name: True)
        assert agent.wait(10) == -9
        assert not alive(orphan)


async def test_where_there_is_nothing_nothing_happens(tmp_path: Path) -> None:
    await strays.end_marked(tmp_path / "none", lambda _name: True)
