"""How a machine comes up: a list of named steps, each of which can undo itself.

The names are public: they stand in errors, logs and `timings_ms`.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pyro_mcp.agent.channel import Connector, SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.vsock import VsockConnector
from pyro_mcp.disk.clone import clone
from pyro_mcp.errors import PyroError
from pyro_mcp.machines.ending import guard
from pyro_mcp.machines.jail import Jail
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import Disk, MachineSpec, ProcessIdentity
from pyro_mcp.vmm.driver import Driver, GuestEndpoint, Vmm

SCRATCH = "scratch.ext4"


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """Everything a start needs to know.

    `uid` is the unprivileged user the VMM becomes where pyro runs as root, else None. `on_process` is told of the
    process as soon as it exists, so that a record can be kept of what must be ended. `running` is that process where an
    earlier daemon started it.
    """

    vm_id: str
    directory: Path
    uid: int | None
    driver: Driver
    environment: InstalledEnvironment
    initramfs: Path
    blank_scratch: Path
    vcpu_count: int
    mem_mib: int
    tsc_khz: int
    boot_timeout_seconds: float
    on_process: Callable[[ProcessIdentity], None]
    running: ProcessIdentity | None = None

    @property
    def scratch(self) -> Path:
        return self.directory / SCRATCH

    @property
    def spec(self) -> MachineSpec:
        return MachineSpec(
            vcpu_count=self.vcpu_count,
            mem_mib=self.mem_mib,
            kernel=self.environment.kernel,
            initramfs=self.initramfs,
            disks=(
                Disk("base", self.environment.rootfs, read_only=True),
                Disk("scratch", self.scratch, read_only=False),
            ),
            tsc_khz=self.tsc_khz,
        )


@dataclass(slots=True)
class Assembly:
    """A machine being put together: the plan, and what the steps have added so far."""

    plan: MachinePlan
    made_directory: bool = False
    jail: Jail | None = None
    vmm: Vmm | None = None
    agent: GuestAgent | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def running_vmm(self) -> Vmm:
        assert self.vmm is not None, "no step has started the VMM yet"
        return self.vmm

    @property
    def connected_agent(self) -> GuestAgent:
        assert self.agent is not None, "no step has greeted the agent yet"
        return self.agent


class Step(Protocol):
    """One thing that is done on the way up and undone on the way down. `undo` also works after a `do` that failed."""

    name: str

    async def do(self, machine: Assembly) -> None: ...

    async def undo(self, machine: Assembly) -> None: ...


class MakeDirectory:
    """The machine's private directory. One that a stopped machine left, with its disk, is used and never undone."""

    name = "directory"

    async def do(self, machine: Assembly) -> None:
        directory = machine.plan.directory
        machine.made_directory = not directory.exists()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in directory.iterdir():
            if entry.name != SCRATCH:  # a socket, log or room of a VMM that was lost with its daemon
                await remove_directory(entry) if entry.is_dir() else entry.unlink()

    async def undo(self, machine: Assembly) -> None:
        if machine.made_directory:
            await remove_directory(machine.plan.directory)


class CloneScratch:
    """The writable disk: a copy of a formatted blank, unless a stopped machine left its own."""

    name = "scratch"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        if not plan.scratch.exists():
            await asyncio.to_thread(clone, plan.blank_scratch, plan.scratch)

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the directory


class StartVmm:
    """The VMM process in its jail, until its control socket answers."""

    name = "vmm"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        machine.jail = Jail(plan.directory, uid=plan.uid, on_process=plan.on_process)
        machine.vmm = await plan.driver.boot(plan.spec, plan.directory, machine.jail)

    async def undo(self, machine: Assembly) -> None:
        if machine.vmm is not None:
            await machine.vmm.stop()
        if machine.jail is not None:
            machine.jail.close()


class AttachVmm:
    """The VMM that an earlier daemon started, under our control."""

    name = "attach"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        assert plan.running is not None, "only a machine that runs can be attached to"
        machine.jail = Jail(plan.directory, uid=plan.uid, on_process=plan.on_process)
        machine.jail.reopen_log()
        machine.vmm = await plan.driver.attach(plan.spec, plan.directory, plan.running, machine.jail)

    async def undo(self, machine: Assembly) -> None:
        await StartVmm().undo(machine)


