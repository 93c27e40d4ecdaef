"""From a record to a machine that can be started, and from what a lost daemon left to nothing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import NotFoundError
from pyro_mcp.host import bundle, probe, process
from pyro_mcp.host.files import Verified
from pyro_mcp.machines.steps import MachinePlan, remove_directory
from pyro_mcp.model.record import MachineRecord
from pyro_mcp.state.machines import MachineTable
from pyro_mcp.vmm.driver import Driver
from pyro_mcp.vmm.registry import drivers

SCRATCH_BYTES = 16 << 30
"""Virtual size of a guest's writable disk; on the host it takes what the guest wrote."""

JAIL_UID_BASE = 0x7000_0000
"""First of the 65,536 uids that VMMs become under root: above all ranges that systemd documents as in use."""

_GUEST = "bin/pyro-guest"

_log = logging.getLogger(__name__)


class Launchpad:
    def __init__(self, settings: Settings, table: MachineTable, store: Store) -> None:
        self._settings = settings
        self._table = table
        self._store = store
        self._verified = Verified()

    async def plan(self, record: MachineRecord, resources: ExitStack) -> MachinePlan:
        """Everything a start of `record` needs; what must be held while it runs is entered into `resources`."""
        planning = asyncio.create_task(asyncio.to_thread(self._plan, record, resources))
        try:
            return await asyncio.shield(planning)
        except asyncio.CancelledError:
            # A thread cannot be cancelled. What it takes hold of must be in `resources` before our caller lets go.
            await asyncio.wait({planning})
            raise

    def _plan(self, record: MachineRecord, resources: ExitStack) -> MachinePlan:
        guest = self._settings.guest_binary
        self._verified.check(guest, lambda: bundle.verify(self._settings.bundle_dir / BUNDLE_PLATFORM, _GUEST))
        environment = self._store.resolve(record.environment)
        if environment is None or environment.digest != record.environment_digest:
            raise NotFoundError(
                f"the environment {record.environment} that VM {record.vm_id} was created with is gone",
                code="environment-not-installed",
                hint="delete this VM and create another",
            )
        resources.enter_context(self._store.lease(environment))
        driver = self._driver(record.driver)
        return MachinePlan(
            vm_id=record.vm_id,
            directory=self._directory(record.vm_id),
            uid=JAIL_UID_BASE + record.slot % 0x1_0000 if os.geteuid() == 0 else None,
            driver=driver,
            environment=self._store.with_kernel(environment, driver.info.kernel_format),
            initramfs=self._store.initramfs(environment, guest),
            blank_scratch=self._blank(),
            vcpu_count=record.vcpu_count,
            mem_mib=record.mem_mib,
            tsc_khz=probe.tsc_khz(guest, cache=self._settings.state_dir / "tsc.json"),
            boot_timeout_seconds=self._settings.boot_timeout_seconds,
            on_process=lambda identity: self._table.set_process(record.vm_id, identity),
            running=record.process,
        )

    def _blank(self) -> Path:
        """The formatted disk that scratch disks are copies of: made once per daemon, and again if it was touched."""
        path = self._settings.state_dir / "blank.ext4"
        self._verified.check(path, lambda: blank(path, SCRATCH_BYTES))
        return path

    async def remove_leftovers(self, record: MachineRecord) -> None:
        """End and delete whatever there still is of a machine; most often nothing."""
        if record.process is not None:
            await process.kill_and_wait(record.process)
        await remove_directory(self._directory(record.vm_id))

    async def end_machine(self, record: MachineRecord) -> None:
        """Kill whatever still runs of one machine: the process its record names, and what the host shows of it."""
        if record.process is not None:
            await process.kill_and_wait(record.process)
        others = {other.vm_id for other in self._table.live()} - {record.vm_id}
        await self.end_strays(spare=others)

    async def end_strays(self, *, spare: Collection[str]) -> None:
        """Kill every process that lives in a machine directory, those of VMs in `spare` aside; drop what has no record.

        Works from what the host shows, not from records: a daemon killed between starting a process and noting it down
        has left no note, and a note may be wrong. A VMM is known by its standard output, the log FIFO in its machine's
        directory.
        """
        machines = (self._settings.state_dir / "machines").resolve()
        for identity, log in (await asyncio.to_thread(process.with_output_beneath, machines)).items():
            if log.parent.name not in spare:
                _log.warning("ending process %d of %s", identity.pid, log.parent.name)
                await process.kill_and_wait(identity)
        known = {record.vm_id for record in self._table.live()}
        for directory in machines.iterdir() if machines.is_dir() else ():
            if directory.name not in known:
                await remove_directory(directory)

    def _driver(self, name: str) -> Driver:
        (driver,) = (known for known in drivers(self._settings.firecracker_binary) if known.info.name == name)
        return driver

    def _directory(self, vm_id: str) -> Path:
        return self._settings.state_dir / "machines" / vm_id
