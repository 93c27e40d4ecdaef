"""The lasting records of a microVM and of the commands it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pyro_mcp.model.machine import ExecutionMode, Isolation, ProcessIdentity
from pyro_mcp.model.network import Allowed


class MachineState(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"


class EndReason(StrEnum):
    """Why a machine stopped or was deleted."""

    POST_EXEC = "post_exec_cleanup"
    EXPLICIT_STOP = "explicit_stop"
    EXPLICIT_DELETE = "explicit_delete"
    TTL_EXPIRED = "ttl_expired"
    START_FAILED = "start_failed"
    GUEST_ENDED = "guest_ended"
    DAEMON_STOPPED = "daemon_stopped"
    DAEMON_LOST = "daemon_lost"
    HOST_REBOOTED = "host_rebooted"
    RESET = "workspace_reset"


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """One row of `machines`. Times are seconds since the epoch."""

    slot: int
    vm_id: str
    state: MachineState
    ephemeral: bool
    environment: str
    environment_version: str
    environment_digest: str
    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    network: bool
    driver: str
    isolation: Isolation
    execution_mode: ExecutionMode
    created_at: float
    expires_at: float
    ended_at: float | None = None
    end_reason: EndReason | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    process: ProcessIdentity | None = None
    allow_host_compat: bool = False
    workspace_id: str | None = None
    allowed: tuple[Allowed, ...] = ()
    """What its network lets through beyond what is public."""


class CommandState(StrEnum):
    RUNNING = "running"
    ENDED = "ended"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """One row of `commands`. `exit_code` is None unless it ended by itself or by its time limit."""

    sequence: int
    vm_id: str
    command: str
    state: CommandState
    exit_code: int | None
    started_at: float
    ended_at: float | None