class GreetAgent:
    """From the first instruction to the agent's first answer: the guest's own boot."""

    name = "agent"

    async def do(self, machine: Assembly) -> None:
        vmm, deadline = machine.running_vmm, machine.plan.boot_timeout_seconds
        machine.agent = GuestAgent(connector(vmm.endpoint, deadline_seconds=deadline))
        await guard(vmm, machine.agent.hello(), deadline_seconds=deadline, waiting_for="the guest's agent")

    async def undo(self, machine: Assembly) -> None:
        if machine.agent is not None:
            await machine.agent.close()


class GiveIdentity:
    """Fresh entropy, the wall clock and names of its own, confirmed by the guest before anything runs in it."""

    name = "identity"

    async def do(self, machine: Assembly) -> None:
        identity = machine.connected_agent.identity(
            hostname=machine.plan.vm_id,
            machine_id=secrets.token_hex(16),
            entropy=secrets.token_bytes(32),
            clock_ns=time.time_ns(),
        )
        await guard(machine.running_vmm, identity, deadline_seconds=30, waiting_for="the guest's identity")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


class MountDisks:
    """Base and scratch become the guest's root."""

    name = "mount"

    async def do(self, machine: Assembly) -> None:
        devices = machine.running_vmm.endpoint.devices
        mount = machine.connected_agent.mount(
            base=devices["base"],
            scratch=devices["scratch"],
            environment=machine.plan.environment.variables,
        )
        await guard(machine.running_vmm, mount, deadline_seconds=60, waiting_for="the guest's disks")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


COLD_START: tuple[Step, ...] = (
    MakeDirectory(),
    CloneScratch(),
    StartVmm(),
    GreetAgent(),
    GiveIdentity(),
    MountDisks(),
)
ADOPTION: tuple[Step, ...] = (AttachVmm(), GreetAgent())
RUNNING_PARTS: tuple[Step, ...] = (StartVmm(), GreetAgent())
"""What a stop undoes; directory and disk stay for the next start."""


def connector(endpoint: GuestEndpoint, *, deadline_seconds: float) -> Connector:
    """The way to a guest's agent, which has `deadline_seconds` to turn up."""
    if endpoint.carrier == "vsock":
        return VsockConnector(endpoint.path, endpoint.doorbell, deadline_seconds=deadline_seconds)
    return SerialConnector(endpoint.path, deadline_seconds=deadline_seconds)


async def run_steps(machine: Assembly, steps: Sequence[Step]) -> None:
    """Do all `steps` in order, timing each; when one fails or is cancelled, undo it and those before, last first."""
    done: list[Step] = []
    try:
        for step in steps:
            done.append(step)
            started = time.perf_counter()
            await step.do(machine)
            machine.timings_ms[step.name] = round((time.perf_counter() - started) * 1000, 1)
    except BaseException as error:
        if isinstance(error, PyroError):
            error.details.setdefault("step", done[-1].name)
        await asyncio.shield(undo_steps(machine, done))
        raise


async def undo_steps(machine: Assembly, steps: Sequence[Step]) -> None:
    """Undo all `steps`, last first, whatever single ones do; the first error is raised at the end."""
    first_error: Exception | None = None
    for step in reversed(steps):
        try:
            await step.undo(machine)
        except Exception as error:  # noqa: BLE001 - everything must get its chance to be undone
            first_error = first_error or error
    if first_error is not None:
        raise first_error


async def remove_directory(directory: Path) -> None:
    """Delete a machine's directory with all it holds. Only pyro writes there; the VMM owns single files in it."""
    await asyncio.to_thread(_remove_tree, directory)


def _remove_tree(directory: Path) -> None:
    for path in (directory, *directory.glob("*/")):
        with suppress(FileNotFoundError):
            path.chmod(0o700)  # a VMM's room may be closed
    shutil.rmtree(directory, ignore_errors=False, onerror=_ignore_missing)


def _ignore_missing(_function: object, _path: str, info: tuple[type[BaseException], BaseException, object]) -> None:
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
