"""slirp4netns as a command, bounded; and its start anew where it ended alone."""

from __future__ import annotations

import logging
import os
import resource
import select
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from pyro_mcp.errors import HostError
from pyro_mcp.host import process, tools
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.model.network import MTU, OUTER_RANGE

_INTERFACE = "sl0"
# What a guest can make it take of the host's: each connection and each UDP port in use has a descriptor, and as many
# connections as that allows were seen to take 1.6 GiB of addresses.
_OPEN_FILES = 4096
_ADDRESS_SPACE_BYTES = 2 << 30
# As a VMM's (`machines.jail`): out of memory, the kernel ends these before what people run beside them.
_OOM_SCORE = 500
_TRIES = 3

_log = logging.getLogger(__name__)


def bounds() -> tuple[str, ...]:
    """What a command begins with so that it takes no more of the host than a way out may. Raises HostError."""
    # Who may have fewer files cannot be given more.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    return (
        *(tools.require("choom", "util-linux"), "-n", str(_OOM_SCORE), "--"),
        *(tools.require("prlimit", "util-linux"), "--core=0:0", f"--nofile={files}:{files}"),
        f"--as={_ADDRESS_SPACE_BYTES}",
    )


def slirp(holder: int, *, ready: int, lifeline: int) -> tuple[str, ...]:
    """The way out of the namespaces of the process `holder`, which ends with `lifeline`. Raises HostError.

    It writes to the descriptor `ready` once packets pass.
    """
    options = ("--configure", f"--mtu={MTU}", f"--cidr={OUTER_RANGE}", "--disable-host-loopback")
    confined = ("--enable-sandbox", "--enable-seccomp")
    target = (f"--ready-fd={ready}", f"--exit-fd={lifeline}", str(holder), _INTERFACE)
    return (tools.require("slirp4netns", "slirp4netns"), *options, *confined, *target)


def lives(holder: ProcessIdentity) -> bool:
    """Whether the machine does whose network `holder` holds: its VMM has the writing end. Raises OSError."""
    try:
        with lifeline(holder) as reading:
            poll = select.poll()
            poll.register(reading, 0)
            return not poll.poll(0)
    except ProcessLookupError:
        return False


@contextmanager
def lifeline(holder: ProcessIdentity) -> Iterator[int]:
    """The reading end of a machine's lifeline, had again from who holds it. Raises ProcessLookupError, OSError."""
    try:
        reading = os.open(f"/proc/{holder.pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ProcessLookupError(holder.pid) from error
    try:
        if process.identify(holder.pid) != holder:
            raise ProcessLookupError(holder.pid)
        yield reading
    finally:
        os.close(reading)


async def keep(
    way_out: ProcessIdentity, *, wanted: Callable[[], bool], again: Callable[[], Awaitable[ProcessIdentity]]
) -> None:
    """Start it `again` when it ends though it is `wanted`, a few times. Returns when there is nothing more to keep."""
    for left in range(_TRIES, -1, -1):
        await _end_of(way_out)
        try:
            if not wanted():
                return
            if not left:
                _log.error(
                    "a guest is cut off: its way out has ended for the %d. time, and is not started again", _TRIES + 1
                )
                return
            way_out = await again()
        except (HostError, OSError) as error:
            _log.error("a guest is cut off: its way out has ended, and does not start again: %s", error)
            return
        _log.warning("a guest's way out had ended, and was started again")


async def _end_of(identity: ProcessIdentity) -> None:
    descriptor = process.open_pidfd(identity)
    if descriptor is None:
        return
    try:
        await process.wait_gone(descriptor)
    finally:
        os.close(descriptor)
