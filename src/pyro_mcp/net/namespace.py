"""A guest's network namespace, its way out, and their end.

Nobody needs privilege for any of it: the namespace belongs to a user namespace of the user that the VMM runs as, in
which a shell is root that does nothing but wait. It and slirp4netns hold the reading end of a pipe, the machine's VMM
the writing end: whatever ends the VMM ends them, also where nobody is left to do it.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import process, tools, userns
from pyro_mcp.host.files import write_atomically
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.model.printable import printable
from pyro_mcp.net import inside, way_out
from pyro_mcp.net.inside import Spaces
from pyro_mcp.net.ruleset import Own, Refusals, host_update, links

RECORD = "network.json"
"""Which processes make a machine's network, in its directory."""
NODE = "net-tun"
"""The device behind TAPs as the machine's user may open it, where pyro is root."""
TUN = Path("/dev/net/tun")

_START_SECONDS = 20.0
_SHOWN_CHARACTERS = 500
_PACKAGES = {
    "slirp4netns": "slirp4netns",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "prlimit": "util-linux",
    "choom": "util-linux",
}
# Runs as root of the namespaces. On its standard input nothing ever comes but the end. IPv6 is switched off before
# there is a link: nothing in here would speak for it. No refusal is held back, however many there are (icmp(7)): one
# that does not come is a hang. The last descriptor is opened for both directions, which never waits for a reader.
_SETUP = """
set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/icmp_ratemask
for name in all default; do
    [ ! -e /proc/sys/net/ipv6/conf/$name ] || echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6
done
"$1" -batch /proc/self/fd/$3
"$2" -f /proc/self/fd/$4
echo $$ 1<>/proc/self/fd/$5
read -r _ || :
"""


