"""How machines come up: lists of named steps, each of which can undo itself.

The names are public: they stand in errors, logs and `timings_ms`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time

from pyro_mcp.agent.channel import Connector, SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.unix import UnixConnector
from pyro_mcp.agent.vsock import VsockConnector
from pyro_mcp.disk.clone import clone
from pyro_mcp.machines.assembly import Assembly, Step
from pyro_mcp.machines.cable import Cable
from pyro_mcp.machines.directory import remove_directory
from pyro_mcp.machines.ending import guard
from pyro_mcp.machines.jail import Jail
from pyro_mcp.machines.plan import LASTING, WORKSPACE_DISK, MachinePlan
from pyro_mcp.machines.unjailed import Unjailed
from pyro_mcp.model.network import GATEWAY, GUEST_ADDRESS, LINK_PREFIX, MTU, NAMESERVER
from pyro_mcp.vmm.driver import GuestEndpoint, Saved

_WARM_MS = 30_000
# A guest's clock is behind by as long as the request was on its way; the way back counts here, too.
_CLOCK_SKEW_NS = 60_000_000
_CLOCK_TRIES = 3


class MakeDirectory:
    """The machine's private directory. One that a stopped machine left, with its disk, is used and never undone."""

    name = "directory"

    async def do(self, machine: Assembly) -> None:
        directory = machine.plan.directory
        machine.made_directory = not directory.exists()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in directory.iterdir():
            if entry.name not in LASTING:  # a socket, log or room of a VMM that was lost with its daemon
                await remove_directory(entry) if entry.is_dir() else entry.unlink()

    async def undo(self, machine: Assembly) -> None:
        if machine.made_directory:
            await remove_directory(machine.plan.directory)


class CloneScratch:
    """The writable disks: copies of formatted blanks, unless a stopped machine left its own."""

    name = "scratch"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        if not plan.scratch.exists():
            source = plan.blank_scratch if plan.template is None else plan.template.scratch.path
            assert source is not None, "only a guest has a disk"
            machine.made_disks.append(plan.scratch)
            await asyncio.to_thread(clone, source, plan.scratch)
        if plan.workspace is not None and not (disk := plan.directory / WORKSPACE_DISK).exists():
            machine.made_disks.append(disk)
            await asyncio.to_thread(clone, plan.workspace.blank, disk)

    async def undo(self, machine: Assembly) -> None:
        for disk in machine.made_disks:
            disk.unlink(missing_ok=True)


class MakeWorkspace:
    """Where commands begin that run on the host itself; it begins empty."""

    name = "workspace"

    async def do(self, machine: Assembly) -> None:
        machine.plan.cwd.mkdir(mode=0o700)

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the directory


class MakeNetwork:
    """The namespace that the VMM runs in, and what leads out of it."""

    name = "network"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        assert plan.network is not None, "only a machine with a network needs one"
        machine.cable = Cable(plan.directory, uid=plan.uid)
        await machine.cable.make(plan.network)

    async def undo(self, machine: Assembly) -> None:
        if machine.cable is not None:
            await machine.cable.close()


class AdoptNetwork(MakeNetwork):
    """The one that an earlier daemon made."""

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        assert plan.network is not None, "only a machine with a network has one to be found"
        machine.cable = Cable(plan.directory, uid=plan.uid)
        machine.cable.adopt()
        await machine.cable.set_host(plan.network.host)


class SetUpNetwork:
    """The guest's end of its cable."""

    name = "address"

    async def do(self, machine: Assembly) -> None:
        set_up = machine.connected_agent.network(
            address=f"{GUEST_ADDRESS}/{LINK_PREFIX}", gateway=GATEWAY, nameserver=NAMESERVER, mtu=MTU
        )
        await guard(machine.running_vmm, set_up, deadline_seconds=60, waiting_for="the guest's network")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


class StartVmm:
    """The VMM process in its jail, until its control socket answers."""

    name = "vmm"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        machine.jail = _launcher(machine)
        machine.vmm = await plan.driver.boot(plan.spec, plan.directory, machine.jail)

    async def undo(self, machine: Assembly) -> None:
        if machine.vmm is not None:
            await machine.vmm.stop()
        if machine.jail is not None:
            machine.jail.close()


class StartSavableVmm(StartVmm):
    """The same, so that the machine can be saved."""

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        machine.jail = _launcher(machine)
        machine.vmm = await plan.driver.boot(plan.spec, plan.directory, machine.jail, savable=True)


class RestoreVmm(StartVmm):
    """The VMM process in its jail, until the saved machine runs in it."""

    name = "restore"

    async def do(self, machine: Assembly) -> None:
        plan, template = machine.plan, machine.plan.template
        assert template is not None, "there is something to restore"
        machine.jail = _launcher(machine)
        saved = Saved(template.memory.descriptor, template.state.descriptor)
        machine.vmm = await plan.driver.restore(plan.spec, plan.directory, machine.jail, saved)


class AttachVmm:
    """The VMM that an earlier daemon started, under our control."""

    name = "attach"

    async def do(self, machine: Assembly) -> None:
        plan = machine.plan
        assert plan.running is not None, "only a machine that runs can be attached to"
        machine.jail = _launcher(machine)
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
        await give_identity(machine)

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


async def give_identity(machine: Assembly) -> None:
    """Tell the guest who it is, and what time it is; again if that took so long that it is not true any more.

    Emulated, the first answer of a kind takes long and the next one does not. Raises GuestError.
    """
    for _ in range(_CLOCK_TRIES):
        identity = machine.connected_agent.identity(
            hostname=machine.plan.vm_id,
            # Made of its name, which no other machine has: the same whenever the clock is set again.
            machine_id=hashlib.sha256(machine.plan.vm_id.encode()).hexdigest()[:32],
            entropy=secrets.token_bytes(32),
            clock_ns=time.time_ns(),
        )
        clock = await guard(machine.running_vmm, identity, deadline_seconds=30, waiting_for="the guest's identity")
        if time.time_ns() - clock <= _CLOCK_SKEW_NS:
            return


