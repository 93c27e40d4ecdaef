"""`pyro workspace patch apply`: a unified diff, whole or not at all."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.group(short_help="Apply patches.")
def patch() -> None:
    """Change files of a started workspace by patches."""


@patch.command(short_help="Apply a unified diff.")
@options.workspace_id
@click.option("--patch", "text", metavar="TEXT", help="The patch.")
@click.option("--patch-file", metavar="FILE", help="A file of this host with the patch; - is stdin.")
@options.as_json
def apply(workspace_id: str, text: str | None, patch_file: str | None, json_output: bool) -> None:
    """Apply a unified diff of up to 2 MiB, of one file or many: all of it, or nothing."""
    applied = sdk().apply_workspace_patch(workspace_id, patch=options.text_of("patch", text, patch_file))
    if json_output:
        output.json_object(applied)
        return
    show.table((entry["status"], show.path(entry["path"])) for entry in applied["entries"])
    show.summary("workspace-patch", applied["summary"])
