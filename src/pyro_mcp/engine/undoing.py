"""What was asked of a guest and is wanted no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from pyro_mcp.errors import PyroError
from pyro_mcp.machines.machine import Machine

_SECONDS = 10.0


async def undo(machine: Machine, request: str, parameters: Mapping[str, object]) -> None:
    """Ask the guest to end what it may have made though nobody heard of it: the word of it may be under way.

    Failures are passed over, and a guest that is silent for 10 s. Who is cancelled meanwhile waits for the end of it.
    """

    async def ask() -> None:
        with suppress(PyroError, OSError):
            async with asyncio.timeout(_SECONDS), machine.ask(request, parameters) as work:
                await work.result()

    asking = asyncio.create_task(ask())
    try:
        await asyncio.shield(asking)
    except asyncio.CancelledError:
        await asyncio.wait({asking})
        raise