class MountDisks:
    """Base and scratch become the guest's root."""

    name = "mount"

    async def do(self, machine: Assembly) -> None:
        devices, environment = machine.running_vmm.endpoint.devices, machine.plan.environment
        assert environment is not None, "only a guest has disks"
        mount = machine.connected_agent.mount(
            base=devices["base"],
            scratch=devices["scratch"],
            environment=environment.variables,
        )
        await guard(machine.running_vmm, mount, deadline_seconds=60, waiting_for="the guest's disks")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


class MountWorkspace:
    """/workspace becomes the tree that outlives the machine."""

    name = "workspace"

    async def do(self, machine: Assembly) -> None:
        devices = machine.running_vmm.endpoint.devices
        mount = machine.connected_agent.mount_workspace(baseline=devices["baseline"], disk=devices["workspace"])
        await guard(machine.running_vmm, mount, deadline_seconds=60, waiting_for="the guest's workspace")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


class GiveSecrets:
    """The values that commands in it may be given, as files that no disk holds."""

    name = "secrets"

    async def do(self, machine: Assembly) -> None:
        assert machine.plan.secrets is not None, "there is something to be given"
        values = await asyncio.to_thread(machine.plan.secrets)
        giving = asyncio.gather(*(machine.connected_agent.secret(name, value) for name, value in values.items()))
        await guard(machine.running_vmm, _all(giving), deadline_seconds=60, waiting_for="the guest's secrets")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


async def _all(giving: asyncio.Future[list[None]]) -> None:
    await giving


class WarmUp:
    """What every command needs first is read into the guest's memory: a shell, its library, its start-up files."""

    name = "warm"

    async def do(self, machine: Assembly) -> None:
        await guard(machine.running_vmm, _run(machine.connected_agent), deadline_seconds=60, waiting_for="a shell")

    async def undo(self, machine: Assembly) -> None:
        pass  # it lives and dies with the guest


async def _run(agent: GuestAgent) -> None:
    """Whether there is a shell, and what it says, makes no difference: an environment need not have one."""
    argv = ("sh", "-lc", "true; cat /dev/null; bash -lc true")
    async with agent.exec(argv, env={}, cwd="/", timeout_ms=_WARM_MS) as events:
        async for _ in events:
            pass


_NEW = (MakeDirectory(), CloneScratch())
COLD_START: tuple[Step, ...] = (*_NEW, StartVmm(), GreetAgent(), GiveIdentity(), MountDisks())
HOST_START: tuple[Step, ...] = (MakeDirectory(), MakeWorkspace(), StartVmm(), GreetAgent())
"""Where commands run on the host itself: there is nothing to boot, to tell apart or to mount."""
RUNNING_PARTS: tuple[Step, ...] = (MakeNetwork(), StartVmm(), GreetAgent())
"""What a stop undoes; directory and disk stay for the next start."""


def start_steps(plan: MachinePlan) -> tuple[Step, ...]:
    """How the machine of `plan` comes up."""
    if plan.driver.info.on_host:
        return HOST_START
    steps: list[Step] = [*_NEW, *_network(plan)]
    steps += [StartVmm() if plan.template is None else RestoreVmm(), GreetAgent(), GiveIdentity()]
    if plan.template is None or plan.kept:
        steps += [MountDisks(), *_address(plan)]
    if plan.workspace is not None:
        steps.append(MountWorkspace())
    if plan.secrets is not None:
        steps.append(GiveSecrets())
    return tuple(steps)


def template_steps(plan: MachinePlan) -> tuple[Step, ...]:
    """How a machine comes up that those of `plan` are restored from: up to where they begin to differ.

    Machines with new disks are the same until their /workspace is mounted, and what every command needs has been read.
    Those with disks of their own have nothing in common from the first mount on. A network is the same for all of them.
    """
    steps: tuple[Step, ...] = (*_NEW, *_network(plan), StartSavableVmm(), GreetAgent(), GiveIdentity())
    return steps if plan.kept else (*steps, MountDisks(), *_address(plan), WarmUp())


def adoption_steps(plan: MachinePlan) -> tuple[Step, ...]:
    """How a machine that runs is taken over."""
    return (AttachVmm(), AdoptNetwork(), GreetAgent()) if plan.network is not None else (AttachVmm(), GreetAgent())


def _network(plan: MachinePlan) -> tuple[Step, ...]:
    return () if plan.network is None else (MakeNetwork(),)


def _address(plan: MachinePlan) -> tuple[Step, ...]:
    return () if plan.network is None else (SetUpNetwork(),)


def _launcher(machine: Assembly) -> Jail | Unjailed:
    plan = machine.plan
    if plan.driver.info.on_host:
        return Unjailed(plan.directory, on_process=plan.on_process)
    network = None if machine.cable is None else machine.cable.namespace
    return Jail(plan.directory, uid=plan.uid, on_process=plan.on_process, network=network)


def connector(endpoint: GuestEndpoint, *, deadline_seconds: float) -> Connector:
    """The way to a guest's agent, which has `deadline_seconds` to turn up."""
    if endpoint.carrier == "vsock":
        return VsockConnector(endpoint.path, endpoint.doorbell, deadline_seconds=deadline_seconds)
    if endpoint.carrier == "unix":
        return UnixConnector(endpoint.path)
    return SerialConnector(endpoint.path, deadline_seconds=deadline_seconds)
