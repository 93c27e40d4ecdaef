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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import command, process, tools, userns
from pyro_mcp.host.files import write_atomically
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.model.network import MTU, OUTER_RANGE, Denied
from pyro_mcp.model.printable import printable
from pyro_mcp.net.ruleset import DENIED_OTHERS, DENIED_PORTS, TABLE, host_update, links, parse_denied

RECORD = "network.json"
"""Which processes make a machine's network, in its directory."""
NODE = "net-tun"
"""The device behind TAPs as the machine's user may open it, where pyro is root."""
TUN = Path("/dev/net/tun")

_START_SECONDS = 20.0
_ASK_SECONDS = 20.0
_SHOWN_CHARACTERS = 500
_WAY_OUT = "sl0"
_PACKAGES = {
    "slirp4netns": "slirp4netns",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
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
        self._held = ExitStack()
        self._processes: dict[str, ProcessIdentity] = {}
        self._spaces: dict[str, int] = {}
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
        with _told(links()) as batch, _told(rules) as filters:
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
        options = ("--configure", f"--mtu={MTU}", f"--cidr={OUTER_RANGE}", "--disable-host-loopback")
        confined = ("--enable-sandbox", "--enable-seccomp")
        argv = (tools.require("slirp4netns", "slirp4netns"), *options, *confined)
        reading = self._lifeline[0]
        with self._ready() as (told, ready):
            target = (f"--ready-fd={ready}", f"--exit-fd={reading}", str(self._processes["holder"].pid))
            child = process.spawn_detached(
                (*self._as_user(), *argv, *target, _WAY_OUT), output=output, inherit=(ready, reading)
            )
            self._note("slirp", child.identity)
            os.close(ready)
            if not await self._hear(told):
                raise self._failure()

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
        """What a command is to begin with so that it runs in here. It inherits nothing for that."""
        holder = self._processes["holder"].pid
        return _entered({kind: f"/proc/{holder}/ns/{kind}" for kind in self._spaces})

    async def denied(self) -> list[Denied]:
        """What the guest was refused within the last hour, most frequent first, at most 512. Raises HostError."""
        return await asyncio.to_thread(self._denied)

    async def set_host(self, addresses: Iterable[IPv4Address]) -> None:
        """The host has these addresses now. Raises HostError."""
        with _told(host_update(addresses)) as update:
            await asyncio.to_thread(self._nft, ("-f", f"/proc/self/fd/{update}"), (update,))

    async def close(self) -> None:
        """End what makes the network, which the VMM's end does as well. Idempotent."""
        self.given()
        self._held.close()
        self._spaces = {}
        for name in list(self._processes):
            await process.kill_and_wait(self._processes.pop(name))
        for name in (RECORD, NODE):
            (self._directory / name).unlink(missing_ok=True)

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
        kinds = ("net",) if self._uid is not None else ("user", "net")
        for kind in kinds:
            descriptor = os.open(f"/proc/{holder.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            self._held.callback(_close, descriptor)
            self._spaces[kind] = descriptor
        if process.identify(holder.pid) != holder:
            raise ProcessLookupError(holder.pid)

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

    def _denied(self) -> list[Denied]:
        try:
            return [
                entry
                for name in (DENIED_PORTS, DENIED_OTHERS)
                for entry in parse_denied(self._nft(("-j", "list", "set", *TABLE.split(), name)))
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise HostError("what the guest was denied cannot be read", code="network-failed") from error

    def _nft(self, arguments: Sequence[str], inherited: Sequence[int] = ()) -> str:
        nft = tools.require("nft", "nftables")
        spaces = {kind: f"/proc/self/fd/{descriptor}" for kind, descriptor in self._spaces.items()}
        argv = (*_entered(spaces), nft, *arguments)
        asked = command.run(argv, deadline_seconds=_ASK_SECONDS, pass_fds=(*self._spaces.values(), *inherited))
        if not asked.succeeded:
            raise HostError(f"the rules of a network cannot be reached: {asked.last_words()}", code="network-failed")
        return asked.output

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


def _entered(spaces: Mapping[str, str]) -> tuple[str, ...]:
    paths = (f"--{kind}={path}" for kind, path in spaces.items())
    return (tools.require("nsenter", "util-linux"), "--preserve-credentials", *paths, "--")


@contextmanager
def _told(text: str) -> Iterator[int]:
    """A descriptor from which `text` can be read."""
    descriptor = os.memfd_create("pyro", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)
