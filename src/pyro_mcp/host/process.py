"""Processes, named so that they cannot be confused, waited for by descriptor, never by polling."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pyro_mcp.model.machine import ProcessIdentity


def boot_id() -> str:
    """This boot of the host; process identities of another boot name nothing any more."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessIdentity:
    """The identity of a live process. Raises ProcessLookupError."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(pid) from error
    # The command name may contain anything, also ") ": fields are counted behind its last closing parenthesis.
    return ProcessIdentity(pid, int(stat.rpartition(")")[2].split()[19]), boot_id())


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """A descriptor for exactly this process, or None if it has ended (also if its pid now belongs to another)."""
    if identity.boot_id != boot_id():
        return None
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # Compared only after the descriptor is held: from here on the pid cannot be given away under us.
    try:
        alive = identify(identity.pid) == identity and not _has_ended(descriptor)
    except ProcessLookupError:
        alive = False
    if alive:
        return descriptor
    os.close(descriptor)
    return None


def _has_ended(descriptor: int) -> bool:
    """Whether the process behind a pidfd has ended, be it that nobody has reaped it yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def wait_gone(descriptor: int) -> None:
    """Return when the process behind a pidfd has ended. The descriptor stays open; one waiter per descriptor."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


async def kill_and_wait(identity: ProcessIdentity) -> bool:
    """SIGKILL exactly this process and wait for its end. False if it was gone before."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await wait_gone(descriptor)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def with_output_beneath(directory: Path) -> dict[ProcessIdentity, Path]:
    """The live processes whose standard output is a file below `directory`, and that file, as far as we may look."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile, or is not ours
                output = (entry / "fd/1").readlink()
                if output.is_relative_to(directory):
                    found[identify(int(entry.name))] = output
    return found


class Detached:
    """A process that outlives us; while we live, the running loop reaps it when it ends."""

    def __init__(self, pid: int) -> None:
        self.identity = identify(pid)
        self._pid: int | None = pid
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    def kill_group(self) -> None:
        """SIGKILL the processes of its group, as long as it has not ended."""
        if self._pid is not None:
            os.killpg(self._pid, signal.SIGKILL)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        self._pid = None


def spawn_detached(
    argv: Sequence[str],
    *,
    output: int,
    inherit: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Detached:
    """Start a process that outlives us: a session of its own, stdout and stderr to the descriptor `output`, no `stdin`.

    It inherits exactly the descriptors in `inherit`, under their own numbers, and our environment unless it is given
    one. Raises OSError if `argv[0]` cannot be executed.
    """
    child = subprocess.Popen(
        argv,
        env=environment,
        stdin=stdin,
        stdout=output,
        stderr=output,
        pass_fds=inherit,
        start_new_session=True,
    )
    # The pidfd takes over; without this the dropped handle would complain, and reap a process that is not its own.
    child.returncode = 0
    return Detached(child.pid)
