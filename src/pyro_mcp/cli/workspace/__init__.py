"""`pyro workspace`: microVMs that stay. A module here is a command, or a group of them, of the same name."""

from __future__ import annotations

import click

from pyro_mcp.cli.lazy import LazyGroup, Table

COMMANDS: Table = {
    "create": ("pyro_mcp.cli.workspace.create:create", "Make a workspace and start it."),
    "list": ("pyro_mcp.cli.workspace.lifecycle:list_", "Show all workspaces."),
    "status": ("pyro_mcp.cli.workspace.lifecycle:status", "Show one workspace."),
    "update": ("pyro_mcp.cli.workspace.lifecycle:update", "Change name, labels or time to live."),
    "start": ("pyro_mcp.cli.workspace.lifecycle:start", "Start a stopped workspace."),
    "stop": ("pyro_mcp.cli.workspace.lifecycle:stop", "Shut a workspace down, and keep it."),
    "reset": ("pyro_mcp.cli.workspace.lifecycle:reset", "Go back to the baseline or a snapshot."),
    "delete": ("pyro_mcp.cli.workspace.lifecycle:delete", "End a workspace and delete all of it."),
    "exec": ("pyro_mcp.cli.workspace.exec:exec_", "Run one command in a workspace."),
    "logs": ("pyro_mcp.cli.workspace.exec:logs", "Show what was run in a workspace."),
    "shell": ("pyro_mcp.cli.workspace.shell:shell", "Programs on a terminal that stays."),
    "service": ("pyro_mcp.cli.workspace.service:service", "Programs that run in the background."),
    "file": ("pyro_mcp.cli.workspace.file:file", "List, read and write files."),
    "patch": ("pyro_mcp.cli.workspace.patch:patch", "Apply patches."),
    "sync": ("pyro_mcp.cli.workspace.sync:sync", "Bring trees in."),
    "diff": ("pyro_mcp.cli.workspace.diff:diff", "Show what changed since the baseline."),
    "disk": ("pyro_mcp.cli.workspace.disk:disk", "Look at the disks of a stopped workspace."),
    "export": ("pyro_mcp.cli.workspace.export:export", "Take a file or a directory out."),
    "snapshot": ("pyro_mcp.cli.workspace.snapshot:snapshot", "Keep states to go back to."),
}


@click.group(cls=LazyGroup, table=COMMANDS, short_help="Work in a microVM that stays.")
def workspace() -> None:
    """Work in a microVM that stays: with files of its own in /workspace, commands one after the other or side by side,
    and a way back to where it began."""
