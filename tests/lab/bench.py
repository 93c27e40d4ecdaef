"""What Firecracker's machines cost, measured in the lab."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TypedDict

from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab import inside, rootfs
from tests.lab.luggage import pack
from tests.lab.session import SESSION_SECONDS, prepared


class Found(TypedDict):
    """`runs`: milliseconds of each step of each run, and of the `whole` call; `pss_mib`: of a machine that is idle."""

    runs: list[dict[str, float]]
    pss_mib: float


def figures(runs: int) -> dict[str, Found]:
    """What `figures_of` says, in a lab made here and now."""
    with tempfile.TemporaryDirectory(prefix="pyro-luggage-") as directory:
        return asyncio.run(figures_of(rootfs.pull(), pack(Path(directory)), runs=runs))


async def figures_of(host: InstalledEnvironment, packed: Path, *, runs: int) -> dict[str, Found]:
    """Of machines that are `booted`, and of those that are `restored`."""
    said = bytearray()
    async with prepared(host, packed, "root") as machine:
        status = await machine.run(
            inside.python_as("root", "tests.lab.figures", str(runs)),
            cwd="/lab/project",
            timeout_seconds=SESSION_SECONDS,
            on_output=said.extend,
        )
    text = said.decode(errors="replace")
    assert status == 0, text
    found: dict[str, Found] = json.loads(text.splitlines()[-1])
    return found
