"""Does a VMM run guests here? Found out by booting one: a device node, and even a VMM that starts, prove nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.errors import GuestError, VmmError
from pyro_mcp.machines.directory import remove_directory
from pyro_mcp.machines.ending import guard
from pyro_mcp.machines.jail import Jail
from pyro_mcp.machines.steps import connector
from pyro_mcp.model.machine import MachineSpec
from pyro_mcp.vmm.driver import Driver, Vmm

TRIAL_SECONDS = 10.0


async def try_boot(
    driver: Driver, spec: MachineSpec, directory: Path, *, uid: int | None, patience_seconds: float
) -> None:
    """Boot `spec`, which needs no disks, until its agent answers; nothing of it is left.

    That takes ten seconds at most, unless the guest has begun to print: then it runs, if slowly, and gets
    `patience_seconds` more. `directory` is made for it; `uid` as for a MachinePlan. Raises VmmError, GuestError,
    HostError if no guest answers.
    """
    end = time.monotonic() + TRIAL_SECONDS
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True)
    jail = Jail(directory, uid=uid, on_process=lambda _: None)
    try:
        vmm = await _boot(driver, spec, directory, jail)
        agent = GuestAgent(connector(vmm.endpoint, deadline_seconds=TRIAL_SECONDS + patience_seconds))
        try:
            await _answer(vmm, agent, round(end - time.monotonic(), 1), patience_seconds)
        finally:
            await agent.close()
            await vmm.stop()
    finally:
        jail.close()
        await remove_directory(directory)


async def _boot(driver: Driver, spec: MachineSpec, directory: Path, jail: Jail) -> Vmm:
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            return await driver.boot(spec, directory, jail)
    except TimeoutError as error:
        text = f"{driver.info.name} started nothing within {TRIAL_SECONDS:g} s"
        raise jail.explain(VmmError(text, code="vmm-silent")) from error


async def _answer(vmm: Vmm, agent: GuestAgent, seconds: float, patience_seconds: float) -> None:
    hello = asyncio.create_task(agent.hello())

    async def answer() -> object:
        return await asyncio.shield(hello)

    try:
        try:
            await guard(vmm, answer(), deadline_seconds=seconds, waiting_for="the guest's agent")
        except GuestError as error:
            if error.code != "guest-silent" or not error.details.get("console"):
                raise
            await guard(vmm, answer(), deadline_seconds=patience_seconds, waiting_for="the guest's agent")
    finally:
        hello.cancel()
        await asyncio.gather(hello, return_exceptions=True)
