"""From state to state: start, stop, delete, take over, give up.

    created ──► starting ──► running ──► stopped ──► starting …
       └───────────┴────────────┴───────────┴──► deleting ──► deleted

A change is written only if the state is still the one it starts from: whoever comes late changes nothing. Stopping and
deleting are tasks of the VM's own. A caller who hangs up leaves them running, and a second caller joins; a daemon that
leaves waits for all of them. Only what is really gone is called deleted: a deletion that fails is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path

from pyro_mcp.engine.launchpad import Launchpad
from pyro_mcp.engine.live import Live
from pyro_mcp.errors import ConflictError, NotFoundError, PyroError
from pyro_mcp.host.process import boot_id
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.model.requests import require_vm_id
from pyro_mcp.state.machines import MachineTable

_GOING = frozenset({MachineState.DELETING, MachineState.DELETED})
_STAYING = frozenset(MachineState) - _GOING

_log = logging.getLogger(__name__)


class Lifecycle:
    """The VMs of a state directory, by id."""

    def __init__(self, table: MachineTable, launchpad: Launchpad, *, on_change: Callable[[], None]) -> None:
        self._table = table
        self._launchpad = launchpad
        self._on_change = on_change
        self._lives: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running_count(self) -> int:
        return sum(live.machine is not None for live in self._lives.values())

    def machines(self) -> list[Machine]:
        """Those that run."""
        return [live.machine for live in self._lives.values() if live.machine is not None]

    def find(self, vm_id: object) -> MachineRecord:
        """The record of a VM that is there. Raises NotFoundError `vm-not-found`, or `vm-expired` where that is why."""
        record = self._table.find(require_vm_id(vm_id))
        if record is None:
            raise NotFoundError(f"there is no VM {vm_id}", code="vm-not-found")
        if record.state in _GOING:
            raise gone(record)
        return record

    def directory(self, vm_id: str) -> Path:
        """Where a VM lives on this host. Disks that stand there before its start are taken as its own."""
        return self._launchpad.directory(vm_id)

    def live(self, vm_id: str) -> Live:
        """What is held of a VM that has a record."""
        return self._lives.setdefault(vm_id, Live())

    def why_gone(self, vm_id: str) -> NotFoundError | None:
        """The reason why a VM that was there a moment ago is not any more; None if it still is."""
        record = self._table.find(vm_id)
        return gone(record) if record is not None and record.state in _GOING else None

    async def start(self, vm_id: str) -> None:
        """Boot a created or stopped VM. If it fails, or its caller leaves, the VM is stopped and nothing runs."""
        self.find(vm_id)
        task = self._own(self._start(vm_id, self.live(vm_id)))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            elif (reason := self.why_gone(vm_id)) is not None:
                raise reason from None  # not our caller left: the VM was deleted, or expired, while it booted
            raise

    async def stop(self, vm_id: str, reason: EndReason) -> None:
        """Shut the guest down; its disk stays. Idempotent. Raises ConflictError while a command runs in it."""
        self.find(vm_id)
        await asyncio.shield(self._own(self._stop(vm_id, self.live(vm_id), reason)))

    async def delete(self, vm_id: str, reason: EndReason) -> EndReason:
        """End the VM, whatever it is doing, and delete all of it; returns the reason that counts, the first given."""
        record = self._table.find(require_vm_id(vm_id))
        if record is None or record.state is MachineState.DELETED:
            self.find(vm_id)
        live = self.live(vm_id)
        if live.deletion is None:
            # Written before anything is taken away: a start or a command that is cut off by this can say why.
            self._end(vm_id, _STAYING, MachineState.DELETING, reason)
            live.deletion = self._own(self._delete(vm_id, live))
        await asyncio.shield(live.deletion)
        record = self._table.find(vm_id)
        return record.end_reason if record is not None and record.end_reason is not None else reason

    async def adopt(self, record: MachineRecord) -> None:
        """Take over a VM that an earlier daemon left running; one that cannot be taken over becomes a stopped VM."""
        live = self.live(record.vm_id)
        try:
            plan = await self._launchpad.plan(record, live.resources)
            live.machine = await Machine.adopt(plan)
        except (PyroError, OSError) as error:
            _log.warning("VM %s cannot be taken over: %s", record.vm_id, error)
            live.resources.close()
            rebooted = record.process is not None and record.process.boot_id != boot_id()
            await self.give_up(record, EndReason.HOST_REBOOTED if rebooted else EndReason.DAEMON_LOST)
        else:
            _log.info("VM %s is taken over", record.vm_id)
            live.watcher = asyncio.create_task(self._watch(record.vm_id, live, live.machine))
            await self._launchpad.keep_true(plan, live.machine)

    async def give_up(self, record: MachineRecord, reason: EndReason) -> None:
        """End what there still is of a VM that nobody controls; its disk stays, as after a stop."""
        await self._launchpad.end_machine(record)
        self._end(record.vm_id, _STAYING, MachineState.STOPPED, reason)

    def unfinished(self) -> list[str]:
        """VMs whose deletion failed and is not being tried right now."""
        going = (record.vm_id for record in self._table.live() if record.state is MachineState.DELETING)
        return [vm_id for vm_id in going if self.live(vm_id).deletion is None]

    async def shut_down(self) -> None:
        """The daemon is leaving: delete one-shot VMs, stop the others, and wait for everything that is under way."""
        endings = [
            self.delete(record.vm_id, EndReason.DAEMON_STOPPED)
            if record.ephemeral or record.state is MachineState.DELETING
            else self.stop(record.vm_id, EndReason.DAEMON_STOPPED)
            for record in self._table.live()
        ]
        for outcome in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(outcome, BaseException):
                _log.error("left behind, for the next daemon: %s", outcome)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _start(self, vm_id: str, live: Live) -> None:
        async with live.lock:
            record = self.find(vm_id)
            if not self._table.transition(vm_id, {MachineState.CREATED, MachineState.STOPPED}, MachineState.STARTING):
                raise ConflictError(f"VM {vm_id} is {record.state.value} already")
            live.start = asyncio.current_task()
            started = time.perf_counter()
            try:
                plan = await self._launchpad.plan(record, live.resources)
                planned_ms = round((time.perf_counter() - started) * 1000, 1)
                machine = await self._launchpad.launch(plan)
            except BaseException as error:
                live.resources.close()
                self._end(vm_id, {MachineState.STARTING}, MachineState.STOPPED, EndReason.START_FAILED)
                if isinstance(error, PyroError):
                    error.details.setdefault("vm_id", vm_id)
                raise
            finally:
                live.start = None
            live.machine = machine
            self._table.set_timings(vm_id, {"plan": planned_ms, **machine.timings_ms})
            # If a deletion has begun meanwhile, it waits for the lock and takes the machine with it.
            if self._table.transition(vm_id, {MachineState.STARTING}, MachineState.RUNNING):
                live.watcher = asyncio.create_task(self._watch(vm_id, live, machine))

    async def _stop(self, vm_id: str, live: Live, reason: EndReason) -> None:
        async with live.lock:
            if self.find(vm_id).state is not MachineState.RUNNING or live.machine is None:
                return
            if live.executing:
                raise ConflictError(
                    f"VM {vm_id} is busy with its command", hint="delete the VM to break the command off"
                )
            await live.machine.stop()
            live.release()
            self._end(vm_id, {MachineState.RUNNING}, MachineState.STOPPED, reason)

    async def _delete(self, vm_id: str, live: Live) -> None:
        try:
            if live.start is not None:
                live.start.cancel()
            async with live.lock:
                if live.machine is not None:
                    await live.machine.destroy()
                live.release()
                record = self._table.find(vm_id)
                assert record is not None, "a record outlives its deletion"
                await self._launchpad.remove_leftovers(record)
                self._table.transition(vm_id, {MachineState.DELETING}, MachineState.DELETED)
                del self._lives[vm_id]
                self._on_change()
        finally:
            live.deletion = None

    async def _watch(self, vm_id: str, live: Live, machine: Machine) -> None:
        """A guest that ended by itself (a `poweroff` inside, a panic) becomes a stopped VM."""
        await machine.wait_end()
        async with live.lock:
            if live.machine is machine:
                await machine.stop()
                live.watcher = None
                live.release()
                self._end(vm_id, {MachineState.RUNNING}, MachineState.STOPPED, EndReason.GUEST_ENDED)

    def _end(self, vm_id: str, sources: Collection[MachineState], target: MachineState, reason: EndReason) -> None:
        if self._table.transition(vm_id, sources, target, reason=reason, now=time.time()):
            self._on_change()

    def _own(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` as a task that is ours: it goes on when its caller leaves, and is waited for when we do."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("a change of state failed: %s", error)


def gone(record: MachineRecord) -> NotFoundError:
    if record.end_reason is EndReason.TTL_EXPIRED:
        return NotFoundError(
            f"VM {record.vm_id} expired: its time to live was {record.ttl_seconds} s",
            code="vm-expired",
            hint="ask for more with --ttl-seconds (at most 86400)",
            details={"vm_id": record.vm_id, "reason": EndReason.TTL_EXPIRED.value},
        )
    reason = record.end_reason.value if record.end_reason else "unknown"
    details = {"vm_id": record.vm_id, "reason": reason}
    return NotFoundError(f"VM {record.vm_id} was deleted ({reason})", code="vm-not-found", details=details)
