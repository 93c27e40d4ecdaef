"""Workspaces by id: created, described, stopped and started, reset, expired, deleted.

A workspace has one machine at a time. Everything that changes which, or whether it runs, holds the workspace's lock.
The machine's own record says whether it runs (`engine/lifecycle.py`); here is what outlives it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pyro_mcp._version import __version__
from pyro_mcp.disk.clone import clone
from pyro_mcp.engine.lifecycle import Lifecycle
from pyro_mcp.engine.secrets import Given, Secrets
from pyro_mcp.engine.seeds import make_seed
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.vms import Vms
from pyro_mcp.engine.workspace_images import WorkspaceImages
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError, PyroError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.machines.plan import WORKSPACE_DISK
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.network import NetworkPolicy
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.model.requests import MachineRequest, new_workspace_id, require_workspace_id
from pyro_mcp.model.workspace import BASELINE, Seed, SeedMode, WorkspaceRecord, WorkspaceState
from pyro_mcp.state.machines import MachineTable
from pyro_mcp.state.workspaces import SnapshotTable, WorkspaceTable

_GOING = frozenset({WorkspaceState.DELETING, WorkspaceState.DELETED})
_STAYING = frozenset(WorkspaceState) - _GOING


class Workspaces:
    def __init__(
        self,
        table: WorkspaceTable,
        snapshots: SnapshotTable,
        machines: MachineTable,
        vms: Vms,
        lifecycle: Lifecycle,
        images: WorkspaceImages,
        secrets: Secrets,
        *,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called whenever the set of workspaces or a deadline changed; it must be quick."""
        self._table = table
        self._snapshots = snapshots
        self._machines = machines
        self._vms = vms
        self._lifecycle = lifecycle
        self.images = images
        self._secrets = secrets
        self._on_change = on_change
        self.on_stopping: Callable[[str], None] = lambda _: None
        """Called before a workspace's machine is shut down."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._removals: dict[str, asyncio.Task[None]] = {}

    async def create(
        self,
        request: MachineRequest,
        sink: Sink,
        *,
        policy: NetworkPolicy,
        ttl_seconds: int,
        seed_path: Path | None,
        name: str | None,
        labels: Mapping[str, str],
        secrets: Given,
        vmm: str,
        require_isolation: Isolation | None,
    ) -> WorkspaceRecord:
        """A started workspace, or nothing at all. Pulls the environment if it is missing."""
        now = time.time()
        workspace_id = new_workspace_id()
        self._table.insert(
            WorkspaceRecord(
                workspace_id=workspace_id,
                state=WorkspaceState.CREATING,
                name=name,
                labels=labels,
                environment=request.environment,
                environment_version=__version__,
                vcpu_count=request.vcpu_count,
                mem_mib=request.mem_mib,
                ttl_seconds=ttl_seconds,
                seed=Seed(SeedMode.EMPTY, None),
                created_at=now,
                expires_at=now + ttl_seconds if ttl_seconds else None,
                last_activity_at=now,
                network_policy=policy,
                allowed=request.allowed,
                secrets=tuple(secret.info for secret in secrets.secrets),
            )
        )
        try:
            await self._secrets.store(workspace_id, secrets)
            seed = await self._seed(workspace_id, seed_path, sink)
            machine = await self._new_machine(workspace_id, request, sink, vmm, require_isolation)
            self._table.give_machine(workspace_id, machine.vm_id, seed)
        except BaseException:
            await self._remove(workspace_id, EndReason.START_FAILED)
            raise
        self._on_change()
        return self.find(workspace_id)

    def find(self, workspace_id: object) -> WorkspaceRecord:
        """The record of a workspace that is there. Raises NotFoundError: `workspace-not-found`, `workspace-expired`."""
        record = self._table.find(require_workspace_id(workspace_id))
        if record is None or record.state is WorkspaceState.CREATING:
            raise NotFoundError(f"there is no workspace {workspace_id}", code="workspace-not-found")
        if record.state in _GOING:
            raise gone(record)
        return record

    def machine_record(self, record: WorkspaceRecord) -> MachineRecord:
        """The record of its present machine."""
        machine = self._machines.find(record.vm_id) if record.vm_id else None
        assert machine is not None, "a workspace that is ready has a machine"
        return machine

    def all(self) -> list[WorkspaceRecord]:
        """Oldest first."""
        return [record for record in self._table.live() if record.state is WorkspaceState.READY]

    def describe(self, workspace_id: object, *, name: str | None, labels: Mapping[str, str]) -> None:
        self._table.describe(self.find(workspace_id).workspace_id, name=name, labels=labels)

    def set_life(self, workspace_id: object, ttl_seconds: int) -> None:
        """From now on it lives that long; 0 is for ever."""
        record = self.find(workspace_id)
        expires_at = time.time() + ttl_seconds if ttl_seconds else None
        self._table.set_life(record.workspace_id, ttl_seconds=ttl_seconds, expires_at=expires_at)
        self._on_change()

    def touch(self, workspace_id: str) -> None:
        self._table.touch(workspace_id, now=time.time())

    async def start(self, workspace_id: object) -> None:
        """Boot a stopped one again, with its /workspace and its root. One that runs is left alone."""
        async with self.changing(workspace_id) as record:
            machine = self.machine_record(record)
            if machine.state is not MachineState.RUNNING:
                await self._lifecycle.start(machine.vm_id)
            self.touch(record.workspace_id)

    async def stop(self, workspace_id: object) -> None:
        """Shut its guest down; its disks stay. Idempotent."""
        async with self.changing(workspace_id) as record:
            self.on_stopping(record.workspace_id)
            await self._lifecycle.stop(self.machine_record(record).vm_id, EndReason.EXPLICIT_STOP)
            self.touch(record.workspace_id)

    async def reset(
        self, workspace_id: object, snapshot: str, sink: Sink, *, vmm: str, require_isolation: Isolation | None
    ) -> None:
        """A new machine with /workspace as it was at `snapshot`; the old one goes. If it fails, the old one stays."""
        async with self.changing(workspace_id) as record:
            old = self.machine_record(record)
            source = self.images.blank() if snapshot == BASELINE else self._snapshot(record.workspace_id, snapshot)
            request = MachineRequest(
                record.environment,
                vcpu_count=record.vcpu_count,
                mem_mib=record.mem_mib,
                network=record.network_policy is not NetworkPolicy.OFF,
                allow=[str(entry) for entry in record.allowed],
            )
            new = await self._new_machine(record.workspace_id, request, sink, vmm, require_isolation, disk=source)
            if not self._table.replace_machine(record.workspace_id, new.vm_id, now=time.time()):
                await asyncio.shield(self._lifecycle.delete(new.vm_id, EndReason.START_FAILED))
                raise gone(self._table.find(record.workspace_id) or record)
            await asyncio.shield(self._lifecycle.delete(old.vm_id, EndReason.RESET))

    async def delete(self, workspace_id: object, reason: EndReason) -> EndReason:
        """End and delete all of it, whatever it is doing; returns the reason that counts, the first given."""
        record = self._table.find(require_workspace_id(workspace_id))
        if record is None or record.state is not WorkspaceState.DELETING:
            record = self.find(workspace_id)
        await self._remove(record.workspace_id, reason)
        ended = self._table.find(record.workspace_id)
        return ended.end_reason if ended is not None and ended.end_reason is not None else reason

    def next_expiry(self) -> float | None:
        """When there is something to reap next (seconds since the epoch), if ever."""
        records = self._table.live()
        if any(self._is_left(record) for record in records):
            return 0.0
        return min((record.expires_at for record in records if record.expires_at is not None), default=None)

    async def reap_expired(self) -> list[str]:
        """Delete every one whose time is over; their ids. Finishes deletions that failed. Raises the first failure."""
        now, done, failures = time.time(), [], []
        for record in self._table.live():
            due = record.expires_at is not None and record.expires_at <= now
            if not (self._is_left(record) or (due and record.state is WorkspaceState.READY)):
                continue
            try:
                await self._remove(record.workspace_id, EndReason.TTL_EXPIRED)
                done.append(record.workspace_id)
            except Exception as error:  # noqa: BLE001 - the others must get their turn; raised below
                failures.append(error)
        if failures:
            raise failures[0]
        return done

    async def recover(self) -> None:
        """Finish what an earlier daemon left half done: creations are undone, deletions done, resets forgotten."""
        known = {record.workspace_id: record for record in self._table.live()}
        for record in known.values():
            if record.state is not WorkspaceState.READY:
                await self._remove(record.workspace_id, EndReason.DAEMON_LOST)
        for machine in self._machines.live():
            owner = known.get(machine.workspace_id or "")
            if machine.workspace_id is not None and (owner is None or owner.vm_id != machine.vm_id):
                await self._lifecycle.delete(machine.vm_id, EndReason.DAEMON_LOST)
        for left in set(self.images.known()) - {record.workspace_id for record in self._table.live()}:
            await asyncio.to_thread(self.images.remove, left)

    @asynccontextmanager
    async def working(self, workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, Machine]]:
        """The machine of a started workspace, to do something in it.

        Raises ConflictError `workspace-stopped`. An error that comes of the workspace's end, stop or reset meanwhile
        says so.
        """
        record = self.find(workspace_id)
        machine = self.machine_record(record)
        running = self._lifecycle.live(machine.vm_id).machine
        if machine.state is not MachineState.RUNNING or running is None:
            raise ConflictError(
                f"workspace {record.workspace_id} is {machine.state.value}",
                code="workspace-stopped",
                hint=f"`pyro workspace start {record.workspace_id}` starts it",
            )
        try:
            yield record, running
        except GuestError as error:
            raise self._why_lost(record, machine) or error from error

    def running(self, workspace_id: str) -> Machine | None:
        """Its machine, while it is one that runs."""
        record = self._table.find(workspace_id)
        return self._lifecycle.live(record.vm_id).machine if record is not None and record.vm_id else None

    @asynccontextmanager
    async def changing(self, workspace_id: object) -> AsyncIterator[WorkspaceRecord]:
        """Alone among those who stop, start, reset or delete it. An error that comes of its end meanwhile says so."""
        record = self.find(workspace_id)
        async with self._locks[record.workspace_id]:
            try:
                yield self.find(workspace_id)
            except PyroError as error:
                now = self._table.find(record.workspace_id)
                if now is None or now.state in _GOING:
                    raise gone(now or record) from error
                raise

    def _why_lost(self, record: WorkspaceRecord, machine: MachineRecord) -> ConflictError | NotFoundError | None:
        now = self._table.find(record.workspace_id)
        if now is None or now.state in _GOING:
            return gone(now or record)
        if now.vm_id != machine.vm_id:
            return ConflictError(f"workspace {record.workspace_id} was reset meanwhile", code="workspace-reset")
        if self.machine_record(now).state is not MachineState.RUNNING:
            return ConflictError(f"workspace {record.workspace_id} was stopped meanwhile", code="workspace-stopped")
        return None

    def _snapshot(self, workspace_id: str, name: str) -> Path:
        if self._snapshots.find(workspace_id, name) is None:
            raise NotFoundError(
                f"workspace {workspace_id} has no snapshot {name!r}",
                code="snapshot-not-found",
                hint=f"`pyro workspace snapshot list {workspace_id}` shows those it has",
            )
        return self.images.snapshot(workspace_id, name)

    async def _seed(self, workspace_id: str, path: Path | None, sink: Sink) -> Seed:
        await sink.event({"event": "phase", "phase": "seed", "workspace_id": workspace_id})
        await asyncio.to_thread(self.images.create, workspace_id)
        seed = await in_thread(lambda: make_seed(path, self.images.baseline(workspace_id), self.images.empty))
        redactor = self._secrets.redactor(workspace_id)
        skipped = tuple(map(redactor.redact_message, seed.skipped))  # long names are cut
        return replace(seed, path=seed.path and redactor.redact_text(seed.path), skipped=skipped)

    async def _new_machine(
        self,
        workspace_id: str,
        request: MachineRequest,
        sink: Sink,
        vmm: str,
        require_isolation: Isolation | None,
        *,
        disk: Path | None = None,
    ) -> MachineRecord:
        """A running machine for the workspace, its own disk a copy of `disk`; nothing of it stays if that fails."""
        await sink.event({"event": "phase", "phase": "create", "environment": request.environment})
        machine = await self._vms.create(
            replace(request), sink, vmm=vmm, require_isolation=require_isolation, workspace_id=workspace_id
        )
        try:
            if disk is not None:
                directory = self._lifecycle.directory(machine.vm_id)
                directory.mkdir(mode=0o700, parents=True)
                await in_thread(lambda: clone(disk, directory / WORKSPACE_DISK))
            await sink.event({"event": "phase", "phase": "start", "workspace_id": workspace_id})
            await self._lifecycle.start(machine.vm_id)
        except BaseException:
            await asyncio.shield(self._lifecycle.delete(machine.vm_id, EndReason.START_FAILED))
            raise
        return machine

    def _is_left(self, record: WorkspaceRecord) -> bool:
        """Whether its deletion has failed, and is not being tried right now."""
        return record.state is WorkspaceState.DELETING and record.workspace_id not in self._removals

    async def _remove(self, workspace_id: str, reason: EndReason) -> None:
        """Delete all of it. Goes on when its caller leaves; a second caller joins."""
        removal = self._removals.get(workspace_id)
        if removal is None:
            removal = self._removals[workspace_id] = asyncio.create_task(self._take_away(workspace_id, reason))
            removal.add_done_callback(lambda _: self._removals.pop(workspace_id, None))
        await asyncio.shield(removal)

    async def _take_away(self, workspace_id: str, reason: EndReason) -> None:
        """Machines first: what they run from goes last. Whoever waits for the lock finds the workspace gone."""
        self._table.transition(workspace_id, _STAYING, WorkspaceState.DELETING, reason=reason, now=time.time())
        for machine in self._machines.live():
            if machine.workspace_id == workspace_id:
                await self._lifecycle.delete(machine.vm_id, reason)
        async with self._locks[workspace_id]:
            for machine in self._machines.live():
                if machine.workspace_id == workspace_id:  # of a reset that was under way
                    await self._lifecycle.delete(machine.vm_id, reason)
            await asyncio.to_thread(self.images.remove, workspace_id)
            self._secrets.forget(workspace_id)
            self._table.transition(workspace_id, {WorkspaceState.DELETING}, WorkspaceState.DELETED)
        self._locks.pop(workspace_id, None)
        self._on_change()


def gone(record: WorkspaceRecord) -> NotFoundError:
    reason = record.end_reason.value if record.end_reason else "unknown"
    details = {"workspace_id": record.workspace_id, "reason": reason}
    if record.end_reason is EndReason.TTL_EXPIRED:
        return NotFoundError(
            f"workspace {record.workspace_id} expired: its time to live was {record.ttl_seconds} s",
            code="workspace-expired",
            hint="give the next one longer with --ttl-seconds; 0 is for ever",
            details=details,
        )
    return NotFoundError(
        f"workspace {record.workspace_id} was deleted ({reason})",
        code="workspace-not-found",
        details=details,
    )
