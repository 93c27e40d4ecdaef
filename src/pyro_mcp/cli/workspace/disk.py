"""`pyro workspace disk list · read · export`: what a stopped workspace has on its disks."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show


@click.group(short_help="Look at the disks of a stopped workspace.")
def disk() -> None:
    """Look at the disks of a stopped workspace. A PATH may lie anywhere in its guest; a relative one begins in
    /workspace. A helper machine looks at copies of the disks, which takes as long as a start."""


@disk.command("list", short_help="Show what a directory holds.")
@options.to_list
def list_(workspace_id: str, path: str, recursive: bool, json_output: bool) -> None:
    """Show what PATH (default: /workspace) holds: type, size in bytes, path, and where a symlink leads."""
    show.listing(sdk().list_workspace_disk(workspace_id, path=path, recursive=recursive), as_json=json_output)


@disk.command(short_help="Print a text file.")
@options.to_read
def read(workspace_id: str, path: str, max_bytes: int, content_only: bool, json_output: bool) -> None:
    """Print the beginning of a UTF-8 text file. On a terminal, control characters are shown as escapes."""
    options.json_or_raw(json_output, content_only)
    found = sdk().read_workspace_disk(workspace_id, path, max_bytes=max_bytes)
    show.content("workspace-disk", found, raw=content_only, as_json=json_output)


@disk.command(short_help="Write everything to one image.")
@options.workspace_id
@click.option("--output", "output_path", required=True, metavar="HOST_PATH", help="Where to; nothing may be there yet.")
@options.as_json
def export(workspace_id: str, output_path: str, json_output: bool) -> None:
    """Write all that the stopped guest had, /workspace included, to one raw ext4 image that `mount -o loop` takes.

    A file system that a guest has written is hostile: mount it in a VM, or read it with tools that bear that.
    """
    taken = sdk().export_workspace_disk(workspace_id, output_path=output_path)
    if json_output:
        output.json_object(taken)
        return
    output.human(
        f"Exported: {show.path(taken['output_path'])} "
        f"({taken['size_bytes']} bytes, {taken['bytes_written']} of them on the disk)"
    )
