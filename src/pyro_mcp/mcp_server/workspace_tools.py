"""The tools for workspaces and their snapshots, each one row."""

from __future__ import annotations

from pyro_mcp.mcp_server.parameters import WORKSPACE_LIFE
from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.sdk.client import Pyro

ROWS = (
    Tool(
        "workspace_create",
        Pyro.create_workspace,
        "Create a workspace",
        "Create and start a workspace: a Linux microVM that stays, with files of its own in /workspace. Return its id. "
        "What one command leaves the next one finds. /workspace begins as a copy of seed_path, or empty; that state is "
        "the baseline, which workspace_diff compares with and workspace_reset goes back to. A missing environment is "
        "installed first, which can take a minute.",
        open_world=True,
        parameters={
            **WORKSPACE_LIFE,
            "allow_host_compat": {"description": "Refused for workspaces, which need a VM; vm_run knows it."},
        },
    ),
    Tool(
        "workspace_list",
        Pyro.list_workspaces,
        "List workspaces",
        "List all workspaces with their state, name, labels and end of life.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_update",
        Pyro.update_workspace,
        "Change a workspace's name, labels or life",
        "Change a workspace's name, labels or time to live, which begins anew then. What is not given stays as it is.",
        destructive=True,
        parameters=WORKSPACE_LIFE,
    ),
    Tool(
        "workspace_status",
        Pyro.status_workspace,
        "Show a workspace",
        "Show a workspace's state, size, seed, network, end of life and last command.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_delete",
        Pyro.delete_workspace,
        "Delete a workspace",
        "End a workspace, whatever it is doing, and delete all of it, snapshots included.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "workspace_start",
        Pyro.start_workspace,
        "Start a workspace",
        "Start a workspace that was stopped; all its files are as they were. One that runs is left alone.",
        idempotent=True,
        open_world=True,
    ),
    Tool(
        "workspace_stop",
        Pyro.stop_workspace,
        "Stop a workspace",
        "Shut a workspace's VM down; what runs in it ends. Its files, baseline and snapshots stay until it is deleted "
        "or its time to live is over.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "workspace_reset",
        Pyro.reset_workspace,
        "Reset a workspace",
        "Give a workspace a new VM with /workspace as it was at the baseline or a snapshot. Nothing else in it "
        "survives; its history of commands begins anew. Name, labels, snapshots and time to live stay.",
        destructive=True,
        open_world=True,
    ),
    Tool(
        "workspace_exec",
        Pyro.exec_workspace,
        "Run a command in a workspace",
        "Run one command in a started workspace and return its exit status and output. Commands run as root, without a "
        "terminal and with an empty stdin; several may run at the same time. What they leave running in the background "
        "goes on.",
        destructive=True,
        open_world=True,
    ),
    Tool(
        "workspace_logs",
        Pyro.logs_workspace,
        "Show a workspace's commands",
        "Show the commands that were run in a workspace since its last reset, with their exit status and output.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_sync_push",
        Pyro.push_workspace_sync,
        "Bring files into a workspace",
        "Bring a directory or an archive from the user's machine into a started workspace: all of it, or nothing. What "
        "has the same name there is replaced, what else is there stays.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "workspace_export",
        Pyro.export_workspace,
        "Take files out of a workspace",
        "Copy a file or directory of a started workspace to the user's machine: all of it, or nothing. Nothing there "
        "is replaced.",
    ),
    Tool(
        "workspace_diff",
        Pyro.diff_workspace,
        "Show what changed in a workspace",
        "Show every change of a started workspace's /workspace since the baseline, texts as a unified diff.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_file_list",
        Pyro.list_workspace_files,
        "List files of a workspace",
        "List what a directory of a started workspace holds, with types, sizes and where symlinks lead.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_file_read",
        Pyro.read_workspace_file,
        "Read a file of a workspace",
        "Read the beginning of a UTF-8 text file in a started workspace.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_disk_list",
        Pyro.list_workspace_disk,
        "List files of a stopped workspace",
        "List what a directory of a stopped workspace holds, anywhere in its file system. Takes as long as a boot.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_disk_read",
        Pyro.read_workspace_disk,
        "Read a file of a stopped workspace",
        "Read the beginning of a UTF-8 text file in a stopped workspace, anywhere in its file system.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "workspace_disk_export",
        Pyro.export_workspace_disk,
        "Write a stopped workspace to an image",
        "Write everything a stopped workspace holds to one raw ext4 image on the user's machine. Nothing there is "
        "replaced.",
    ),
    Tool(
        "workspace_file_write",
        Pyro.write_workspace_file,
        "Write a file of a workspace",
        "Make a file in a started workspace hold a text, whatever it held before. Directories above it are made.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "workspace_patch_apply",
        Pyro.apply_workspace_patch,
        "Apply a patch in a workspace",
        "Apply a unified diff in a started workspace: all of it, or nothing. It may add, change and delete files.",
        destructive=True,
    ),
    Tool(
        "snapshot_create",
        Pyro.create_snapshot,
        "Create a snapshot",
        "Keep a started workspace's /workspace, as it is now, under a name; workspace_reset goes back to it.",
    ),
    Tool(
        "snapshot_list",
        Pyro.list_snapshots,
        "List snapshots",
        "List the baseline and all snapshots of a workspace.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "snapshot_delete",
        Pyro.delete_snapshot,
        "Delete a snapshot",
        "Delete a snapshot of a workspace. The baseline cannot be deleted.",
        destructive=True,
        idempotent=True,
    ),
)
