"""The KVM lab: a machine made of software in which `/dev/kvm` works.

QEMU's software emulation, told to emulate everything (`-cpu max`), emulates AMD's virtualisation too, nested paging
included. A Linux in such a machine has a KVM that runs guests, on hosts that have none. The lab is a machine of pyro's
own: the same driver, jail and agent as any other, with more memory and one disk more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.agent.messages import Exited, Output
from pyro_mcp.config import Settings
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.launchpad import JAIL_UID_BASE, SCRATCH_BYTES
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import VmmError
from pyro_mcp.host import probe
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.machines.steps import COLD_START, RUNNING_PARTS
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import Disk, MachineSpec
from pyro_mcp.vmm.driver import Vmm
from pyro_mcp.vmm.qemu.driver import QemuDriver

MEM_MIB = 4096
# One: with two, emulated virtualisation was seen to stop for good within minutes, both processors busy with interrupts,
# in about every third session. It is not slower, since nearly all that happens in there waits for one guest.
VCPUS = 1
_BOOT_SECONDS = 120.0
_LUGGAGE = "luggage"
_SHOWN = 4000


@dataclass(frozen=True)
class LabPlan(MachinePlan):
    """A machine with one disk more."""

    luggage: Path = field(kw_only=True)

    @property
    def spec(self) -> MachineSpec:
        spec = super().spec
        return replace(spec, disks=(*spec.disks, Disk(_LUGGAGE, self.luggage, read_only=False)))


class Lab:
    """A running lab. The luggage is the device node `luggage` in there."""

    def __init__(self, agent: GuestAgent, vmm: Vmm) -> None:
        self._agent = agent
        self.luggage = vmm.endpoint.devices[_LUGGAGE]

    async def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: str = "/",
        timeout_seconds: int = 60,
        stdin: AsyncIterator[bytes] | None = None,
        on_output: Callable[[bytes], object],
    ) -> int:
        """Run a command as root; its exit status. `on_output` gets what it prints, as it comes."""
        execution = self._agent.exec(
            argv, env=environment or {}, cwd=cwd, timeout_ms=timeout_seconds * 1000, stdin=stdin
        )
        async with execution as events:
            async for event in events:
                if isinstance(event, Output):
                    on_output(event.data)
                elif isinstance(event, Exited):
                    return event.exit_code
        raise AssertionError("an execution ends with its exit")


@asynccontextmanager
async def lab(environment: InstalledEnvironment, luggage: Path, directory: Path) -> AsyncIterator[Lab]:
    """A lab of its own, gone afterwards. `directory` is there and empty; `luggage` becomes the lab's to write.

    An error raised inside carries the end of the lab's console as a note.
    """
    machine = Assembly(await asyncio.to_thread(_plan, environment, luggage, directory))
    await run_steps(machine, COLD_START)
    try:
        yield Lab(machine.connected_agent, machine.running_vmm)
    except BaseException as error:
        with suppress(VmmError):
            error.add_note(f"The lab's console ends with:\n{(await machine.running_vmm.console())[-_SHOWN:]}")
        raise
    finally:
        await undo_steps(machine, RUNNING_PARTS)


def _plan(environment: InstalledEnvironment, luggage: Path, directory: Path) -> LabPlan:
    settings = Settings.from_environment()
    store = Store(settings.environment_cache_dir)
    scratch = directory / "blank.ext4"
    blank(scratch, SCRATCH_BYTES)
    uid = JAIL_UID_BASE if os.geteuid() == 0 else None
    if uid is not None:
        os.chown(luggage, uid, uid)
    return LabPlan(
        vm_id="pyro-lab",
        directory=directory / "vm",
        uid=uid,
        driver=QemuDriver(),
        environment=environment,
        initramfs=store.initramfs(environment, settings.guest_binary),
        blank_scratch=scratch,
        vcpu_count=VCPUS,
        mem_mib=MEM_MIB,
        tsc_khz=probe.tsc_khz(settings.guest_binary, cache=directory / "tsc.json"),
        boot_timeout_seconds=_BOOT_SECONDS,
        on_process=lambda _: None,
        luggage=luggage,
    )
