"""A guest's network as it is made: real namespaces, the real way out, and frames on the guest's cable."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyro_mcp.engine.launchpad import Launchpad
from pyro_mcp.engine.networks import Networks
from pyro_mcp.errors import HostError
from pyro_mcp.host import process
from pyro_mcp.machines.cable import Cable
from pyro_mcp.machines.machine import Machine
from pyro_mcp.machines.plan import MachinePlan, NetworkPlan
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.net import inside
from pyro_mcp.net.ruleset import TABLE

# Sends UDP to [address, port, how often] as a guest does: frames on its TAP.
_FRAMES = """
import fcntl, json, os, socket, struct, sys

tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x0002 | 0x1000))

def checksum(header):
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

for address, first, last in json.loads(sys.argv[1]):
    for port in range(first, last + 1):
        udp = struct.pack("!HHHH", 1000, port, 8, 0)
        parts = [0x45, 0, 28, 0, 0, 64, 17, 0, socket.inet_aton("100.127.255.2"), socket.inet_aton(address)]
        parts[7] = checksum(struct.pack("!BBHHHBBH4s4s", *parts))
        header = struct.pack("!BBHHHBBH4s4s", *parts)
        os.write(tap, bytes.fromhex("025059524f01025059524f020800") + header + udp)
"""

USERS = [None, 0x7000_FFFF] if os.geteuid() == 0 else [None]


class Said(logging.Handler):
    """What is logged, as something to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put_nowait(record.getMessage())

    @property
    def nothing(self) -> bool:
        return self._lines.empty()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in await self._lines.get():
                pass


@contextmanager
def listening(name: str) -> Iterator[Said]:
    said, logger = Said(), logging.getLogger(name)
    logger.addHandler(said)
    try:
        yield said
    finally:
        logger.removeHandler(said)


@asynccontextmanager
async def made(*, connected: bool = False, uid: int | None = None) -> AsyncIterator[Cable]:
    """A guest's network without a guest."""
    with tempfile.TemporaryDirectory(prefix="pyro-net-") as directory:
        cable = Cable(Path(directory), uid=uid)
        try:
            await cable.make(NetworkPlan(connected=connected))
            yield cable
        finally:
            await cable.close()


