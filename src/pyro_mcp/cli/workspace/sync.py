"""`pyro workspace sync push`: a tree of this host into a workspace."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.group(short_help="Bring trees in.")
def sync() -> None:
    """Bring trees of this host into a started workspace."""


@sync.command(short_help="Bring in a directory or an archive.")
@options.workspace_id
@click.argument("source_path")
@click.option("--dest", default="/workspace", show_default=True, metavar="PATH", help="Where to, in /workspace.")
@options.as_json
def push(workspace_id: str, source_path: str, dest: str, json_output: bool) -> None:
    """Bring what SOURCE_PATH holds, a directory or an archive (.tar, .tar.gz, .tgz, .tar.zst), into a directory of the
    workspace: all of it, or nothing. What has the same name is replaced, what else is there stays."""
    pushed = sdk().push_workspace_sync(workspace_id, source_path, dest=dest)
    if json_output:
        output.json_object(pushed)
        return
    done = pushed["workspace_sync"]
    output.human(
        f"Pushed: {show.path(done['source_path'])} to {show.path(done['destination'])} "
        f"({done['entry_count']} entries, {done['bytes_written']} bytes)"
    )
    show.left_out("workspace-sync", done["skipped"], done["skipped_count"])
