"""Services of a workspace: started until they are ready, watched to their end, their ports published.

The guest runs them and keeps their logs; what they are is on record here, so that a stopped workspace, or another
daemon, still knows. Whoever watches a service holds its ports.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from pyro_mcp.agent.messages import OutputStream, integer_of, parse_object, parse_started
from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.agent.work import Work
from pyro_mcp.engine.ports import AT_ONCE, Port
from pyro_mcp.engine.refusals import Refusals, explained
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.service_logs import Logs, read_logs
from pyro_mcp.engine.service_payloads import service_payload
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.undoing import undo
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError, PyroError, UsageError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.living_payloads import ServiceListPayload, ServiceLogsPayload, ServicePayload
from pyro_mcp.model.network import NetworkPolicy
from pyro_mcp.model.printable import printable
from pyro_mcp.model.requests import Command
from pyro_mcp.model.service import PublishedPort, ServiceRecord, ServiceState
from pyro_mcp.model.workspace import WORKSPACE_PATH, WorkspaceRecord
from pyro_mcp.state.services import ServiceTable

GRACE_SECONDS = 10.0
"""What a service gets to end by itself once it was told to."""

_REASON_CHARACTERS = 200
_NOTICE_SECONDS = 5.0
_BROKEN_OFF = "its start was broken off"
# Of a service that could not be started, or was not ready: what the guest calls it, and whether it had started.
_NEVER_READY = frozenset({"not-ready", "ended", "not-found", "not-executable"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What to start. `readiness` None: it is ready as soon as it runs."""

    command: Command
    cwd: str = WORKSPACE_PATH
    readiness: Mapping[str, str] | None = None
    ready_timeout_seconds: int = 30
    ready_interval_ms: int = 500
    ports: tuple[PublishedPort, ...] = ()
    secret_env: Mapping[str, str] | None = None


@dataclass(slots=True)
class _Watch:
    """A service that runs: the task that waits for its end, and what is open for it until then."""

    ports: Sequence[Port]
    task: asyncio.Task[None]


