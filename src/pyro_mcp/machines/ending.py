"""Waiting for a guest without being fooled by one that died: every wait also watches the VMM."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from pyro_mcp.errors import GuestError, VmmError
from pyro_mcp.model.printable import printable
from pyro_mcp.vmm.driver import Vmm

T = TypeVar("T")

END_SECONDS = 2.0
"""How long a machine's end may take to show once its connections broke: a process that exits closes its files first."""

_CONSOLE_SECONDS = 5.0
_SHOWN_LINES = 40
_PANIC = "Kernel panic"


async def guard(vmm: Vmm, work: Coroutine[None, None, T], *, deadline_seconds: float | None, waiting_for: str) -> T:
    """The result of `work`, unless the machine ends first or `deadline_seconds` run out.

    Raises GuestError: `guest-panic` or `guest-ended` with the end of its console, `guest-silent` at the deadline.
    """
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(vmm.wait())
    try:
        await asyncio.wait({working, ending}, timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and means_end(working.exception()):
            await asyncio.wait({ending}, timeout=END_SECONDS)
        if working.done() and not (ending.done() and working.exception()):
            return working.result()
        if ending.done():
            raise await ended(vmm, ending.result(), waiting_for) from (working.exception() if working.done() else None)
        raise await _silent(vmm, deadline_seconds, waiting_for)
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


def means_end(error: BaseException | None) -> bool:
    """Whether the machine's end is behind this failure: it shows within END_SECONDS then, and says more."""
    return isinstance(error, GuestError) and error.code == "guest-gone"


async def ended(vmm: Vmm, how: str, waiting_for: str) -> GuestError:
    """The error for a machine that ended by itself while something was expected of it."""
    lines = await _console(vmm)
    # Its headline; the trace behind it may be longer than what is shown.
    panic = next((line for line in lines if _PANIC in line), None)
    if panic is not None:
        message, code = f"the guest's kernel panicked: {panic[panic.index(_PANIC) :]}", "guest-panic"
    else:
        message, code = f"the machine ended ({how}) while waiting for {waiting_for}", "guest-ended"
    details = {"console": "\n".join(lines[-_SHOWN_LINES:]), "end": how}
    return GuestError(
        message, code=code, hint="--json shows the end of its console in details.console", details=details
    )


async def _silent(vmm: Vmm, deadline_seconds: float | None, waiting_for: str) -> GuestError:
    lines = await _console(vmm)
    said = f"; its console ends with: {lines[-1]}" if lines else "; its console is empty"
    return GuestError(
        f"no answer within {deadline_seconds:g} s while waiting for {waiting_for}{said}",
        code="guest-silent",
        hint="on a very busy host raise PYRO_BOOT_TIMEOUT_SECONDS; `pyro doctor --boot` tries a plain boot",
        details={"console": "\n".join(lines[-_SHOWN_LINES:])},
    )


async def _console(vmm: Vmm) -> list[str]:
    """The console's lines, made printable; none where even that cannot be had any more."""
    try:
        async with asyncio.timeout(_CONSOLE_SECONDS):
            text = await vmm.console()
    except (TimeoutError, VmmError):
        return []
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    return [printable(line) for line in lines if line]
