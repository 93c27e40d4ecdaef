"""A started machine: commands into it, and its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pyro_mcp.agent.client import GuestAgent, Work
from pyro_mcp.agent.messages import Exited, Output
from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.errors import GuestError, VmmError
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.cable import Cable
from pyro_mcp.machines.clock import ClockWatch
from pyro_mcp.machines.directory import remove_directory
from pyro_mcp.machines.ending import END_SECONDS, ended, means_end
from pyro_mcp.machines.plan import WORKSPACE_DISK, MachinePlan
from pyro_mcp.machines.steps import RUNNING_PARTS, adoption_steps, give_identity, start_steps

_POWEROFF_SECONDS = 10.0
# A guest whose host is gone must be able to write again soon.
_HOLD_SECONDS = 5.0


class TemplateError(Exception):
    """A template is no good, whatever the reason: boot cold."""


class Machine:
    """Owns every resource of one running VM. `stop` keeps its disk, `destroy` leaves nothing."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._death: GuestError | None = None
        self._clock = ClockWatch()
        self._ending = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, plan: MachinePlan) -> Machine:
        """Restore `plan.template`, or boot. Leaves nothing behind when it fails.

        Raises TemplateError for a machine that cannot be restored, VmmError, GuestError, HostError.
        """
        assembly = Assembly(plan)
        try:
            await run_steps(assembly, start_steps(plan))
        except (VmmError, GuestError) as error:
            if plan.template is None:
                raise
            raise TemplateError(f"nothing can be restored from its template: {error.message}") from error
        machine = cls(assembly)
        machine._clock.was_set()
        return machine

    @classmethod
    async def adopt(cls, plan: MachinePlan) -> Machine:
        """Take over `plan.running`, which an earlier daemon started; what that one had under way in it is ended.

        A machine that cannot be taken over is ended. Raises VmmError, GuestError.
        """
        assembly = Assembly(plan)
        await run_steps(assembly, adoption_steps(plan))
        return cls(assembly)

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Milliseconds that each step of the start took."""
        return dict(self._assembly.timings_ms)

    @property
    def devices(self) -> Mapping[str, str]:
        """Under which device node the guest finds each of its disks."""
        return self._assembly.running_vmm.endpoint.devices

    @property
    def cable(self) -> Cable | None:
        """Its network, if it has one."""
        return self._assembly.cable

    async def wait_end(self) -> str:
        """Wait until the machine has ended by itself; says how (`Vmm.wait`)."""
        return await asyncio.shield(self._ending)

    async def run(
        self,
        argv: tuple[str, ...],
        *,
        timeout_seconds: int,
        environment: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: AsyncIterator[bytes] | None = None,
    ) -> AsyncGenerator[Output | Exited, None]:
        """Run one command, yielding its output as it comes and its end last.

        Leaving the iteration early kills the command's whole process tree. Raises GuestError when the machine dies or
        its agent stops making sense.
        """
        async with self._explained() as agent:
            execution = agent.exec(
                argv,
                env=environment or {},
                cwd=cwd or str(self._assembly.plan.cwd),
                timeout_ms=timeout_seconds * 1000,
                stdin=stdin,
            )
            async with execution as events:
                async for event in events:
                    if isinstance(event, Output | Exited):
                        yield event

    @asynccontextmanager
    async def work(
        self, name: str, parameters: Mapping[str, object], sent: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[Work]:
        """Do something in /workspace (`agent/work.py`). Raises GuestError, also for a machine that dies meanwhile."""
        async with self._explained() as agent, agent.work(name, parameters, sent) as work:
            yield work

    @asynccontextmanager
    async def ask(
        self,
        name: str,
        parameters: Mapping[str, object],
        sent: AsyncIterator[bytes] | None = None,
        *,
        answers: Collection[BodyKind] = (),
        patience_seconds: float | None = 0.0,
    ) -> AsyncIterator[Work]:
        """Something of what lives in the guest (`GuestAgent.ask`). Raises GuestError, as `work` does."""
        async with self._explained() as agent:
            asked = agent.ask(name, parameters, sent, answers=answers, patience_seconds=patience_seconds)
            async with asked as work:
                yield work

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[Path]:
        """The image of the workspace's disk, on which nothing changes until the block is left.

        Leaving raises GuestError where that did not hold to the end: then a copy is worth nothing.
        """
        async with self._explained() as agent:
            await agent.freeze(hold_seconds=_HOLD_SECONDS)
            left = asyncio.Event()
            holding = asyncio.create_task(_hold(agent, left))
            try:
                yield self._assembly.plan.directory / WORKSPACE_DISK
            finally:
                left.set()
                await asyncio.gather(holding, return_exceptions=True)
                await asyncio.shield(agent.thaw())

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[GuestAgent]:
        """The agent, its guest's clock right; errors that the machine's end is behind say how it ended."""
        try:
            await self._set_clock()
            yield self._assembly.connected_agent
        except GuestError as error:
            if means_end(error):
                await asyncio.wait({self._ending}, timeout=END_SECONDS)
            raise self._death or error from error

    async def stop(self) -> None:
        """Shut the guest down cleanly if it lets itself, then end the VMM. The disk stays."""
        with contextlib.suppress(GuestError, VmmError, TimeoutError):
            async with asyncio.timeout(_POWEROFF_SECONDS):
                await self._assembly.connected_agent.poweroff()
                await self.wait_end()
        await self._take_down()

    async def destroy(self) -> None:
        """End the VMM and delete everything. Idempotent."""
        await self._take_down()
        await remove_directory(self._assembly.plan.directory)

    async def _watch(self) -> str:
        """The machine's end, by whatever cause, ends every conversation with its agent, and is what those then say."""
        vmm = self._assembly.running_vmm
        how = await vmm.wait()
        self._death = await ended(vmm, how, "the command")
        await self._assembly.connected_agent.close()
        return how

    async def _set_clock(self) -> None:
        """After the host slept, or its clock was set, a guest's is wrong."""
        if self._clock.due() and not self._assembly.plan.driver.info.on_host:
            await give_identity(self._assembly)
            self._clock.was_set()

    async def _take_down(self) -> None:
        await asyncio.shield(undo_steps(self._assembly, RUNNING_PARTS))
        self._ending.cancel()
        await asyncio.gather(self._ending, return_exceptions=True)


async def _hold(agent: GuestAgent, left: asyncio.Event) -> None:
    """Keep the guest from thawing by itself, which it does when it hears nothing more of us."""
    while not left.is_set():
        try:
            async with asyncio.timeout(_HOLD_SECONDS / 3):
                await left.wait()
        except TimeoutError:
            await agent.freeze(hold_seconds=_HOLD_SECONDS)
