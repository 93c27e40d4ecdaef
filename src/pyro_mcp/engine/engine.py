"""The engine: everything a daemon needs to serve one state directory, put together once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from pyro_mcp.config import Settings
from pyro_mcp.engine.disks import Disks
from pyro_mcp.engine.environments import Environments, progress_payload
from pyro_mcp.engine.executions import Executions
from pyro_mcp.engine.files import Files
from pyro_mcp.engine.launchpad import Launchpad
from pyro_mcp.engine.lifecycle import Lifecycle
from pyro_mcp.engine.networks import Networks
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.services import Services
from pyro_mcp.engine.shells import Shells
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.snapshots import Snapshots
from pyro_mcp.engine.transfers import Transfers
from pyro_mcp.engine.vmms import Vmms
from pyro_mcp.engine.vms import Vms
from pyro_mcp.engine.workspace_payloads import workspace_payload
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import NotFoundError, PyroError
from pyro_mcp.model.environment import Progress
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.payloads import EnvironmentPayload
from pyro_mcp.model.record import EndReason, MachineState
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.model.workspace_payloads import WorkspaceListPayload, WorkspacePayload
from pyro_mcp.state.commands import CommandTable
from pyro_mcp.state.database import Database
from pyro_mcp.state.history import HistoryTable
from pyro_mcp.state.machines import MachineTable
from pyro_mcp.state.services import ServiceTable
from pyro_mcp.state.workspaces import SnapshotTable, WorkspaceTable

_log = logging.getLogger(__name__)


class Engine:
    def __init__(self, settings: Settings, *, on_change: Callable[[], None]) -> None:
        """Open the state. `on_change` is called whenever the set of VMs or a deadline changed. Raises HostError."""
        self.settings = settings
        self._database = Database(settings.state_dir / "state.sqlite3")
        self._table = MachineTable(self._database)
        store = Store(settings.environment_cache_dir)
        self._networks = Networks(lambda: self._lifecycle.machines())
        workspaces = WorkspaceTable(self._database)
        self.secrets = Secrets(workspaces, settings.state_dir / "workspaces")
        self._launchpad = Launchpad(settings, self._table, store, self._networks.addresses, self.secrets)
        self.environments = Environments(store)
        self._commands = CommandTable(self._database)
        self._lifecycle = Lifecycle(self._table, self._launchpad, on_change=on_change)
        self._vmms = Vmms(settings, store)
        self.vms = Vms(
            self._table,
            self._commands,
            self.environments,
            self._lifecycle,
            self._vmms,
            self._networks,
            on_change=on_change,
        )
        self._history = HistoryTable(self._database)
        snapshots = SnapshotTable(self._database)
        self.workspaces = Workspaces(
            workspaces,
            snapshots,
            self._table,
            self.vms,
            self._lifecycle,
            self._launchpad.workspaces,
            self.secrets,
            on_change=on_change,
        )
        self.executions = Executions(self.workspaces, self._history, self.secrets)
        self.shells = Shells(self.workspaces, self.secrets)
        self.services = Services(ServiceTable(self._database), self.workspaces, self.secrets)
        self.workspaces.on_stopping = self.services.note_stop
        self.files = Files(self.workspaces)
        self.transfers = Transfers(self.workspaces)
        self.disks = Disks(self.workspaces, self._launchpad)
        self.snapshots = Snapshots(snapshots, self.workspaces, self.files)

    async def pull(self, name: str, sink: Sink, *, vmm: str, require_isolation: Isolation | None) -> EnvironmentPayload:
        """Install an environment unless it is; a damaged one is made anew. Its first machine then starts quickly, too.

        Where no VMM can be used nothing is prepared, which is no error here.
        """
        environment = await self.environments.install(name, sink)
        if self.settings.templates != "off":
            step = Progress("template", 0, 0, "steps")
            await sink.event({"event": "progress", "environment": name, **progress_payload(step)})
            try:
                choice = await self._vmms.choose(vmm, require_isolation, environment)
                await self._launchpad.prepare(environment, choice.driver)
            except PyroError as error:
                _log.warning("no template for %s: %s", name, error)
        return self.environments.payload(environment)

    async def recover(self) -> None:
        """Take over the machines that an earlier daemon left running; nothing else of it stays.

        Its one-shot machines go: nobody waits for them any more. So does a machine whose start it did not finish.
        """
        self.secrets.load()
        self._networks.watch()
        self._commands.interrupt_running(now=time.time())
        self._history.interrupt_running(now=time.time())
        records = self._table.live()
        running = [record for record in records if record.state is MachineState.RUNNING and not record.ephemeral]
        await self._launchpad.end_strays(spare={record.vm_id for record in running})
        for record in records:
            if record.ephemeral or record.state is MachineState.DELETING:
                await self._lifecycle.delete(record.vm_id, EndReason.DAEMON_LOST)
            elif record in running:
                await self._lifecycle.adopt(record)
            elif record.state is MachineState.STARTING:
                await self._lifecycle.give_up(record, EndReason.DAEMON_LOST)
        await self.workspaces.recover()
        await self.services.recover()

    @property
    def busy(self) -> bool:
        """Whether anything runs, or will have to be deleted some time."""
        return self.vms.running_count > 0 or self.next_expiry() is not None

    def next_expiry(self) -> float | None:
        """When there is something to reap next (seconds since the epoch), if ever."""
        expiries = (self.vms.next_expiry(), self.workspaces.next_expiry())
        return min((expiry for expiry in expiries if expiry is not None), default=None)

    async def reap_expired(self) -> list[str]:
        """Delete what has outlived its time; the ids of it."""
        reaped = await self.vms.reap_expired()
        return [*reaped["vm_ids"], *await self.workspaces.reap_expired()]

    async def workspace(self, workspace_id: object) -> WorkspacePayload:
        return await self._workspace(self.workspaces.find(workspace_id))

    async def list_workspaces(self) -> WorkspaceListPayload:
        asked = (self._workspace(record) for record in self.workspaces.all())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        payloads = []
        for answer in answers:
            if not isinstance(answer, BaseException):
                payloads.append(answer)
            elif not isinstance(answer, NotFoundError):  # one that went meanwhile is in no list
                raise answer
        return {"count": len(payloads), "workspaces": payloads}

    async def _workspace(self, record: WorkspaceRecord) -> WorkspacePayload:
        running = self._lifecycle.live(record.vm_id).machine if record.vm_id else None
        network = await self._networks.status(record.network_policy, record.allowed, running)
        record = self.workspaces.find(record.workspace_id)
        return workspace_payload(
            record,
            self.workspaces.machine_record(record),
            command_count=self._history.count(record.workspace_id),
            last=self._history.last(record.workspace_id),
            network=network,
            services=self.services.counts(record.workspace_id),
        )

    async def close(self) -> None:
        """End every machine and close the state."""
        await self.services.close()
        await self._launchpad.templates.close()
        await self._lifecycle.shut_down()
        await self._networks.close()
        self._database.close()
