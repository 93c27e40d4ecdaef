"""From a record to a machine that can be started, and from what a lost daemon left to nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from pyro_mcp.disk.clone import clone
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.templates import Templates
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.workspace_images import WorkspaceImages
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import NotFoundError, PyroError
from pyro_mcp.host import bundle, probe, process, strays
from pyro_mcp.host.addresses import HostAddresses
from pyro_mcp.host.files import Verified
from pyro_mcp.machines.directory import remove_directory
from pyro_mcp.machines.machine import Machine, TemplateError
from pyro_mcp.machines.plan import LASTING, SCRATCH, MachinePlan, NetworkPlan, WorkspaceDisks
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.record import MachineRecord
from pyro_mcp.model.requests import MachineRequest
from pyro_mcp.state.machines import MachineTable
from pyro_mcp.vmm.driver import Driver
from pyro_mcp.vmm.registry import named

SCRATCH_BYTES = 16 << 30
"""Virtual size of a guest's writable disk; on the host it takes what the guest wrote."""


JAIL_UID_BASE = 0x7000_0000
"""First of the 65,536 uids that VMMs become under root: above all ranges that systemd documents as in use."""

TRIAL_UID = JAIL_UID_BASE + 0x1_0000
TEMPLATE_UID = TRIAL_UID + 1
HELPER_UID = TRIAL_UID + 2
"""Those of VMMs that are nobody's machine, behind all others."""

_GUEST = "bin/pyro-guest"

_log = logging.getLogger(__name__)


