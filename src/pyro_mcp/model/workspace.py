"""The lasting records of a workspace, its snapshots and the commands it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pyro_mcp.model.network import Allowed, NetworkPolicy
from pyro_mcp.model.record import CommandState, EndReason
from pyro_mcp.model.secrets import SecretInfo

WORKSPACE_PATH = "/workspace"
BASELINE = "baseline"


class WorkspaceState(StrEnum):
    """How far a workspace has come; whether it runs is its machine's state."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"
    DELETED = "deleted"


class SeedMode(StrEnum):
    EMPTY = "empty"
    DIRECTORY = "directory"
    ARCHIVE = "tar_archive"


@dataclass(frozen=True, slots=True)
class Seed:
    """What a workspace began as. `skipped` names some of the sockets, FIFOs and devices that were left out.

    `hard_links`: whether any file in it has several names.
    """

    mode: SeedMode
    path: str | None
    entry_count: int = 0
    bytes_written: int = 0
    skipped: tuple[str, ...] = ()
    skipped_count: int = 0
    hard_links: bool = False


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """One row of `workspaces`. Times are seconds since the epoch; `expires_at` is None where it never expires."""

    workspace_id: str
    state: WorkspaceState
    name: str | None
    labels: Mapping[str, str]
    environment: str
    environment_version: str
    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    seed: Seed
    created_at: float
    expires_at: float | None
    last_activity_at: float
    vm_id: str | None = None
    reset_count: int = 0
    last_reset_at: float | None = None
    ended_at: float | None = None
    end_reason: EndReason | None = None
    network_policy: NetworkPolicy = NetworkPolicy.OFF
    allowed: tuple[Allowed, ...] = ()
    secrets: tuple[SecretInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One row of `snapshots`. `entry_count` counts what /workspace held, `bytes_written` what the copy takes here."""

    workspace_id: str
    name: str
    created_at: float
    entry_count: int
    bytes_written: int


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One row of `workspace_commands`."""

    workspace_id: str
    sequence: int
    command: str
    cwd: str
    state: CommandState
    exit_code: int | None
    duration_ms: int | None
    stdout: str
    stderr: str
    started_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What is kept of a command that ended."""

    exit_code: int | None
    duration_ms: int | None = None
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    truncated: Mapping[str, bool] = field(default_factory=dict)
