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
@options.workspace_id
@click.argument("path", default="/workspace")
@click.option("--recursive", is_flag=True, help="Also what is in the directories in it.")
@options.as_json
def list_(workspace_id: str, path: str, recursive: bool, json_output: bool) -> None:
    """Show what PATH (default: /workspace) holds: type, size in bytes, path, and where a symlink leads."""
    found = sdk().list_workspace_files(workspace_id, path=path, recursive=recursive)
    if json_output:
        output.json_object(found)
    else:
        show.files(found["entries"])


@file.command(short_help="Print a text file.")
@options.workspace_id
@click.argument("path")
@click.option("--max-bytes", type=int, default=65536, show_default=True, help="How much of it, 1-1048576.")
@click.option("--content-only", is_flag=True, help="Print the content as it is and nothing else.")
@options.as_json
def read(workspace_id: str, path: str, max_bytes: int, content_only: bool, json_output: bool) -> None:
    """Print the beginning of a UTF-8 text file. `pyro workspace export` takes files of any kind and size.

    On a terminal, control characters are shown as escapes unless --content-only is given.
    """
    if json_output and content_only:
        raise click.UsageError("--json and --content-only exclude each other")
    found = sdk().read_workspace_file(workspace_id, path, max_bytes=max_bytes)
    if json_output:
        output.json_object(found)
        return
    show.content("workspace-file", found, raw=content_only)


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