class Services:
    def __init__(self, table: ServiceTable, workspaces: Workspaces, secrets: Secrets) -> None:
        self._table = table
        self._workspaces = workspaces
        self._secrets = secrets
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._starting: set[tuple[str, str]] = set()
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def start(self, workspace_id: object, name: str, request: ServiceRequest) -> ServicePayload:
        """Start a service and wait until it is ready; one that is not in time is ended, and FAILED its state.

        Raises ConflictError: `service-exists` while one of that name runs, `port-taken`, `ports-not-allowed`.
        """
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._refuse(record, name, request)
            with self._alone(record.workspace_id, name):
                redactor = self._secrets.redactor(record.workspace_id)
                service = ServiceRecord(
                    workspace_id=record.workspace_id,
                    name=name,
                    state=ServiceState.STARTING,
                    command=redactor.redact_text(request.command.text),
                    cwd=redactor.redact_text(request.cwd),
                    readiness=cast("Mapping[str, str] | None", redactor.redact_payload(request.readiness)),
                    ports=(),
                    started_at=time.time(),
                )
                environment = self._secrets.environment(record.workspace_id, request.secret_env or {})
                ports: Sequence[Port] = await self._open(record.workspace_id, request.ports)
                service = replace(service, ports=tuple(port.published for port in ports))
                self._table.put(service)
                self._workspaces.touch(record.workspace_id)
                try:
                    if await self._launch(machine, service, request, environment):
                        self._watch(replace(service, state=ServiceState.RUNNING), ports)
                        ports = ()
                finally:
                    await _close(ports)
        return self.status(workspace_id, name)

    def status(self, workspace_id: object, name: str) -> ServicePayload:
        return service_payload(self._find(self._workspaces.find(workspace_id).workspace_id, name))

    def list(self, workspace_id: object) -> ServiceListPayload:
        """All since the last reset, by name."""
        record = self._workspaces.find(workspace_id)
        services = self._table.of(record.workspace_id)
        return {
            "workspace_id": record.workspace_id,
            "count": len(services),
            "running_count": sum(service.state.alive for service in services),
            "services": [service_payload(service) for service in services],
        }

    def counts(self, workspace_id: str) -> tuple[int, int]:
        """How many there are, and how many of them run."""
        services = self._table.of(workspace_id)
        return len(services), sum(service.state.alive for service in services)

    async def stop(self, workspace_id: object, name: str) -> ServicePayload:
        """End a service with all that it started: asked to first, killed after GRACE_SECONDS. Idempotent."""
        record = self._workspaces.find(workspace_id)
        service = self._find(record.workspace_id, name)
        if not service.state.alive:
            return service_payload(service)
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            parameters = {"service": name, "grace_ms": int(GRACE_SECONDS * 1000)}
            with explained(f"the service {name}", _REFUSALS):
                ended = await _told(machine, "service/stop", parameters, patience_seconds=GRACE_SECONDS)
            self._end(service, ended)
        if (watch := self._watches.get((service.workspace_id, service.name))) is not None:
            for port in watch.ports:
                port.shut()  # the watch sees to the rest
        return self.status(workspace_id, name)

    async def logs(
        self, workspace_id: object, name: str, sink: Sink, *, tail_lines: int | None, follow: bool
    ) -> ServiceLogsPayload:
        """The end of what a service printed: whole lines, at most 1 MiB of each output. `tail_lines` None is all.

        With `follow` everything goes to the sink, as it is printed, until the service ends.
        """
        record = self._workspaces.find(workspace_id)
        service = self._find(record.workspace_id, name)
        redactor = self._secrets.redactor(record.workspace_id)
        logs = Logs()
        async with self._workspaces.working(workspace_id) as (_, machine):
            # Of one that never ran the guest knows nothing, or what another of its name has left.
            if service.pid is not None or service.state.alive:
                with explained(f"the service {name}", _REFUSALS):
                    logs = await read_logs(machine, name, redactor, sink, tail_lines=tail_lines, follow=follow)
        if follow:
            await self._noticed(service)
        return {
            **self.status(workspace_id, name),
            "stdout": logs.text(OutputStream.STDOUT),
            "stderr": logs.text(OutputStream.STDERR),
            "tail_lines": tail_lines,
            "truncated": logs.truncated,
        }

    async def recover(self) -> None:
        """Go on watching what an earlier daemon watched; what ended meanwhile is noted."""
        for service in self._table.alive():
            if self._workspaces.running(service.workspace_id) is None:
                self._note_lost(service)
                continue
            ports: list[Port] = []
            for published in service.ports:
                try:
                    ports += await self._open(service.workspace_id, (published,))
                except PyroError as error:
                    _log.warning("port %d is not published any more: %s", published.host_port, error)
            service = replace(service, ports=tuple(port.published for port in ports))
            self._table.put(service)
            self._watch(service, ports)

    def note_stop(self, workspace_id: str) -> None:
        """Its machine is about to be shut down: what ends now ends because of that."""
        for service in self._table.of(workspace_id):
            self._note_lost(service)

    async def close(self) -> None:
        """Watch no more; what runs goes on."""
        for watch in (watches := list(self._watches.values())):
            watch.task.cancel()
        await asyncio.gather(*(watch.task for watch in watches), return_exceptions=True)

    async def _open(self, workspace_id: str, ports: Sequence[PublishedPort]) -> Sequence[Port]:
        """All of `ports`, or none."""
        slots = self._slots.setdefault(workspace_id, asyncio.Semaphore(AT_ONCE))
        opened: list[Port] = []
        try:
            for port in ports:
                opened.append(Port(port, slots))
                await opened[-1].serve(lambda: self._workspaces.running(workspace_id))
        except BaseException:
            await _close(opened)
            raise
        return opened

    def _refuse(self, record: WorkspaceRecord, name: str, request: ServiceRequest) -> None:
        if request.ports and record.network_policy is not NetworkPolicy.PUBLISHED:
            raise ConflictError(
                f"workspace {record.workspace_id} publishes no ports: its network policy is "
                f"{record.network_policy.value}",
                code="ports-not-allowed",
                hint="create it with --network-policy egress+published-ports",
            )
        known = self._table.find(record.workspace_id, name)
        if (known is not None and known.state.alive) or (record.workspace_id, name) in self._starting:
            raise ConflictError(
                f"the service {name} runs already",
                code="service-exists",
                hint=f"`pyro workspace service stop {record.workspace_id} {name}` ends it",
            )

    @contextmanager
    def _alone(self, workspace_id: str, name: str) -> Iterator[None]:
        """Nobody else starts a service of that name meanwhile."""
        key = (workspace_id, name)
        self._starting.add(key)
        try:
            yield
        finally:
            self._starting.remove(key)

    async def _launch(
        self, machine: Machine, service: ServiceRecord, request: ServiceRequest, environment: Mapping[str, str]
    ) -> bool:
        """Whether it is ready. Whoever leaves meanwhile ends it."""
        parameters = {
            "service": service.name,
            "argv": list(request.command.argv),
            "env": dict(environment),
            "cwd": request.cwd,
            "readiness": request.readiness,
            "ready_timeout_ms": request.ready_timeout_seconds * 1000,
            "ready_interval_ms": request.ready_interval_ms,
        }
        try:
            ready = await _told(
                machine,
                "service/start",
                parameters,
                patience_seconds=request.ready_timeout_seconds,
                on_pid=lambda pid: self._table.started(service, pid),
            )
        except BaseException as error:
            if not (isinstance(error, GuestError) and "guest_code" in error.details):
                await undo(machine, "service/stop", {"service": service.name, "grace_ms": 0})
            reason = self._secrets.redactor(service.workspace_id).redact_message(_why(error))
            self._table.end(service, ServiceState.FAILED, now=time.time(), exit_code=_code(error), reason=reason)
            if isinstance(error, GuestError) and error.details.get("guest_code") in _NEVER_READY:
                return False
            if isinstance(error, GuestError):
                with explained(f"the service {service.name}", _REFUSALS):
                    raise
            raise
        self._table.ready(service, pid=integer_of(ready, "pid", largest=2**31), now=time.time())
        return True

    def _watch(self, service: ServiceRecord, ports: Sequence[Port]) -> None:
        key = (service.workspace_id, service.name)
        task = asyncio.create_task(self._follow(service, ports), name=f"service {service.name}")
        self._watches[key] = watch = _Watch(ports, task)
        task.add_done_callback(lambda _: self._watches.pop(key) if self._watches.get(key) is watch else None)

    async def _follow(self, service: ServiceRecord, ports: Sequence[Port]) -> None:
        """Wait for the end of a service, note it, and close its ports."""
        try:
            async with self._workspaces.working(service.workspace_id) as (_, machine):
                ended = await _told(machine, "service/wait", {"service": service.name}, patience_seconds=None)
            self._end(service, ended)
            await asyncio.gather(*(port.finish() for port in ports))
        except (PyroError, OSError) as error:
            _log.info("the service %s is watched no more: %s", service.name, error)
            self._note_lost(service)
        finally:
            await _close(ports)

    def _end(self, service: ServiceRecord, ended: Mapping[str, object]) -> None:
        stopped = ended.get("stopped") is True
        state = ServiceState.STOPPED if stopped else ServiceState.EXITED
        reason = "stopped" if stopped else "exited"
        if service.state is ServiceState.STARTING:
            state, reason = ServiceState.FAILED, _BROKEN_OFF if stopped else "ended before it was ready"
        code = integer_of(ended, "exit_code", largest=255)
        self._table.end(service, state, now=time.time(), exit_code=code, reason=reason)

    def _note_lost(self, service: ServiceRecord) -> None:
        """It ended with its machine."""
        self._table.end(service, ServiceState.STOPPED, now=time.time(), exit_code=None, reason="workspace-stopped")

    async def _noticed(self, service: ServiceRecord) -> None:
        """Whoever watches a service hears of its end a little later than those who follow it."""
        watch = self._watches.get((service.workspace_id, service.name))
        if watch is not None:
            await asyncio.wait({watch.task}, timeout=_NOTICE_SECONDS)

    def _find(self, workspace_id: str, name: str) -> ServiceRecord:
        service = self._table.find(workspace_id, name)
        if service is None:
            raise NotFoundError(
                f"workspace {workspace_id} has no service {name!r}",
                code="service-not-found",
                hint=f"`pyro workspace service list {workspace_id}` shows those it has",
            )
        return service