def rules(cable: Cable, *question: str) -> str:
    return subprocess.run(
        [*cable.namespace.enter(), "sh", "-c", 'PATH=$PATH:/usr/sbin; exec nft "$@"', "sh", *question],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


async def send(cable: Cable, frames: str) -> None:
    argv = (*cable.namespace.enter(), sys.executable, "-c", _FRAMES, frames)
    await asyncio.to_thread(subprocess.run, argv, check=True)


def processes(cable: Cable) -> dict[str, ProcessIdentity]:
    return cable.namespace._processes


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def ended(identity: ProcessIdentity) -> bool:
    descriptor = process.open_pidfd(identity)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_all_that_is_refused_is_counted_and_a_scan_hides_nothing_that_comes_after_it() -> None:
    async def test() -> None:
        async with made(connected=True) as cable:
            await send(cable, '[["10.9.8.7", 1, 6000], ["192.168.1.1", 53, 53], ["10.9.8.7", 7, 7]]')
            refused = await cable.refused()
            assert refused.count == 6002
            assert 4096 <= len(refused.denied) <= 8192
            assert ("192.168.1.1", "udp", None) in {
                (str(entry.address), entry.protocol, entry.port) for entry in refused.denied
            }
            assert sum(entry.count for entry in refused.denied) == refused.count

    run(test)


def test_ranges_of_the_host_are_closed_and_can_be_replaced() -> None:
    async def test() -> None:
        async with made(connected=True) as cable:
            await cable.set_host([IPv4Network("52.1.2.0/24"), IPv4Network("52.1.2.3/32"), IPv4Address("9.9.9.9")])
            await send(cable, '[["52.1.2.77", 80, 80], ["9.9.9.9", 80, 80]]')
            assert {str(entry.address) for entry in (await cable.refused()).denied} == {"52.1.2.77", "9.9.9.9"}
            await cable.set_host([IPv4Network("52.1.0.0/16")])
            await send(cable, '[["52.1.3.1", 80, 80], ["9.9.9.9", 80, 80]]')
            assert (await cable.refused()).count == 3

    run(test)


def test_nothing_is_done_outside_of_a_network_that_is_gone() -> None:
    async def test() -> None:
        async with made() as cable:
            namespace = cable.namespace
            await namespace.close()
            for attempt in (namespace.set_host([]), namespace.refused()):
                with pytest.raises(HostError, match="gone"):
                    await attempt
            with pytest.raises(HostError, match="gone"):
                namespace.enter()

    run(test)


def test_who_is_about_to_enter_a_network_that_ends_enters_no_other() -> None:
    async def test() -> None:
        async with made() as cable:
            spaces = cable.namespace._open()
            await cable.namespace.close()
            others = [os.open("/proc/self/ns/net", os.O_RDONLY) for _ in range(64)]
            try:
                assert not {os.fstat(number).st_ino for number in others} & {
                    os.fstat(number).st_ino for kind, number in spaces.descriptors.items() if kind == "net"
                }
                inside.load(spaces, f"flush set {TABLE} host\n")  # which no other has
            finally:
                for number in others:
                    os.close(number)
            held = list(spaces.descriptors.values())
            del spaces
            for number in held:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    os.fstat(number)

    run(test)


@pytest.mark.parametrize("uid", USERS)
def test_the_way_out_has_bounds(uid: int | None) -> None:
    async def test() -> None:
        async with made(connected=True, uid=uid) as cable:
            pid = processes(cable)["slirp"].pid
            lines = proc(pid, "limits").splitlines()
            limits = {line[:26].strip(): line[26:].split()[:2] for line in lines[1:]}
            assert limits["Max open files"] == ["4096", "4096"]
            assert limits["Max address space"] == [str(2 << 30)] * 2
            assert limits["Max core file size"] == ["0", "0"]
            assert proc(pid, "oom_score_adj") == "500\n"

    run(test)


@pytest.mark.parametrize("uid", USERS)
def test_a_way_out_that_ends_alone_is_started_again_but_not_for_ever(uid: int | None) -> None:
    async def test() -> None:
        async with made(connected=True, uid=uid) as cable:
            with listening("pyro_mcp.net.way_out") as said:
                for _ in range(3):
                    before = processes(cable)["slirp"]
                    os.kill(before.pid, signal.SIGKILL)
                    await said.until("was started again")
                    assert processes(cable)["slirp"] != before
                    assert "sl0" in proc(processes(cable)["holder"].pid, "net/dev")
                os.kill(processes(cable)["slirp"].pid, signal.SIGKILL)
                await said.until("not started again")

    run(test)


def test_so_is_one_that_ended_while_no_daemon_looked() -> None:
    async def test() -> None:
        async with made(connected=True) as cable:
            await cable.namespace._stop_keeping()
            before = processes(cable)["slirp"]
            await process.kill_and_wait(before)
            following = Cable(cable.namespace._directory, uid=None)
            with listening("pyro_mcp.net.way_out") as said:
                following.adopt()
                await said.until("was started again")
            started = processes(following)["slirp"]
            assert not ended(started)
            await following.close()
            assert ended(started)

    run(test)


def test_with_the_machine_its_network_ends_and_nothing_is_started() -> None:
    async def test() -> None:
        async with made(connected=True) as cable:
            known = dict(processes(cable))
            keeping = cable.namespace._keeping
            assert keeping is not None
            with listening("pyro_mcp.net.way_out") as said:
                cable.namespace.given()  # no VMM holds it: the last writing end
                async with asyncio.timeout(60):
                    await keeping
            assert said.nothing
            assert ended(known["slirp"])
            assert processes(cable) == known

    run(test)


def test_a_guest_whose_rules_cannot_be_replaced_is_cut_off_and_the_others_are_told() -> None:
    async def test() -> None:
        async with made(connected=True) as broken, made(connected=True) as sound:
            rules(broken, "delete", "table", *TABLE.split())
            machines = cast("list[Machine]", [SimpleNamespace(cable=cable) for cable in (broken, sound)])
            networks = Networks(lambda: machines)
            with listening("pyro_mcp.machines.cable") as said:
                await networks._update(frozenset({IPv4Network("9.9.9.9/32")}))
                await said.until("is cut off")
            await networks.close()
            assert ended(processes(broken)["slirp"])
            assert broken.namespace._keeping is None
            assert not ended(processes(sound)["slirp"])
            assert "9.9.9.9" in rules(sound, "list", "set", *TABLE.split(), "host")

    run(test)


def test_what_changed_while_a_machine_started_reaches_it() -> None:
    async def test() -> None:
        now = frozenset({IPv4Network("9.9.9.9/32")})
        launchpad = cast(Launchpad, SimpleNamespace(_addresses=SimpleNamespace(get=lambda: now)))
        async with made() as cable:
            plan = cast(MachinePlan, SimpleNamespace(network=NetworkPlan()))
            await Launchpad.keep_true(launchpad, plan, cast(Machine, SimpleNamespace(cable=cable)))
            assert "9.9.9.9" in rules(cable, "list", "set", *TABLE.split(), "host")

    run(test)


def test_a_machine_that_cannot_be_told_is_cut_off() -> None:
    async def test() -> None:
        def get() -> None:
            raise HostError("nobody knows")

        launchpad = cast(Launchpad, SimpleNamespace(_addresses=SimpleNamespace(get=get)))
        async with made(connected=True) as cable:
            plan = cast(MachinePlan, SimpleNamespace(network=NetworkPlan()))
            await Launchpad.keep_true(launchpad, plan, cast(Machine, SimpleNamespace(cable=cable)))
            assert ended(processes(cable)["slirp"])

    run(test)
