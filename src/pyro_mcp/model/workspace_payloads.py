"""The JSON objects about workspaces. Keys are public: they are added to, never renamed (docs/public-contract.md)."""

from __future__ import annotations

from typing import TypedDict

from pyro_mcp.model.living_payloads import NetworkStatusPayload, SecretInfoPayload
from pyro_mcp.model.payloads import LastCommand


class SeedPayload(TypedDict):
    """What a workspace began as. `mode`: `empty`, `directory` or `tar_archive`.

    `skipped` names up to 100 of the `skipped_count` sockets, FIFOs and devices that were left out.
    """

    mode: str
    seed_path: str | None
    destination: str
    entry_count: int
    bytes_written: int
    skipped: list[str]
    skipped_count: int


class WorkspacePayload(TypedDict):
    """A workspace. `state`: `started`, `stopped`, `starting`. Times are ISO 8601 in UTC; `expires_at` null is never.

    `network` is null with policy `off`.
    """

    workspace_id: str
    name: str | None
    labels: dict[str, str]
    state: str
    environment: str
    environment_version: str
    execution_mode: str
    isolation: str
    workspace_path: str
    workspace_seed: SeedPayload
    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    created_at: str
    expires_at: str | None
    last_activity_at: str
    network_policy: str
    network: NetworkStatusPayload | None
    secrets: list[SecretInfoPayload]
    command_count: int
    last_command: LastCommand | None
    reset_count: int
    last_reset_at: str | None
    service_count: int
    running_service_count: int
    timings_ms: dict[str, float]
    metadata: dict[str, str]


class WorkspaceResetPayload(WorkspacePayload):
    workspace_reset: dict[str, object]


class WorkspaceListPayload(TypedDict):
    count: int
    workspaces: list[WorkspacePayload]


class WorkspaceDeletePayload(TypedDict):
    workspace_id: str
    deleted: bool
    reason: str


class WorkspaceExecPayload(TypedDict):
    """One command. `stdout` and `stderr` hold up to 1 MiB each, of more the beginning and the end."""

    workspace_id: str
    sequence: int
    command: str
    cwd: str
    exit_code: int
    timed_out: bool
    duration_ms: int
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    execution_mode: str
    isolation: str


class LogEntryPayload(TypedDict):
    """A command of the history. `stdout` and `stderr` hold up to 64 KiB each, of more the beginning and the end.

    Of all outputs together 4 MiB are told, the latest; `output_omitted` marks entries for which no room was left.
    """

    sequence: int
    command: str
    cwd: str
    state: str
    exit_code: int | None
    duration_ms: int | None
    stdout: str
    stderr: str
    output_omitted: bool
    recorded_at: str


class WorkspaceLogsPayload(TypedDict):
    workspace_id: str
    count: int
    entries: list[LogEntryPayload]


class SyncPayload(TypedDict):
    """What was pushed. `mode`: `directory` or `tar_archive`."""

    mode: str
    source_path: str
    destination: str
    entry_count: int
    bytes_written: int
    skipped: list[str]
    skipped_count: int


class WorkspaceSyncPayload(TypedDict):
    workspace_id: str
    workspace_sync: SyncPayload


class ExportPayload(TypedDict):
    """What was taken out. `artifact_type`: `file`, `directory` or `symlink`."""

    workspace_id: str
    workspace_path: str
    output_path: str
    artifact_type: str
    entry_count: int
    bytes_written: int
    skipped: list[str]
    skipped_count: int


class FileEntryPayload(TypedDict):
    """`artifact_type`: `file`, `directory`, `symlink` or `other` (socket, FIFO, device)."""

    path: str
    artifact_type: str
    size_bytes: int
    link_target: str | None


class FileListPayload(TypedDict):
    workspace_id: str
    path: str
    recursive: bool
    entries: list[FileEntryPayload]


class FileReadPayload(TypedDict):
    workspace_id: str
    path: str
    content: str
    size_bytes: int
    max_bytes: int
    truncated: bool


class FileWritePayload(TypedDict):
    workspace_id: str
    path: str
    size_bytes: int
    bytes_written: int


class DiffEntryPayload(TypedDict):
    """`status`: `added`, `modified`, `deleted`, `type_changed`. `text_patch` is null where there is no text to show."""

    path: str
    status: str
    artifact_type: str
    text_patch: str | None


class DiffPayload(TypedDict):
    """Changes since the baseline. `patch` is all text patches; `git apply` takes it."""

    workspace_id: str
    changed: bool
    summary: dict[str, int]
    entries: list[DiffEntryPayload]
    patch: str
    patch_truncated: bool


class PatchEntryPayload(TypedDict):
    path: str
    status: str


class PatchPayload(TypedDict):
    workspace_id: str
    changed: bool
    summary: dict[str, int]
    entries: list[PatchEntryPayload]
    patch: str


class SnapshotFields(TypedDict):
    """`kind`: `baseline` or `named`."""

    snapshot_name: str
    kind: str
    created_at: str
    entry_count: int
    bytes_written: int
    deletable: bool


class SnapshotPayload(TypedDict):
    workspace_id: str
    snapshot: SnapshotFields


class SnapshotListPayload(TypedDict):
    workspace_id: str
    count: int
    snapshots: list[SnapshotFields]


class SnapshotDeletePayload(TypedDict):
    workspace_id: str
    snapshot_name: str
    deleted: bool


class DiskExportPayload(TypedDict):
    """One raw ext4 image with everything merged. `size_bytes` is its length, `bytes_written` what it takes here.

    `skipped` names up to 100 sockets, which an image does not hold.
    """

    workspace_id: str
    output_path: str
    size_bytes: int
    bytes_written: int
    skipped: list[str]
    skipped_count: int