async def _told(
    machine: Machine,
    name: str,
    parameters: Mapping[str, object],
    *,
    patience_seconds: float | None,
    on_pid: Callable[[int], None] = lambda _: None,
) -> Mapping[str, object]:
    """What the guest says of a service in the end. Raises GuestError."""
    asked = machine.ask(name, parameters, answers=(BodyKind.STARTED,), patience_seconds=patience_seconds)
    async with asked as work:
        return await _result(work, on_pid)


async def _result(work: Work, on_pid: Callable[[int], None]) -> Mapping[str, object]:
    while (frame := await work.frame()) is not None:
        on_pid(parse_started(parse_object(frame[1], frame[0].name)).pid)
    return await work.result()


async def _close(ports: Sequence[Port]) -> None:
    for port in ports:
        await port.close()


def _code(error: BaseException) -> int | None:
    code = error.details.get("exit_code") if isinstance(error, GuestError) else None
    return code if isinstance(code, int) and 0 <= code <= 255 else None


def _why(error: BaseException) -> str:
    if not isinstance(error, GuestError):
        return _BROKEN_OFF
    reason = error.details.get("reason")
    said = f": {printable(str(reason), _REASON_CHARACTERS)}" if reason else ""
    return f"{error.details.get('guest_code', error.code)}{said}"


_REFUSALS: Refusals = {
    "not-found": lambda subject, _: NotFoundError(f"the guest knows nothing of {subject}", code="service-not-found"),
    "exists": lambda subject, _: ConflictError(f"{subject} runs already", code="service-exists"),
    "too-many": lambda *_: ConflictError(
        "this workspace has 64 services, and can have no more", code="too-many-services"
    ),
    "stopping": lambda *_: ConflictError("the workspace is being stopped", code="workspace-stopped"),
    "no-space": lambda *_: ConflictError("the machine's disk is full", hint="delete something in it"),
    "io-error": lambda subject, details: ConflictError(f"{subject}: {details['guest_error']}"),
    "bad-request": lambda subject, details: UsageError(f"{subject}: {details['guest_error']}"),
}
