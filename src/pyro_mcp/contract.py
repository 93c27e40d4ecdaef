"""The public names of this version, written down once more on purpose.

`tests/contract` compares this with the code, the help texts and `docs/public-contract.md`: a name that is changed,
forgotten or added in only one place fails there. From 4.0.0 on names are added, never changed (SemVer).
"""

from __future__ import annotations

from collections.abc import Mapping

_MACHINE_FLAGS = (
    "--vcpu-count",
    "--mem-mib",
    "--ttl-seconds",
    "--network",
    "--allow-host-compat",
    "--require-isolation",
)

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("ENVIRONMENT", "COMMAND", *_MACHINE_FLAGS, "--timeout-seconds", "--json"),
    "env list": ("--json",),
    "env pull": ("ENVIRONMENT", "--json"),
    "env inspect": ("ENVIRONMENT", "--json"),
    "env prune": ("--json",),
    "workspace create": (
        "ENVIRONMENT",
        "--vcpu-count",
        "--mem-mib",
        "--ttl-seconds",
        "--network-policy",
        "--allow-host-compat",
        "--require-isolation",
        "--seed-path",
        "--name",
        "--label",
        "--json",
        "--id-only",
    ),
    "workspace list": ("--json",),
    "workspace update": (
        "WORKSPACE_ID",
        "--name",
        "--clear-name",
        "--label",
        "--clear-label",
        "--ttl-seconds",
        "--json",
    ),
    "workspace status": ("WORKSPACE_ID", "--json"),
    "workspace delete": ("WORKSPACE_ID", "--json"),
    "workspace start": ("WORKSPACE_ID", "--json"),
    "workspace stop": ("WORKSPACE_ID", "--json"),
    "workspace reset": ("WORKSPACE_ID", "--snapshot", "--json"),
    "workspace exec": ("WORKSPACE_ID", "COMMAND", "--stdin", "--env", "--cwd", "--timeout-seconds", "--json"),
    "workspace logs": ("WORKSPACE_ID", "--json"),
    "workspace sync push": ("WORKSPACE_ID", "SOURCE_PATH", "--dest", "--json"),
    "workspace export": ("WORKSPACE_ID", "PATH", "--output", "--json"),
    "workspace diff": ("WORKSPACE_ID", "--json"),
    "workspace file list": ("WORKSPACE_ID", "PATH", "--recursive", "--json"),
    "workspace file read": ("WORKSPACE_ID", "PATH", "--max-bytes", "--content-only", "--json"),
    "workspace file write": ("WORKSPACE_ID", "PATH", "--text", "--text-file", "--json"),
    "workspace patch apply": ("WORKSPACE_ID", "--patch", "--patch-file", "--json"),
    "workspace snapshot create": ("WORKSPACE_ID", "SNAPSHOT_NAME", "--json"),
    "workspace snapshot list": ("WORKSPACE_ID", "--json"),
    "workspace snapshot delete": ("WORKSPACE_ID", "SNAPSHOT_NAME", "--json"),
    "mcp serve": ("--profile", "--allow-root"),
    "doctor": ("--boot", "--json"),
    "demo": ("--network", "--json"),
    "daemon status": ("--json",),
    "daemon stop": ("--json",),
    "daemon logs": ("--tail-lines", "--json"),
}
"""Command → its arguments and options."""

_MACHINE_PARAMETERS = (
    "environment",
    "vcpu_count",
    "mem_mib",
    "ttl_seconds",
    "network",
    "allow_host_compat",
    "require_isolation",
)

