"""A real virtio-serial port remembers what dead clients left in it. No polite client after them may ever notice.

Run as a program, `python -m tests.guest.test_rude_clients [COUNT]`, it prints the figures.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyro_mcp.agent.channel import SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.messages import Exited, Output
from pyro_mcp.agent.wire import RESYNC_ZERO_BYTES, BodyKind, MuxKind, encode_body, encode_mux
from pyro_mcp.config import Settings
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.launchpad import JAIL_UID_BASE, SCRATCH_BYTES
from pyro_mcp.environments.store import Store
from pyro_mcp.host import probe, sockets
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.machines.steps import COLD_START, RUNNING_PARTS
from pyro_mcp.vmm.qemu.driver import QemuDriver

DEADLINE = 120.0
RUDE_CLIENTS = 300


@dataclass
class Figures:
    """What the run showed."""

    right: int = 0
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)


def test_three_hundred_rude_clients_never_cost_a_polite_one_a_byte() -> None:
    figures = asyncio.run(rude_clients(RUDE_CLIENTS, seed=secrets.randbits(32)))

    assert (figures.right, figures.wrong) == (RUDE_CLIENTS, 0)


async def rude_clients(count: int, seed: int) -> Figures:
    """`count` times: one client that dies where it hurts, then a polite one that must get its very own answer."""
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance, figures = random.Random(seed), Figures()
    async with guest() as port:
        for number in range(count):
            await die_rudely(port, chance)
            started = time.perf_counter()
            right = await ask_politely(port, f"{number}-{chance.getrandbits(64):x}", chance)
            figures.seconds.append(time.perf_counter() - started)
            figures.right += right
            figures.wrong += not right
        left = await answer(port, ["sh", "-c", "ps -eo args | grep -c '[s]leep 4711' || true"])
        assert left == b"0\n", f"commands of dead clients live on: {left!r}"
    return figures


async def die_rudely(port: Path, chance: random.Random) -> None:
    """Greet, ask for much, and hang up in the middle of the request or of the answer."""
    session = chance.getrandbits(64) | 1
    script = chance.choice(["head -c 3000000 /dev/zero", "sleep 4711", "yes rude", "exec sleep 4711 <&-"])
    request = bytes(RESYNC_ZERO_BYTES) + encode_mux(session, 0, MuxKind.HELLO, chance.randbytes(16))
    request += encode_mux(session, 1, MuxKind.OPEN) + encode_mux(session, 1, MuxKind.DATA, exec_request(script))
    in_the_middle_of_the_request = chance.random() < 0.5
    if in_the_middle_of_the_request:
        request += encode_mux(session, 2, MuxKind.OPEN)
        request += encode_mux(session, 2, MuxKind.DATA, chance.randbytes(chance.randrange(1, 32_768)))
        request = request[: chance.randrange(len(request) - 20_000 if len(request) > 60_000 else 1, len(request))]
    loop = asyncio.get_running_loop()
    with await sockets.connect(port) as connection:
        async with asyncio.timeout(DEADLINE):
            await loop.sock_sendall(connection, request)
            if not in_the_middle_of_the_request:
                await loop.sock_recv(connection, chance.randrange(1, 200_000))


def exec_request(script: str) -> bytes:
    start = b'{"argv":["sh","-c","%s"],"env":{},"cwd":"/","timeout_ms":0,"stdin":false}' % script.encode()
    body = encode_body(BodyKind.START, start)
    return b"POST /v1/exec HTTP/1.1\r\nHost: guest\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def ask_politely(port: Path, token: str, chance: random.Random) -> bool:
    size = chance.choice([0, 10, 5_000, 200_000])
    said = await answer(port, ["sh", "-c", f"echo {token}; head -c {size} /dev/zero | tr '\\0' {token[0]}"])
    return said == f"{token}\n".encode() + token[0].encode() * size


async def answer(port: Path, argv: list[str]) -> bytes:
    """The standard output of a command run by a client of its own."""
    agent = GuestAgent(SerialConnector(port, deadline_seconds=DEADLINE))
    said = bytearray()
    try:
        async with agent.exec(argv, env={}, cwd="/", timeout_ms=100_000) as events:
            async for event in events:
                if isinstance(event, Output):
                    said += event.data
                elif isinstance(event, Exited):
                    assert event.exit_code == 0, said
    finally:
        await agent.close()
    return bytes(said)


@asynccontextmanager
async def guest() -> AsyncIterator[Path]:
    """The agent's port of a booted guest whose only client is the test."""
    settings, store = Settings.from_environment(), Store(Settings.from_environment().environment_cache_dir)
    environment = store.resolve("debian:12")
    assert environment is not None
    with tempfile.TemporaryDirectory(prefix="pyro-test-") as directory, store.lease(environment):
        blank(Path(directory) / "blank.ext4", SCRATCH_BYTES)
        machine = Assembly(
            MachinePlan(
                vm_id="vm-000000000000",
                directory=Path(directory) / "vm",
                uid=JAIL_UID_BASE if os.geteuid() == 0 else None,
                driver=QemuDriver(),
                environment=environment,
                initramfs=store.initramfs(environment, settings.guest_binary),
                blank_scratch=Path(directory) / "blank.ext4",
                vcpu_count=1,
                mem_mib=512,
                tsc_khz=probe.tsc_khz(settings.guest_binary, cache=Path(directory) / "tsc.json"),
                boot_timeout_seconds=DEADLINE,
                on_process=lambda _: None,
            )
        )
        await run_steps(machine, COLD_START)
        await machine.connected_agent.close()
        try:
            yield machine.running_vmm.endpoint.path
        finally:
            await undo_steps(machine, RUNNING_PARTS)


if __name__ == "__main__":
    shown = asyncio.run(rude_clients(int(sys.argv[1]) if sys.argv[1:] else RUDE_CLIENTS, seed=1))
    milliseconds = sorted(round(1000 * second) for second in shown.seconds)
    print(
        f"{len(milliseconds)} rude clients: {shown.right} right answers, {shown.wrong} wrong; reconnect with answer "
        f"median {milliseconds[len(milliseconds) // 2]} ms, max {milliseconds[-1]} ms"
    )
