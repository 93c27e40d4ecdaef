"""A machine restored with nothing around it: no daemon, no jail, no command line. The floor of what pyro can reach."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pyro_mcp.agent.channel import SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.messages import Exited, Output
from pyro_mcp.config import Settings
from pyro_mcp.engine.launchpad import JAIL_UID_BASE
from pyro_mcp.environments.store import Store
from pyro_mcp.environments.templates import Template
from pyro_mcp.errors import PyroError, VmmError
from pyro_mcp.host import probe, process
from pyro_mcp.machines.log import Log
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.vmm.driver import Saved, VmmPlan
from pyro_mcp.vmm.qemu.driver import QemuDriver

MEM_MIB = 1024
_SECONDS = 60.0


class Bare:
    """A launcher that only starts the process, among links to the files that a jail would have shown it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = Log(directory / "vmm.log")

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        for bind in plan.binds:
            if bind.target.startswith("/vm/"):
                (self._directory / Path(bind.target).name).symlink_to(bind.source)
        argv = ("env", f"--chdir={self._directory}", *plan.argv)
        child = process.spawn_detached(argv, output=self._log.make(), inherit=inherited)
        self._log.follow()
        return child.identity

    def explain(self, failure: VmmError) -> PyroError:
        return VmmError(f"{failure.message}: {self._log.text()}", code=failure.code)

    def process_log(self) -> str:
        return self._log.text()

    async def printed(self, text: str) -> None:
        await self._log.printed(text)


def default_template() -> Template:
    """The template of a machine as `pyro run debian:12` gets it here, which must have been made."""
    shelf = Store(Settings.from_environment().environment_cache_dir).shelf
    places = sorted(shelf.places(), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in places:
        made_of = json.loads((place / "manifest.json").read_text())["ingredients"]
        kind = made_of["vmm"], made_of["vcpu_count"], made_of["mem_mib"], made_of.get("mounted")
        if kind == ("qemu", 1, MEM_MIB, True) and "disk2" not in str(made_of["vmm_arguments"]):  # not a workspace's
            template = shelf.load(place.name)
            assert template is not None
            return template
    raise AssertionError("run a machine first")


def seconds_to_first_command(template: Template) -> float:
    """From the start of QEMU's process to the end of `true` in the restored guest."""
    with tempfile.TemporaryDirectory(prefix="pyro-bare-") as directory:
        return asyncio.run(_restore(template, Path(directory)))


async def _restore(template: Template, directory: Path) -> float:
    plan = machine_plan(template, directory)
    await asyncio.to_thread(template.scratch.copy_to, plan.scratch)  # 16 GiB, nearly all of it holes
    saved = Saved(template.memory.descriptor, template.state.descriptor)
    started = time.perf_counter()
    vmm = await plan.driver.restore(plan.spec, directory, Bare(directory), saved)
    agent = GuestAgent(SerialConnector(vmm.endpoint.path, deadline_seconds=_SECONDS))
    try:
        await said(agent, "true")
        return time.perf_counter() - started
    finally:
        await agent.close()
        await vmm.stop()


def machine_plan(template: Template | None, directory: Path) -> MachinePlan:
    """A machine that is restored from `template`, or to be booted, with nobody to look after it."""
    settings = Settings.from_environment()
    store = Store(settings.environment_cache_dir)
    environment = store.resolve("debian:12")
    assert environment is not None
    return MachinePlan(
        vm_id="vm-000000000000",
        directory=directory,
        uid=JAIL_UID_BASE if os.geteuid() == 0 else None,
        driver=QemuDriver(),
        environment=environment,
        initramfs=store.initramfs(environment, settings.guest_binary),
        blank_scratch=None,
        vcpu_count=1,
        mem_mib=MEM_MIB,
        tsc_khz=probe.tsc_khz(settings.guest_binary, cache=settings.environment_cache_dir / "tsc.json"),
        boot_timeout_seconds=_SECONDS,
        on_process=lambda _: None,
        template=template,
    )


async def said(agent: GuestAgent, *argv: str) -> str:
    """The output of a command that succeeds."""
    output = b""
    async with agent.exec(argv, env={}, cwd="/", timeout_ms=60_000) as events:
        async for event in events:
            if isinstance(event, Output):
                output += event.data
            elif isinstance(event, Exited):
                assert event.exit_code == 0, output
    return output.decode()
