"""`pyro workspace snapshot create · list · delete`: states of /workspace to go back to."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.group(short_help="Keep states to go back to.")
def snapshot() -> None:
    """Keep states of /workspace under a name. `pyro workspace reset --snapshot NAME` goes back to one."""


@snapshot.command(short_help="Keep /workspace as it is now.")
@options.workspace_id
@click.argument("snapshot_name")
@options.as_json
def create(workspace_id: str, snapshot_name: str, json_output: bool) -> None:
    """Keep /workspace, as it is at this moment, under a name. Commands may go on meanwhile; the workspace is started.

    A name is 1 to 64 letters, digits, '.', '_' and '-', and not `baseline`.
    """
    made = sdk().create_snapshot(workspace_id, snapshot_name)
    if json_output:
        output.json_object(made)
    else:
        show.facts(made["snapshot"])


@snapshot.command("list", short_help="Show the snapshots of a workspace.")
@options.workspace_id
@options.as_json
def list_(workspace_id: str, json_output: bool) -> None:
    """Show the baseline, then all snapshots, oldest first: name, time, entries, bytes they take here."""
    found = sdk().list_snapshots(workspace_id)
    if json_output:
        output.json_object(found)
    else:
        show.table(
            (
                entry["snapshot_name"],
                entry["created_at"],
                f"entries={entry['entry_count']}",
                f"bytes={entry['bytes_written']}",
            )
            for entry in found["snapshots"]
        )


@snapshot.command(short_help="Delete a snapshot.")
@options.workspace_id
@click.argument("snapshot_name")
@options.as_json
def delete(workspace_id: str, snapshot_name: str, json_output: bool) -> None:
    """Delete a snapshot. The baseline cannot be deleted."""
    gone = sdk().delete_snapshot(workspace_id, snapshot_name)
    if json_output:
        output.json_object(gone)
    else:
        output.human(f"Deleted: {show.path(gone['snapshot_name'])}")
