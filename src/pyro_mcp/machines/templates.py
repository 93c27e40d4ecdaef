"""Making a template: boot once, stop where every machine begins to differ, and save."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pyro_mcp.environments.templates import Template
from pyro_mcp.host.sealed import seal
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.directory import remove_directory
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.machines.steps import RUNNING_PARTS, template_steps
from pyro_mcp.vmm.driver import SAVED_MEMORY, SAVED_STATE


async def make_template(plan: MachinePlan) -> Template:
    """Boot the machine of `plan`, save it, end it: nothing of it stays. Raises VmmError, GuestError, HostError."""
    machine = Assembly(plan)
    await run_steps(machine, template_steps(plan))
    try:
        try:
            await machine.running_vmm.save()
        finally:
            await asyncio.shield(undo_steps(machine, RUNNING_PARTS))
        return await asyncio.to_thread(_seal, plan.directory, plan.scratch)
    finally:
        await asyncio.shield(remove_directory(plan.directory))


def _seal(directory: Path, scratch: Path) -> Template:
    return Template(seal(directory / SAVED_MEMORY), seal(directory / SAVED_STATE), seal(scratch))