class Launchpad:
    def __init__(
        self,
        settings: Settings,
        table: MachineTable,
        store: Store,
        addresses: HostAddresses,
        workspace_secrets: Secrets,
    ) -> None:
        self._settings = settings
        self._table = table
        self._store = store
        self._addresses = addresses
        self._secrets = workspace_secrets
        self._verified = Verified()
        self.workspaces = WorkspaceImages(settings.state_dir, self._verified)
        self.templates = Templates(
            store.shelf, settings.state_dir / "machines", uid=TEMPLATE_UID if os.geteuid() == 0 else None
        )

    async def plan(self, record: MachineRecord, resources: ExitStack) -> MachinePlan:
        """Everything a start of `record` needs; what must be held while it runs is entered into `resources`."""
        return await self._with_template(await in_thread(lambda: self._plan(record, resources)))

    async def launch(self, plan: MachinePlan) -> Machine:
        """Start the machine of `plan`: from its template if there is one that is good, else cold. Raises PyroError."""
        machine = await self._launch(plan)
        await self.keep_true(plan, machine)
        return machine

    async def keep_true(self, plan: MachinePlan, machine: Machine) -> None:
        """Tell the network of `machine`, which runs now, what has become of this host's addresses since its `plan`.

        Only machines that run are told of a change. One that cannot be told is cut off.
        """
        if plan.network is None or machine.cable is None:
            return
        told = plan.network.host
        try:
            while (now := await asyncio.to_thread(self._addresses.get)) != told:
                await machine.cable.set_host(now)
                told = now
        except (PyroError, OSError) as error:
            await machine.cable.cut_off(error)

    async def _launch(self, plan: MachinePlan) -> Machine:
        if plan.template is None:
            return await Machine.start(plan)
        try:
            machine = await Machine.start(plan)
        except TemplateError as error:
            _log.warning("VM %s boots cold: %s", plan.vm_id, error)
            await self.templates.failed(plan.template)
            return await Machine.start(replace(plan, template=None))
        self.templates.worked(plan.template)
        return machine

    async def prepare(self, environment: InstalledEnvironment, driver: Driver) -> None:
        """Have the templates for usual machines of `environment` ready, with a workspace and without.

        Raises PyroError where nothing can start.
        """
        if not self._restores(driver):
            return
        usual = MachineRequest(environment.name)
        with ExitStack() as resources:
            plan = await in_thread(
                lambda: self._guest_plan(environment, driver, usual.vcpu_count, usual.mem_mib, resources)
            )
            await self.templates.get(plan)
            await self.templates.get(replace(plan, workspace=await in_thread(self._empty_workspace)))

    @asynccontextmanager
    async def helper(self, record: MachineRecord, *, image: Path | None = None) -> AsyncIterator[Machine]:
        """A machine with copies of a stopped one's disks, to look at what is on them; nothing of it stays.

        `image` is a disk for it to write to. Raises PyroError.
        """
        directory = self.directory(f"helper-{secrets.token_hex(6)}")
        try:
            with ExitStack() as resources:
                plan = await in_thread(lambda: self._plan(record, resources))
                await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True)
                for name in LASTING:
                    await in_thread(lambda name=name: clone(plan.directory / name, directory / name))  # type: ignore[misc]
                private = replace(
                    plan,
                    directory=directory,
                    uid=HELPER_UID if os.geteuid() == 0 else None,
                    on_process=lambda _: None,
                    running=None,
                    network=None,
                    secrets=None,
                    image=image,
                )
                machine = await self.launch(private if image is not None else await self._with_template(private))
                try:
                    yield machine
                finally:
                    await asyncio.shield(machine.destroy())
        finally:
            await asyncio.shield(remove_directory(directory))

    def rootfs(self, record: MachineRecord) -> Path:
        """The image that a machine's root is based on. Raises NotFoundError where it is gone."""
        return self._environment(record).rootfs

    async def _with_template(self, plan: MachinePlan) -> MachinePlan:
        """`plan`, restored where it can be."""
        if plan.running is not None or not self._restores(plan.driver):
            return plan
        return replace(plan, template=await self.templates.get(plan))

    def _restores(self, driver: Driver) -> bool:
        if driver.info.on_host or self._settings.templates == "off":
            return False
        # Firecracker's restored machines are new here; docs/adr/0021 says what was seen of them.
        return self._settings.templates == "on" or driver.info.isolation is Isolation.EMULATED

    def _plan(self, record: MachineRecord, resources: ExitStack) -> MachinePlan:
        driver = named(record.driver, self._settings.firecracker_binary)
        if driver.info.on_host:
            self._verify_guest_binary()
            return self._host_plan(record, driver)
        directory = self.directory(record.vm_id)
        return replace(
            self._guest_plan(self._environment(record), driver, record.vcpu_count, record.mem_mib, resources),
            vm_id=record.vm_id,
            directory=directory,
            kept=(directory / SCRATCH).exists(),
            uid=JAIL_UID_BASE + record.slot % 0x1_0000 if os.geteuid() == 0 else None,
            on_process=lambda identity: self._table.set_process(record.vm_id, identity),
            running=record.process,
            workspace=self._workspace_disks(record.workspace_id) if record.workspace_id else None,
            network=NetworkPlan(record.allowed, self._addresses.get()) if record.network else None,
            secrets=self._values(record.workspace_id),
        )

    def _environment(self, record: MachineRecord) -> InstalledEnvironment:
        environment = self._store.resolve(record.environment)
        if environment is None or environment.digest != record.environment_digest:
            raise NotFoundError(
                f"the environment {record.environment} that VM {record.vm_id} was created with is gone",
                code="environment-not-installed",
                hint="delete this VM and create another",
            )
        return environment

    def _values(self, workspace_id: str | None) -> Callable[[], Mapping[str, str]] | None:
        """How to get the secret values that a machine of this workspace is given; None where there are none."""
        if workspace_id is None or not self._secrets.has(workspace_id):
            return None
        return lambda: self._secrets.values(workspace_id)

    def _workspace_disks(self, workspace_id: str) -> WorkspaceDisks:
        return WorkspaceDisks(
            baseline=self.workspaces.baseline(workspace_id),
            blank=self.workspaces.blank(),
            empty=self.workspaces.empty(),
        )

    def _guest_plan(
        self,
        environment: InstalledEnvironment,
        driver: Driver,
        vcpu_count: int,
        mem_mib: int,
        resources: ExitStack,
    ) -> MachinePlan:
        """A machine that is nobody's yet; what must be held while it runs is entered into `resources`."""
        guest = self._settings.guest_binary
        self._verify_guest_binary()
        resources.enter_context(self._store.lease(environment))
        return MachinePlan(
            vm_id="",
            directory=self.directory(""),
            uid=None,
            driver=driver,
            environment=self._store.with_kernel(environment, driver.info.kernel_format),
            initramfs=self._store.initramfs(environment, guest),
            blank_scratch=self._blank(),
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            tsc_khz=probe.tsc_khz(guest, cache=self._settings.environment_cache_dir / "tsc.json"),
            boot_timeout_seconds=self._settings.boot_timeout_seconds,
            on_process=lambda _: None,
        )

    def _verify_guest_binary(self) -> None:
        bundle_dir = self._settings.bundle_dir / BUNDLE_PLATFORM
        self._verified.check(self._settings.guest_binary, lambda: bundle.verify(bundle_dir, _GUEST))

    def _empty_workspace(self) -> WorkspaceDisks:
        empty = self.workspaces.empty()
        return WorkspaceDisks(baseline=empty, blank=self.workspaces.blank(), empty=empty)

    def _host_plan(self, record: MachineRecord, driver: Driver) -> MachinePlan:
        return MachinePlan(
            vm_id=record.vm_id,
            directory=self.directory(record.vm_id),
            uid=None,
            driver=driver,
            environment=None,
            initramfs=self._settings.guest_binary,
            blank_scratch=None,
            vcpu_count=record.vcpu_count,
            mem_mib=record.mem_mib,
            tsc_khz=0,
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
        if record.isolation is Isolation.NONE:
            directory = self.directory(record.vm_id)
            await strays.end_marked(directory.parent, lambda name: name == directory.name)
        if record.process is not None:
            await process.kill_and_wait(record.process)
        await remove_directory(self.directory(record.vm_id))

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
        directory; what runs on the host itself by a marker in its environment, or by its parents.
        """
        machines = (self._settings.state_dir / "machines").resolve()
        await strays.end_marked(machines, lambda name: name not in spare)
        for identity, log in (await asyncio.to_thread(process.with_output_beneath, machines)).items():
            if log.parent.name not in spare:
                _log.warning("ending process %d of %s", identity.pid, log.parent.name)
                await process.kill_and_wait(identity)
        known = {record.vm_id for record in self._table.live()}
        for directory in machines.iterdir() if machines.is_dir() else ():
            if directory.name not in known:
                await remove_directory(directory)

    def directory(self, vm_id: str) -> Path:
        """Where a machine lives on this host."""
        return self._settings.state_dir / "machines" / vm_id
