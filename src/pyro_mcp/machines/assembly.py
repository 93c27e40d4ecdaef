"""A machine being put together: what it has so far, and steps that are done in order and undone in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.errors import PyroError
from pyro_mcp.machines.cable import Cable
from pyro_mcp.machines.jail import Jail
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.machines.unjailed import Unjailed
from pyro_mcp.vmm.driver import Vmm


@dataclass(slots=True)
class Assembly:
    """A machine being put together: the plan, and what the steps have added so far."""

    plan: MachinePlan
    made_directory: bool = False
    made_disks: list[Path] = field(default_factory=list)
    jail: Jail | Unjailed | None = None
    cable: Cable | None = None
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
