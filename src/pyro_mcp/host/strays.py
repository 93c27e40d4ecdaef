"""Processes that run on the host itself on behalf of a machine: found without a record, and ended to the last one.

Each is known by a marker in its environment, or as a descendant of one that is. What cleared its environment is found
as long as its machine's agent lives, to which orphans come back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import process
from pyro_mcp.model.machine import ProcessIdentity

MARKER = "PYRO_MACHINE_DIRECTORY"
"""The variable that names a machine's directory to everything that runs on the host for it."""

# One look more finds what was forked during the last; what is stopped forks no more.
_LOOKS = 1000
_DEATH_SECONDS = 10.0

_log = logging.getLogger(__name__)


async def end_marked(machines: Path, doomed: Callable[[str], bool]) -> None:
    """End all that runs for a directory in `machines` whose name is `doomed`, and all that descends from it.

    Raises HostError `process-stuck` if something survives SIGKILL. What another user's rights protect from us stays.
    """
    machines = await asyncio.to_thread(machines.resolve)
    out_of_reach: set[ProcessIdentity] = set()
    while found := await asyncio.to_thread(_stop_all, machines, doomed, out_of_reach):
        for identity in found:
            await _kill(identity)


def _stop_all(
    machines: Path, doomed: Callable[[str], bool], out_of_reach: set[ProcessIdentity]
) -> set[ProcessIdentity]:
    """All of them, stopped, so that nothing is born or orphaned between our looking and our killing."""
    found: set[ProcessIdentity] = set()
    for _ in range(_LOOKS):
        fresh = _belonging(machines, doomed) - found - out_of_reach
        if not fresh:
            break
        for identity in fresh:
            try:
                _send(identity, signal.SIGSTOP)
            except PermissionError:
                _log.warning("process %d has rights that keep it from being ended", identity.pid)
                out_of_reach.add(identity)
        found |= fresh - out_of_reach
    return found


def _belonging(machines: Path, doomed: Callable[[str], bool]) -> set[ProcessIdentity]:
    """The live processes that carry a doomed marker, with their descendants; we and our own are none of them."""
    known: dict[int, ProcessIdentity] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    boot = process.boot_id()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has ended meanwhile
                state, parent, *fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if state not in "ZX":
                    pid = int(entry.name)
                    known[pid] = ProcessIdentity(pid, int(fields[17]), boot)
                    children[int(parent)].append(pid)
    reached = [pid for pid in known if (name := _marked(pid, machines)) is not None and doomed(name)]
    found: set[int] = set()
    while reached:
        pid = reached.pop()
        if pid not in found:
            found.add(pid)
            reached += children[pid]
    return {known[pid] for pid in found}


def _marked(pid: int, machines: Path) -> str | None:
    """The name of the directory in `machines` that a process of our own user was started for."""
    try:
        if Path(f"/proc/{pid}").stat().st_uid != os.geteuid():
            return None
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    beginning = f"{MARKER}=".encode()
    for variable in variables:
        if variable.startswith(beginning):
            directory = Path(os.fsdecode(variable.removeprefix(beginning)))
            return directory.name if directory.parent == machines else None
    return None


def _send(identity: ProcessIdentity, number: signal.Signals) -> None:
    """Raises PermissionError; one that has ended gets nothing."""
    descriptor = process.open_pidfd(identity)
    if descriptor is None:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


async def _kill(identity: ProcessIdentity) -> None:
    try:
        async with asyncio.timeout(_DEATH_SECONDS):
            await process.kill_and_wait(identity)
    except TimeoutError as error:
        raise HostError(f"process {identity.pid} survives SIGKILL", code="process-stuck") from error
    except PermissionError:
        return  # it has become somebody else meanwhile: the next look sees that