METHODS: Mapping[str, tuple[str, ...]] = {
    "run_in_vm": (*_MACHINE_PARAMETERS, "command", "timeout_seconds", "on_event", "on_output"),
    "create_vm": (*_MACHINE_PARAMETERS, "on_event"),
    "start_vm": ("vm_id",),
    "exec_vm": ("vm_id", "command", "timeout_seconds", "on_output"),
    "stop_vm": ("vm_id",),
    "delete_vm": ("vm_id",),
    "status_vm": ("vm_id",),
    "network_info_vm": ("vm_id",),
    "reap_expired": (),
    "list_environments": (),
    "pull_environment": ("environment", "on_event"),
    "inspect_environment": ("environment",),
    "prune_environments": (),
    "create_workspace": (
        "environment",
        "vcpu_count",
        "mem_mib",
        "ttl_seconds",
        "network_policy",
        "allow_host_compat",
        "require_isolation",
        "seed_path",
        "name",
        "labels",
        "on_event",
    ),
    "list_workspaces": (),
    "update_workspace": ("workspace_id", "name", "clear_name", "labels", "clear_labels", "ttl_seconds"),
    "status_workspace": ("workspace_id",),
    "delete_workspace": ("workspace_id",),
    "start_workspace": ("workspace_id",),
    "stop_workspace": ("workspace_id",),
    "reset_workspace": ("workspace_id", "snapshot"),
    "exec_workspace": ("workspace_id", "command", "timeout_seconds", "cwd", "env", "stdin", "on_output"),
    "logs_workspace": ("workspace_id",),
    "push_workspace_sync": ("workspace_id", "source_path", "dest"),
    "export_workspace": ("workspace_id", "path", "output_path"),
    "diff_workspace": ("workspace_id",),
    "list_workspace_files": ("workspace_id", "path", "recursive"),
    "read_workspace_file": ("workspace_id", "path", "max_bytes"),
    "write_workspace_file": ("workspace_id", "path", "text"),
    "apply_workspace_patch": ("workspace_id", "patch"),
    "create_snapshot": ("workspace_id", "snapshot_name"),
    "list_snapshots": ("workspace_id",),
    "delete_snapshot": ("workspace_id", "snapshot_name"),
    "daemon_status": (),
    "stop_daemon": (),
}
"""Method of `Pyro` and `AsyncPyro` → its parameters."""

TOOLS: Mapping[str, str] = {
    "vm_run": "run_in_vm",
    "vm_list_environments": "list_environments",
    "vm_create": "create_vm",
    "vm_start": "start_vm",
    "vm_exec": "exec_vm",
    "vm_stop": "stop_vm",
    "vm_delete": "delete_vm",
    "vm_status": "status_vm",
    "vm_network_info": "network_info_vm",
    "vm_reap_expired": "reap_expired",
    "workspace_create": "create_workspace",
    "workspace_list": "list_workspaces",
    "workspace_update": "update_workspace",
    "workspace_status": "status_workspace",
    "workspace_delete": "delete_workspace",
    "workspace_start": "start_workspace",
    "workspace_stop": "stop_workspace",
    "workspace_reset": "reset_workspace",
    "workspace_exec": "exec_workspace",
    "workspace_logs": "logs_workspace",
    "workspace_sync_push": "push_workspace_sync",
    "workspace_export": "export_workspace",
    "workspace_diff": "diff_workspace",
    "workspace_file_list": "list_workspace_files",
    "workspace_file_read": "read_workspace_file",
    "workspace_file_write": "write_workspace_file",
    "workspace_patch_apply": "apply_workspace_patch",
    "snapshot_create": "create_snapshot",
    "snapshot_list": "list_snapshots",
    "snapshot_delete": "delete_snapshot",
}
"""MCP tool → the method it is; its arguments are the method's parameters without callbacks and stdin."""

PROFILES: Mapping[str, tuple[str, ...]] = {
    "vm-run": ("vm_run",),
    "workspace-core": (
        "vm_run",
        "workspace_create",
        "workspace_list",
        "workspace_update",
        "workspace_status",
        "workspace_sync_push",
        "workspace_exec",
        "workspace_logs",
        "workspace_file_list",
        "workspace_file_read",
        "workspace_file_write",
        "workspace_patch_apply",
        "workspace_diff",
        "workspace_export",
        "workspace_reset",
        "workspace_delete",
    ),
    "workspace-full": tuple(TOOLS),
}
"""Profile of `mcp serve` → its tools."""

HIDDEN: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("workspace-core", "workspace_create"): ("network_policy", "allow_host_compat"),
}
"""Profile and tool → parameters that are not offered in it."""

VARIABLES: tuple[str, ...] = (
    "PYRO_STATE_DIR",
    "PYRO_ENVIRONMENT_CACHE_DIR",
    "PYRO_RUNTIME_BUNDLE_DIR",
    "PYRO_VMM",
    "PYRO_REQUIRE_ISOLATION",
    "PYRO_BOOT_TIMEOUT_SECONDS",
    "PYRO_DAEMON_IDLE_SECONDS",
    "PYRO_TEMPLATES",
)
