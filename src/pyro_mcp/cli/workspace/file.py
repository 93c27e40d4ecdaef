"""`pyro workspace file list · read · write`: single files by name."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.group(short_help="List, read and write files.")
def file() -> None:
    """List, read and write files of a started workspace. A PATH lies in /workspace, or is relative to it."""


@file.command("list", short_help="Show what a directory holds.")
@options.to_list
def list_(workspace_id: str, path: str, recursive: bool, json_output: bool) -> None:
    """Show what PATH (default: /workspace) holds: type, size in bytes, path, and where a symlink leads."""
    show.listing(sdk().list_workspace_files(workspace_id, path=path, recursive=recursive), as_json=json_output)


@file.command(short_help="Print a text file.")
@options.to_read
def read(workspace_id: str, path: str, max_bytes: int, content_only: bool, json_output: bool) -> None:
    """Print the beginning of a UTF-8 text file. `pyro workspace export` takes files of any kind and size.

    On a terminal, control characters are shown as escapes unless --content-only is given.
    """
    options.json_or_raw(json_output, content_only)
    found = sdk().read_workspace_file(workspace_id, path, max_bytes=max_bytes)
    show.content("workspace-file", found, raw=content_only, as_json=json_output)


@file.command(short_help="Make a file hold a text.")
@options.workspace_id
@click.argument("path")
@click.option("--text", help="The text.")
@click.option("--text-file", metavar="FILE", help="A file of this host with the text; - is stdin.")
@options.as_json
def write(workspace_id: str, path: str, text: str | None, text_file: str | None, json_output: bool) -> None:
    """Make a file hold a text of up to 1 MiB, at once. Directories above it are made; an old file keeps its mode."""
    written = sdk().write_workspace_file(workspace_id, path, text=options.text_of("text", text, text_file))
    if json_output:
        output.json_object(written)
    else:
        output.human(f"Wrote: {show.path(written['path'])} ({written['bytes_written']} bytes)")
