"""The engine: everything a daemon needs to serve one state directory, put together once."""

from __future__ import annotations

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
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.snapshots import Snapshots
from pyro_mcp.engine.transfers import Transfers
from pyro_mcp.engine.vmms import Vmms
from pyro_mcp.engine.vms import Vms
from pyro_mcp.engine.workspace_payloads import workspace_payload
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import PyroError
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
from pyro_mcp.state.workspaces import SnapshotTable, WorkspaceTable

_log = logging.getLogger(__name__)


class Engine:
    def __init__(self, settings: Settings, *, on_change: Callable[[], None]) -> None:
        """Open the state. `on_change` is called whenever the set of VMs or a deadline changed. Raises HostError."""
        self.settings = settings
        self._database = Database(settings.state_dir / "state.sqlite3")
        self._table = MachineTable(self._database)
        store = Store(settings.environment_cache_dir)
        self._launchpad = Launchpad(settings, self._table, store)
        self.environments = Environments(store)
        self._commands = CommandTable(self._database)
        self._lifecycle = Lifecycle(self._table, self._launchpad, on_change=on_change)
        self._vmms = Vmms(settings, store)
        self.vms = Vms(self._table, self._commands, self.environments, self._lifecycle, self._vmms, on_change=on_change)
        self._history = HistoryTable(self._database)
        snapshots = SnapshotTable(self._database)
        self.workspaces = Workspaces(
            WorkspaceTable(self._database),
            snapshots,
            self._table,
            self.vms,
            self._lifecycle,
            self._launchpad.workspaces,
            on_change=on_change,
        )
        self.executions = Executions(self.workspaces, self._history)
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

    def workspace(self, workspace_id: object) -> WorkspacePayload:
        return self._workspace(self.workspaces.find(workspace_id))

    def list_workspaces(self) -> WorkspaceListPayload:
        payloads = [self._workspace(record) for record in self.workspaces.all()]
        return {"count": len(payloads), "workspaces": payloads}

    def _workspace(self, record: WorkspaceRecord) -> WorkspacePayload:
        return workspace_payload(
            record,
            self.workspaces.machine_record(record),
            command_count=self._history.count(record.workspace_id),
            last=self._history.last(record.workspace_id),
        )

    async def close(self) -> None:
        """End every machine and close the state."""
        await self._launchpad.templates.close()
        await self._lifecycle.shut_down()
        self._database.close()
