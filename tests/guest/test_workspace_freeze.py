"""A workspace's disk held still for a copy: writers wait, and a guest whose host is lost goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.disk.baseline import make_baseline
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.launchpad import SCRATCH_BYTES
from pyro_mcp.engine.workspace_images import WORKSPACE_BYTES
from pyro_mcp.errors import GuestError
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.plan import WorkspaceDisks
from pyro_mcp.machines.steps import RUNNING_PARTS, start_steps
from tests.harness.bare import machine_plan, said
from tests.harness.installation import Installation


@asynccontextmanager
async def guest(directory: Path) -> AsyncIterator[GuestAgent]:
    """The agent of a machine with an empty workspace, and no daemon around it."""
    blank(directory / "scratch-blank.ext4", SCRATCH_BYTES)
    blank(directory / "workspace-blank.ext4", WORKSPACE_BYTES, journal_mib=16)
    make_baseline(None, directory / "empty.erofs")
    disks = WorkspaceDisks(directory / "empty.erofs", directory / "workspace-blank.ext4", directory / "empty.erofs")
    plan = replace(
        machine_plan(None, directory / "vm"), blank_scratch=directory / "scratch-blank.ext4", workspace=disks
    )
    machine = Assembly(plan)
    await run_steps(machine, start_steps(plan))
    try:
        yield machine.connected_agent
    finally:
        await undo_steps(machine, RUNNING_PARTS)


async def test_writers_wait_while_it_is_frozen_and_go_on_when_nobody_thaws_it(
    shared_pyro: Installation, tmp_path: Path
) -> None:
    assert shared_pyro.state_dir.exists()  # the environment is there
    async with guest(tmp_path) as agent:
        await agent.freeze(hold_seconds=3)
        started = time.monotonic()
        writing = asyncio.create_task(said(agent, "sh", "-c", "echo x > /workspace/file; sync"))
        assert await said(agent, "cat", "/etc/hostname")  # the rest of the guest lives
        assert not writing.done()
        await writing
        assert time.monotonic() - started > 2

        with pytest.raises(GuestError) as late:
            await agent.thaw()
        assert late.value.details["guest_code"] == "not-frozen"
        await agent.freeze(hold_seconds=60)
        await agent.freeze(hold_seconds=60)
        await agent.thaw()
        assert await said(agent, "sh", "-c", "echo y > /workspace/file; cat /workspace/file") == "y\n"
