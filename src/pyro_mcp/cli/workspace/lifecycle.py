"""`pyro workspace list · status · update · start · stop · reset · delete`: what there is, and how it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show

if TYPE_CHECKING:
    from pyro_mcp.model.workspace_payloads import WorkspacePayload


@click.command("list", short_help="Show all workspaces.")
@options.as_json
def list_(json_output: bool) -> None:
    """Show all workspaces, oldest first: id, state, environment, end of life, name, labels."""
    found = sdk().list_workspaces()
    if json_output:
        output.json_object(found)
    elif not found["count"]:
        output.note("there are no workspaces")
    else:
        show.table(
            (
                entry["workspace_id"],
                entry["state"],
                entry["environment"],
                entry["expires_at"] or "never",
                entry["name"] or "-",
                " ".join(f"{key}={value}" for key, value in entry["labels"].items()),
            )
            for entry in found["workspaces"]
        )


@click.command(short_help="Show one workspace.")
@options.workspace_id
@options.as_json
def status(workspace_id: str, json_output: bool) -> None:
    """Show what a workspace is and does."""
    _show(sdk().status_workspace(workspace_id), json_output)


@click.command(short_help="Change name, labels or time to live.")
@options.workspace_id
@click.option("--name", help="Its new name.")
@click.option("--clear-name", is_flag=True, help="Take its name away.")
@options.pairs("--label", "labels", metavar="KEY=VALUE", text="A label to set; may be given several times.")
@click.option("--clear-label", "clear_labels", multiple=True, metavar="KEY", help="A label to take away.")
@click.option("--ttl-seconds", type=int, help="How long it lives from now on, 60-31536000; 0 is for ever.")
@options.as_json
def update(
    workspace_id: str,
    name: str | None,
    clear_name: bool,
    labels: dict[str, str],
    clear_labels: tuple[str, ...],
    ttl_seconds: int | None,
    json_output: bool,
) -> None:
    """Change a workspace's name, labels or time to live. What is not named stays."""
    if name is None and not (clear_name or labels or clear_labels) and ttl_seconds is None:
        raise click.UsageError("there is nothing to change: give at least one option")
    changed = sdk().update_workspace(
        workspace_id,
        name=name,
        clear_name=clear_name,
        labels=labels,
        clear_labels=clear_labels,
        ttl_seconds=ttl_seconds,
    )
    _show(changed, json_output)


@click.command(short_help="Start a stopped workspace.")
@options.workspace_id
@options.as_json
def start(workspace_id: str, json_output: bool) -> None:
    """Start a stopped workspace: all its files are as they were. One that runs is left alone."""
    _show(sdk().start_workspace(workspace_id), json_output)


@click.command(short_help="Shut a workspace down, and keep it.")
@options.workspace_id
@options.as_json
def stop(workspace_id: str, json_output: bool) -> None:
    """Shut a workspace's guest down; commands in it end. Its files, baseline and snapshots stay, its time goes on."""
    _show(sdk().stop_workspace(workspace_id), json_output)


@click.command(short_help="Go back to the baseline or a snapshot.")
@options.workspace_id
@click.option("--snapshot", default="baseline", show_default=True, metavar="NAME", help="Where to go back to.")
@options.as_json
def reset(workspace_id: str, snapshot: str, json_output: bool) -> None:
    """Make the workspace's sandbox anew, with /workspace as it was at the baseline or a snapshot.

    Nothing else in it survives, nor does the history of its commands. Id, name, labels, snapshots and time to live
    stay. If it fails, everything stays as it was.
    """
    _show(sdk().reset_workspace(workspace_id, snapshot=snapshot), json_output)


@click.command(short_help="End a workspace and delete all of it.")
@options.workspace_id
@options.as_json
def delete(workspace_id: str, json_output: bool) -> None:
    """End a workspace, whatever it is doing, and delete all of it, snapshots included."""
    gone = sdk().delete_workspace(workspace_id)
    if json_output:
        output.json_object(gone)
    else:
        output.human(f"Deleted: {gone['workspace_id']}")


def _show(payload: WorkspacePayload, json_output: bool) -> None:
    if json_output:
        output.json_object(payload)
    else:
        show.workspace(payload)
