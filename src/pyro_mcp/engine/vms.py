"""VMs by id: created, asked about, given a command, expired. One-shot runs are made of the same verbs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from pyro_mcp._version import __version__
from pyro_mcp.engine.environments import Environments
from pyro_mcp.engine.lifecycle import Lifecycle
from pyro_mcp.engine.live import Execution
from pyro_mcp.engine.networks import Networks
from pyro_mcp.engine.payloads import start_payload, vm_payload
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.vmms import Vmms
from pyro_mcp.errors import ConflictError, HostError, NotFoundError
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.payloads import DeletePayload, NetworkPayload, ReapPayload, StartPayload, VmPayload
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.model.requests import MachineRequest, new_vm_id, require_vm_id
from pyro_mcp.net.namespace import require_tools as require_network_tools
from pyro_mcp.state.commands import CommandTable
from pyro_mcp.state.machines import MachineTable

_LAST_STARTS = 10


class Vms:
    def __init__(
        self,
        table: MachineTable,
        commands: CommandTable,
        environments: Environments,
        lifecycle: Lifecycle,
        vmms: Vmms,
        networks: Networks,
        *,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called whenever the set of VMs or a deadline changed; it must be quick."""
        self._table = table
        self._commands = commands
        self._environments = environments
        self._lifecycle = lifecycle
        self._vmms = vmms
        self._networks = networks
        self._on_change = on_change

    @property
    def running_count(self) -> int:
        return self._lifecycle.running_count

    async def create(
        self,
        request: MachineRequest,
        sink: Sink,
        *,
        vmm: str,
        require_isolation: Isolation | None,
        ephemeral: bool = False,
        workspace_id: str | None = None,
    ) -> MachineRecord:
        """Reserve a VM; nothing runs yet. Its time to live starts now. Pulls the environment if it is missing.

        Where no VMM runs and the request allows it, what will run, will run on the host itself: the sink hears why.
        The VM of a workspace lives and dies with that: none of the other verbs here knows it.
        """
        if request.network:
            require_network_tools()
        compat = request.allow_host_compat
        choice = await self._vmms.choose(vmm, require_isolation, None, allow_host_compat=compat)
        digest = ""
        if choice.driver.info.on_host:
            self._environments.require(request.environment)
        else:
            environment = await self._environments.ensure(request.environment, sink)
            choice = await self._vmms.choose(vmm, require_isolation, environment, allow_host_compat=compat)
            digest = environment.digest
        if choice.no_vmm:
            await sink.event({"event": "host_compat", "reason": choice.no_vmm})
        info = choice.driver.info
        now = time.time()
        record = self._table.insert(
            MachineRecord(
                slot=0,
                vm_id=new_vm_id(),
                state=MachineState.CREATED,
                ephemeral=ephemeral,
                environment=request.environment,
                environment_version=__version__,
                environment_digest=digest,
                vcpu_count=request.vcpu_count,
                mem_mib=request.mem_mib,
                ttl_seconds=request.ttl_seconds,
                network=request.network,
                allowed=request.allowed,
                allow_host_compat=compat,
                workspace_id=workspace_id,
                driver=info.name,
                isolation=info.isolation,
                execution_mode=info.execution_mode,
                created_at=now,
                expires_at=now + request.ttl_seconds,
            )
        )
        self._on_change()
        return record

    async def start(self, vm_id: str) -> VmPayload:
        """Boot a created or stopped VM. A start that fails leaves the VM stopped and nothing running."""
        self._require_own(vm_id)
        await self._lifecycle.start(vm_id)
        return self.status(vm_id)

    async def stop(self, vm_id: str) -> VmPayload:
        """Shut the guest down; its disk stays until the VM is deleted or expires. Idempotent."""
        self._require_own(vm_id)
        await self._lifecycle.stop(vm_id, EndReason.EXPLICIT_STOP)
        return self.status(vm_id)

    async def delete(self, vm_id: str, *, reason: EndReason = EndReason.EXPLICIT_DELETE) -> DeletePayload:
        """End the VM, whatever it is doing, and delete all of it. Goes on to its end also if the caller leaves."""
        self._require_own(vm_id)
        counted = await self._lifecycle.delete(vm_id, reason)
        return {"vm_id": vm_id, "deleted": True, "reason": counted.value}

    async def reap_expired(self) -> ReapPayload:
        """Delete every VM whose time is over, and finish deletions that failed. Raises the first failure, after all."""
        now = time.time()
        records = [record for record in self._table.live() if record.state is not MachineState.DELETING]
        due = [record.vm_id for record in records if record.expires_at <= now and record.workspace_id is None]
        failures: list[Exception] = []
        for vm_id in (*due, *self._lifecycle.unfinished()):
            try:
                await self._lifecycle.delete(vm_id, EndReason.TTL_EXPIRED)
            except NotFoundError:
                continue  # somebody else was quicker
            except (HostError, OSError) as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return {"count": len(due), "vm_ids": due}

    def next_expiry(self) -> float | None:
        """When there is something to reap next (seconds since the epoch), if ever."""
        if self._lifecycle.unfinished():
            return 0.0
        return min((record.expires_at for record in self._table.live() if record.workspace_id is None), default=None)

    def find(self, vm_id: object) -> MachineRecord:
        """The record of a VM that is there. Raises NotFoundError `vm-not-found`, or `vm-expired` where that is why."""
        self._require_own(vm_id)
        return self._lifecycle.find(vm_id)

    def _require_own(self, vm_id: object) -> None:
        record = self._table.find(require_vm_id(vm_id))
        if record is not None and record.workspace_id is not None:
            raise NotFoundError(
                f"{vm_id} is the machine of workspace {record.workspace_id}",
                code="vm-not-found",
                hint=f"use the workspace commands with {record.workspace_id}",
            )

    def status(self, vm_id: str) -> VmPayload:
        return self.payload(self.find(vm_id))

    def payload(self, record: MachineRecord) -> VmPayload:
        return vm_payload(record, self._commands.of(record.vm_id))

    def last_starts(self) -> list[StartPayload]:
        """The last ten, latest first."""
        return [start_payload(record) for record in self._table.started(_LAST_STARTS)]

    async def network_info(self, vm_id: str) -> NetworkPayload:
        record = self.find(vm_id)
        return await self._networks.info(record, self._lifecycle.live(vm_id).machine)

    def why_gone(self, vm_id: str) -> NotFoundError | None:
        """The reason why a VM that was there a moment ago is not any more; None if it still is."""
        return self._lifecycle.why_gone(vm_id)

    @contextlib.contextmanager
    def executing(self, vm_id: str, command: str) -> Iterator[Execution]:
        """A VM's machine for a command, which is noted before it begins. Raises ConflictError while another runs."""
        self.find(vm_id)
        live = self._lifecycle.live(vm_id)
        if live.executing or live.machine is None:
            raise ConflictError(f"VM {vm_id} is busy with its command", hint="a VM runs one command; create another VM")
        live.executing = True
        execution = Execution(live.machine)
        sequence = self._commands.begin(vm_id, command, now=time.time())
        try:
            yield execution
        finally:
            live.executing = False
            self._commands.end(sequence, exit_code=execution.exit_code, now=time.time())
