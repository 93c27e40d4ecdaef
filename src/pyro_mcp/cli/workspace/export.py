"""`pyro workspace export`: out of a workspace, to this host."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.command(short_help="Take a file or a directory out.")
@options.workspace_id
@click.argument("path")
@click.option("--output", "output_path", required=True, metavar="HOST_PATH", help="Where to; nothing may be there yet.")
@options.as_json
def export(workspace_id: str, path: str, output_path: str, json_output: bool) -> None:
    """Take PATH, a file or a directory in /workspace, out of a started workspace: all of it, or nothing.

    Modes, times, symlinks and hard links stay what they are; the files belong to you. They may be programs, and
    symlinks may lead anywhere: look before you run them or follow those.
    """
    taken = sdk().export_workspace(workspace_id, path, output_path=output_path)
    if json_output:
        output.json_object(taken)
        return
    output.human(
        f"Exported: {show.path(taken['workspace_path'])} to {show.path(taken['output_path'])} "
        f"({taken['artifact_type']}, {taken['entry_count']} entries, {taken['bytes_written']} bytes)"
    )
    show.left_out("workspace-export", taken["skipped"], taken["skipped_count"])