class Namespace:
    """One machine's network, as long as its VMM lives."""

    def __init__(self, directory: Path, *, uid: int | None, printed: Callable[[], str]) -> None:
        """`directory` is the machine's, `uid` whom its VMM runs as where we are root; `printed` tells what was said."""
        self._directory = directory
        self._uid = uid
        self._printed = printed
        self._processes: dict[str, ProcessIdentity] = {}
        self._spaces: Spaces | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._lifeline: tuple[int, int] | None = None

    @property
    def lifeline(self) -> int:
        """The descriptor that the VMM must hold, and nobody else once it does."""
        assert self._lifeline is not None, "the network was made here"
        return self._lifeline[1]

    async def make(self, rules: str, output: int) -> None:
        """The namespace with the guest's cable and `rules` in it, leading nowhere. What is printed goes to `output`.

        Raises HostError: what is missing, by package; `userns-disabled`, `tun-unavailable`, `network-failed`.
        """
        require_tools()
        self._give_node()
        self._lifeline = reading, _ = os.pipe()
        with inside.told(links()) as batch, inside.told(rules) as filters:
            argv = ("sh", "-c", _SETUP, "sh", tools.require("ip", "iproute2"), tools.require("nft", "nftables"))
            unshare = ("unshare", "--user", "--map-root-user", "--net")
            pid = await self._spawn((*unshare, *argv), (batch, filters), reading, output)
        try:
            self._note("holder", process.identify(int(pid)))
            self._open_spaces()
        except (ValueError, ProcessLookupError, OSError) as error:
            raise self._failure() from error

    async def connect(self, output: int) -> None:
        """Lead it outside, through slirp4netns on this host. Raises HostError `network-failed`."""
        assert self._lifeline is not None, "only what was made can be connected"
        await self._start_way_out(output, self._lifeline[0])

    def keep(self, log: Path) -> None:
        """From now on the way out is started again where it ends alone, a few times; it prints to the FIFO `log`."""
        if "slirp" in self._processes:
            holder, slirp = self._processes["holder"], self._processes["slirp"]
            kept = way_out.keep(slirp, wanted=lambda: way_out.lives(holder), again=lambda: self._again(log))
            self._keeping = asyncio.create_task(kept, name="way out")

    async def cut_off(self) -> None:
        """End the way out, for good: nothing passes any more, whatever the rules are."""
        await self._stop_keeping()
        if "slirp" in self._processes:
            await process.kill_and_wait(self._processes["slirp"])

    def given(self) -> None:
        """The VMM holds the lifeline now: it alone. Idempotent."""
        for descriptor in self._lifeline or ():
            os.close(descriptor)
        self._lifeline = None

    def adopt(self) -> None:
        """Find the network that an earlier daemon made here. Raises HostError `network-failed` if it is gone."""
        try:
            known = json.loads((self._directory / RECORD).read_bytes())
            self._processes = {str(name): ProcessIdentity(**value) for name, value in known.items()}
            self._open_spaces()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._failure() from error

    def enter(self) -> tuple[str, ...]:
        """What a command is to begin with so that it runs in here. It inherits nothing for that. Raises HostError."""
        kinds = self._open().descriptors
        return inside.entered({kind: f"/proc/{self._processes['holder'].pid}/ns/{kind}" for kind in kinds})

    async def refused(self) -> Refusals:
        """What the guest was refused. Raises HostError."""
        return await asyncio.to_thread(inside.refused, self._open())

    async def set_host(self, addresses: Iterable[Own]) -> None:
        """The host has these addresses now. Raises HostError."""
        await asyncio.to_thread(inside.load, self._open(), host_update(addresses))

    async def close(self) -> None:
        """End what makes the network, which the VMM's end does as well. Idempotent."""
        await self._stop_keeping()
        self.given()
        self._spaces = None  # whoever is in there right now comes to an end first
        for name in list(self._processes):
            await process.kill_and_wait(self._processes.pop(name))
        for name in (RECORD, NODE):
            (self._directory / name).unlink(missing_ok=True)

    async def _start_way_out(self, output: int, lifeline: int) -> ProcessIdentity:
        with self._ready() as (told, ready):
            argv = way_out.slirp(self._processes["holder"].pid, ready=ready, lifeline=lifeline)
            child = process.spawn_detached(
                (*way_out.bounds(), *self._as_user(), *argv), output=output, inherit=(ready, lifeline)
            )
            self._note("slirp", child.identity)
            os.close(ready)
            if not await self._hear(told):
                raise self._failure()
        return child.identity

    async def _again(self, log: Path) -> ProcessIdentity:
        """The way out once more. Raises HostError, OSError; then none is left."""
        with way_out.lifeline(self._processes["holder"]) as reading:
            output = os.open(log, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return await self._start_way_out(output, reading)
            except HostError:
                await process.kill_and_wait(self._processes["slirp"])
                raise
            finally:
                os.close(output)

    async def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def _spawn(self, argv: Sequence[str], numbered: Sequence[int], lifeline: int, output: int) -> bytes:
        """Start what tells its pid on a descriptor whose number it gets behind those of `numbered`."""
        with self._ready() as (told, ready):
            numbers = (*numbered, ready)
            child = process.spawn_detached(
                (*self._as_user(), *argv, *map(str, numbers)), output=output, inherit=numbers, stdin=lifeline
            )
            self._note("holder", child.identity)
            os.close(ready)
            return await self._hear(told)

    def _as_user(self) -> tuple[str, ...]:
        """What makes a command one of the machine's user, who may open the device behind TAPs."""
        if self._uid is None:
            return ()
        place = f'mount --bind "$1" {TUN} && shift && exec "$@"'
        drop = ("setpriv", f"--reuid={self._uid}", f"--regid={self._uid}", "--clear-groups", "--")
        return ("unshare", "--mount", "--", "sh", "-c", place, "sh", str(self._directory / NODE), *drop)

    def _give_node(self) -> None:
        if not TUN.exists():
            raise HostError(f"there is no {TUN}", code="tun-unavailable", hint="sudo modprobe tun")
        if self._uid is None:
            if not os.access(TUN, os.R_OK | os.W_OK):
                raise HostError(f"this user may not open {TUN}", code="tun-unavailable", hint=f"sudo chmod 666 {TUN}")
            return
        node = self._directory / NODE
        node.unlink(missing_ok=True)
        os.mknod(node, stat.S_IFCHR | 0o600, TUN.stat().st_rdev)
        os.chown(node, self._uid, self._uid)

    def _note(self, name: str, identity: ProcessIdentity) -> None:
        """Keep on record who must be ended, and who may be asked."""
        self._processes[name] = identity
        known = {name: asdict(identity) for name, identity in self._processes.items()}
        write_atomically(self._directory / RECORD, json.dumps(known).encode())

    def _open_spaces(self) -> None:
        """Hold on to the namespaces: a descriptor cannot be mistaken for another one's, as a pid can."""
        holder = self._processes["holder"]
        spaces = Spaces(holder.pid, ("net",) if self._uid is not None else ("user", "net"))
        if process.identify(holder.pid) != holder:
            raise ProcessLookupError(holder.pid)
        self._spaces = spaces

    def _open(self) -> Spaces:
        """Raises HostError where there is no network, or none any more: nothing is ever to be done outside of it."""
        if self._spaces is None:
            raise HostError("this network is gone", code="network-failed")
        return self._spaces

    @contextmanager
    def _ready(self) -> Iterator[tuple[int, int]]:
        told, ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.fchmod(ready, 0o666)  # it is opened anew, by the machine's user
        try:
            yield told, ready
        finally:
            _close(told)

    async def _hear(self, told: int) -> bytes:
        """What is said once all is there; empty where it ended instead."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(told, heard.set)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await heard.wait()
            return os.read(told, 64)
        except TimeoutError:
            return b""
        finally:
            loop.remove_reader(told)

    def _failure(self) -> HostError:
        said = self._printed().strip()
        known = userns.refused(said)
        if known is not None:
            return known
        if "TUNSETIFF" in said or "/dev/net/tun" in said:
            return HostError(f"no TAP can be made: {printable(said, _SHOWN_CHARACTERS)}", code="tun-unavailable")
        why = f": {printable(said, _SHOWN_CHARACTERS)}" if said else ""
        return HostError(
            f"the guest's network cannot be made{why}",
            code="network-failed",
            hint="`pyro doctor` says what this host lacks; without a network policy the guest runs without one",
        )


def require_tools() -> None:
    """Raises HostError for a program that a network needs and this host does not have."""
    for name, package in _PACKAGES.items():
        tools.require(name, package)


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
