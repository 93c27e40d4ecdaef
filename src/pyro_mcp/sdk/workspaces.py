"""The methods of `Pyro` about workspaces."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from pyro_mcp.sdk.caller import Caller, Command, as_json, as_list
from pyro_mcp.sdk.stdin import Stdin
from pyro_mcp.sdk.transport import OnEvent, OnOutput

if TYPE_CHECKING:  # dozens of classes, which nobody needs who only calls
    from pyro_mcp.model.workspace_payloads import (
        DiffPayload,
        DiskExportPayload,
        ExportPayload,
        FileListPayload,
        FileReadPayload,
        FileWritePayload,
        PatchPayload,
        SnapshotDeletePayload,
        SnapshotListPayload,
        SnapshotPayload,
        WorkspaceDeletePayload,
        WorkspaceExecPayload,
        WorkspaceListPayload,
        WorkspaceLogsPayload,
        WorkspacePayload,
        WorkspaceResetPayload,
        WorkspaceSyncPayload,
    )

HostPath = str | os.PathLike[str]
Secret = Mapping[str, HostPath]
"""`{"name": …, "value": …}` or `{"name": …, "file_path": …}`."""


class WorkspaceMethods(Caller):
    """Every method raises NotFoundError for a workspace that is not there: `workspace-not-found`, `workspace-expired`.

    Those that need it started raise ConflictError `workspace-stopped`.
    """

    def create_workspace(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network_policy: str = "off",
        allow: Sequence[str] | None = None,
        allow_host_compat: bool = False,
        require_isolation: str | None = None,
        seed_path: HostPath | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] | None = None,
        on_event: OnEvent | None = None,
    ) -> WorkspacePayload:
        """A started sandbox that lasts, its /workspace a copy of `seed_path`, or empty. It fails whole, or is whole.

        `seed_path` is a directory, or an archive: .tar, .tar.gz, .tgz, .tar.zst. That state is the `baseline`, which
        `diff_workspace` compares with and `reset_workspace` goes back to. `ttl_seconds` (60–31,536,000; 0 is for ever)
        counts from now, or from the last `update_workspace` that gives another; then all of it is deleted. `name` (up
        to 120 characters, need not be unique) and `labels` are shown in lists.

        `network_policy` is `off` (no route anywhere), `egress` (the internet, and the ranges that `allow` names as in
        `run_in_vm`) or `egress+published-ports`. Each of `secrets` is `{"name": …, "value": …}` or `{"name": …,
        "file_path": …}`, UTF-8 of up to 64 KiB, and becomes the file `/run/pyro-secrets/NAME`; what pyro stores and
        returns has `[REDACTED]` in its place.
        """
        arguments = {
            "environment": environment,
            "vcpu_count": vcpu_count,
            "mem_mib": mem_mib,
            "ttl_seconds": ttl_seconds,
            "network_policy": network_policy,
            "allow": as_list(allow),
            "allow_host_compat": allow_host_compat,
            "require_isolation": require_isolation,
            "seed_path": _absolute(seed_path),
            "name": name,
            "labels": labels,
            "secrets": _secrets(secrets),
        }
        return cast("WorkspacePayload", self._call("create_workspace", arguments, on_event))

    def list_workspaces(self) -> WorkspaceListPayload:
        """All workspaces of this state directory, oldest first."""
        return cast("WorkspaceListPayload", self._call("list_workspaces", {}))

    def status_workspace(self, workspace_id: str) -> WorkspacePayload:
        """What the workspace is and does."""
        return cast("WorkspacePayload", self._call("status_workspace", {"workspace_id": workspace_id}))

    def update_workspace(
        self,
        workspace_id: str,
        *,
        name: str | None = None,
        clear_name: bool = False,
        labels: Mapping[str, str] | None = None,
        clear_labels: Sequence[str] | None = None,
        ttl_seconds: int | None = None,
    ) -> WorkspacePayload:
        """Change name, labels (those given are added, `clear_labels` removed) or time to live, which begins anew."""
        arguments = {
            "workspace_id": workspace_id,
            "name": name,
            "clear_name": clear_name,
            "labels": labels,
            "clear_labels": None if clear_labels is None else list(clear_labels),
            "ttl_seconds": ttl_seconds,
        }
        return cast("WorkspacePayload", self._call("update_workspace", arguments))

    def delete_workspace(self, workspace_id: str) -> WorkspaceDeletePayload:
        """End it, whatever it is doing, and delete all of it, snapshots included."""
        return cast("WorkspaceDeletePayload", self._call("delete_workspace", {"workspace_id": workspace_id}))

    def start_workspace(self, workspace_id: str) -> WorkspacePayload:
        """Start a stopped workspace: /workspace and all other files are as they were. One that runs is left alone."""
        return cast("WorkspacePayload", self._call("start_workspace", {"workspace_id": workspace_id}))

    def stop_workspace(self, workspace_id: str) -> WorkspacePayload:
        """Shut the guest down; all that runs in it ends. Files, baseline and snapshots stay. Idempotent."""
        return cast("WorkspacePayload", self._call("stop_workspace", {"workspace_id": workspace_id}))

    def reset_workspace(self, workspace_id: str, *, snapshot: str = "baseline") -> WorkspaceResetPayload:
        """A new sandbox with /workspace as it was at `snapshot`; nothing outside of it survives, nor does the history.

        Shells and services are forgotten with it. Id, name, labels, secrets, network and time to live stay. If it
        fails, the old sandbox stays as it was.
        """
        arguments = {"workspace_id": workspace_id, "snapshot": snapshot}
        return cast("WorkspaceResetPayload", self._call("reset_workspace", arguments))

    def exec_workspace(
        self,
        workspace_id: str,
        *,
        command: Command,
        timeout_seconds: int = 30,
        cwd: str = "/workspace",
        env: Mapping[str, str] | None = None,
        secret_env: Mapping[str, str] | None = None,
        stdin: Stdin | None = None,
        on_output: OnOutput | None = None,
    ) -> WorkspaceExecPayload:
        """Run one command; others may run at the same time. Who breaks the call off kills it with all it started.

        After `timeout_seconds` (1–86400) it is killed, `timed_out` is true and `exit_code` 124. `secret_env` puts
        secrets into its environment: name of the secret → name of the variable. `stdin` is bytes or a binary file, sent
        as it comes; without it stdin is /dev/null. `on_output(stream, data)` gets `"stdout"` or `"stderr"` and bytes as
        they come; the payload keeps 1 MiB of each, of more the beginning and the end.
        """
        arguments = {
            "workspace_id": workspace_id,
            "command": as_json(command),
            "timeout_seconds": timeout_seconds,
            "cwd": cwd,
            "env": env,
            "secret_env": secret_env,
            "stdin": stdin is not None,
        }
        return cast("WorkspaceExecPayload", self._call("exec_workspace", arguments, None, on_output, stdin))

    def logs_workspace(self, workspace_id: str) -> WorkspaceLogsPayload:
        """What was run since the last reset, with up to 64 KiB of each output."""
        return cast("WorkspaceLogsPayload", self._call("logs_workspace", {"workspace_id": workspace_id}))

    def push_workspace_sync(
        self, workspace_id: str, source_path: HostPath, *, dest: str = "/workspace"
    ) -> WorkspaceSyncPayload:
        """Bring a directory, or what is in an archive, into `dest`: all of it, or nothing.

        What is there already is replaced, what else is there stays. Raises UsageError `path-outside-workspace`.
        """
        arguments = {"workspace_id": workspace_id, "source_path": _absolute(source_path), "dest": dest}
        return cast("WorkspaceSyncPayload", self._call("push_workspace_sync", arguments))

    def export_workspace(self, workspace_id: str, path: str, *, output_path: HostPath) -> ExportPayload:
        """Take a file or directory out, to `output_path`, which must not exist yet."""
        arguments = {"workspace_id": workspace_id, "path": path, "output_path": _absolute(output_path)}
        return cast("ExportPayload", self._call("export_workspace", arguments))

    def diff_workspace(self, workspace_id: str) -> DiffPayload:
        """Every change of /workspace since the baseline. `patch` is what `git apply` takes."""
        return cast("DiffPayload", self._call("diff_workspace", {"workspace_id": workspace_id}))

    def list_workspace_files(
        self, workspace_id: str, *, path: str = "/workspace", recursive: bool = False
    ) -> FileListPayload:
        """What a directory holds, sorted by path."""
        arguments = {"workspace_id": workspace_id, "path": path, "recursive": recursive}
        return cast("FileListPayload", self._call("list_workspace_files", arguments))

    def read_workspace_file(self, workspace_id: str, path: str, *, max_bytes: int = 65536) -> FileReadPayload:
        """The beginning of a UTF-8 text file, `max_bytes` (1–1,048,576) of it. Raises UsageError `not-text`."""
        arguments = {"workspace_id": workspace_id, "path": path, "max_bytes": max_bytes}
        return cast("FileReadPayload", self._call("read_workspace_file", arguments))

    def write_workspace_file(self, workspace_id: str, path: str, *, text: str) -> FileWritePayload:
        """Make a file hold `text` (up to 1 MiB), at once. Missing directories are made; an old file keeps its mode."""
        arguments = {"workspace_id": workspace_id, "path": path, "text": text}
        return cast("FileWritePayload", self._call("write_workspace_file", arguments))

    def apply_workspace_patch(self, workspace_id: str, *, patch: str) -> PatchPayload:
        """Apply a unified diff (up to 2 MiB), of one file or many: all of it, or nothing.

        Hunks may have moved, but not changed. Raises ConflictError `patch-failed` with file and hunk, UsageError
        `bad-patch`.
        """
        return cast("PatchPayload", self._call("apply_workspace_patch", {"workspace_id": workspace_id, "patch": patch}))

    def list_workspace_disk(
        self, workspace_id: str, *, path: str = "/workspace", recursive: bool = False
    ) -> FileListPayload:
        """As `list_workspace_files`, of a stopped workspace and anywhere in its guest, but for what is mounted below.

        A helper machine looks at copies of the disks, which takes as long as a boot. Raises ConflictError
        `workspace-started`.
        """
        arguments = {"workspace_id": workspace_id, "path": path, "recursive": recursive}
        return cast("FileListPayload", self._call("list_workspace_disk", arguments))

    def read_workspace_disk(self, workspace_id: str, path: str, *, max_bytes: int = 65536) -> FileReadPayload:
        """As `read_workspace_file`, of a stopped workspace and anywhere in its guest."""
        arguments = {"workspace_id": workspace_id, "path": path, "max_bytes": max_bytes}
        return cast("FileReadPayload", self._call("read_workspace_disk", arguments))

    def export_workspace_disk(self, workspace_id: str, *, output_path: HostPath) -> DiskExportPayload:
        """One raw ext4 image of everything a stopped workspace's guest had, to `output_path`, which must not exist yet.

        Owners are the guest's. The image is sparse: `bytes_written` is what it takes.
        """
        arguments = {"workspace_id": workspace_id, "output_path": _absolute(output_path)}
        return cast("DiskExportPayload", self._call("export_workspace_disk", arguments))

    def create_snapshot(self, workspace_id: str, snapshot_name: str) -> SnapshotPayload:
        """Keep /workspace as it is now. Raises ConflictError `snapshot-exists`, UsageError `snapshot-reserved`."""
        arguments = {"workspace_id": workspace_id, "snapshot_name": snapshot_name}
        return cast("SnapshotPayload", self._call("create_snapshot", arguments))

    def list_snapshots(self, workspace_id: str) -> SnapshotListPayload:
        """The baseline, then all snapshots, oldest first."""
        return cast("SnapshotListPayload", self._call("list_snapshots", {"workspace_id": workspace_id}))

    def delete_snapshot(self, workspace_id: str, snapshot_name: str) -> SnapshotDeletePayload:
        """Raises NotFoundError `snapshot-not-found`, UsageError `snapshot-reserved` for the baseline."""
        arguments = {"workspace_id": workspace_id, "snapshot_name": snapshot_name}
        return cast("SnapshotDeletePayload", self._call("delete_snapshot", arguments))


def _secrets(secrets: object) -> object:
    """With absolute paths; what is no secret goes as it is, to be refused by the daemon."""
    listed = as_list(secrets)
    return [_secret(secret) for secret in listed] if isinstance(listed, list) else listed


def _secret(secret: object) -> object:
    if not isinstance(secret, Mapping) or not isinstance(secret.get("file_path"), str | os.PathLike):
        return secret
    return {**secret, "file_path": _absolute(secret["file_path"])}


def _absolute(path: HostPath | None) -> str | None:
    """The daemon has another working directory than its caller."""
    return None if path is None else os.path.abspath(os.fspath(path))  # noqa: PTH100 - links stay the daemon's to follow
