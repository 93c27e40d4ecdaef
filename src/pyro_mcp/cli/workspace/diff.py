"""`pyro workspace diff`: what changed since the baseline."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.command(short_help="Show what changed since the baseline.")
@options.workspace_id
@options.as_json
def diff(workspace_id: str, json_output: bool) -> None:
    """Print every change of a started workspace's /workspace since the baseline, as a patch that `git apply` takes.

    What no patch can say (binary files, directories and more) is named on stderr. On a terminal, control characters are
    shown as escapes.
    """
    found = sdk().diff_workspace(workspace_id)
    if json_output:
        output.json_object(found)
        return
    output.text(found["patch"])
    for entry in found["entries"]:
        if entry["text_patch"] is None:
            output.note(f"[workspace-diff] {entry['status']} {entry['artifact_type']} {show.path(entry['path'])}")
    if found["patch_truncated"]:
        output.note("[workspace-diff] there is more than one answer can hold: of some files the text is left out")
    show.summary("workspace-diff", found["summary"])
