"""`pyro env`: what guests can run in."""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.sdk.client import Pyro


@click.group(short_help="List, install and remove environments.")
def env() -> None:
    """List, install and remove environments: the Linux systems that guests run."""


@env.command("list", short_help="Show the catalog.")
@options.as_json
def list_(json_output: bool) -> None:
    """Show the catalog and what of it is installed."""
    found = Pyro().list_environments()
    if json_output:
        output.json_object(found)
        return
    output.human(f"Catalog version: {found['catalog_version']}")
    for environment in found["environments"]:
        state = "installed" if environment["installed"] else "not installed"
        output.human(f"{environment['name']} [{state}] {environment['description']}")


@env.command(short_help="Install one environment.")
@click.argument("environment")
@options.as_json
def pull(environment: str, json_output: bool) -> None:
    """Install ENVIRONMENT, so that the next run starts at once. Built here, from Debian's archive, in about half a
    minute. An installed one is left alone, a damaged one is made anew."""
    with PullProgress(quiet=json_output) as progress:
        result = Pyro().pull_environment(environment, on_event=progress.on_event)
    if json_output:
        output.json_object(result)
        return
    output.note(f"[pull] phase=ready environment={environment}")
    output.human(f"Pulled: {environment}")


@env.command(short_help="Show one environment.")
@click.argument("environment")
@options.as_json
def inspect(environment: str, json_output: bool) -> None:
    """Show what is known of ENVIRONMENT. An installed image that was touched since is compared with its digest."""
    found = Pyro().inspect_environment(environment)
    if json_output:
        output.json_object(found)
        return
    for name, value in found.items():
        output.human(f"{name}: {value}")


@env.command(short_help="Remove what is no longer needed.")
@options.as_json
def prune(json_output: bool) -> None:
    """Remove environments of other catalog versions and whatever the cache holds without need."""
    result = Pyro().prune_environments()
    if json_output:
        output.json_object(result)
        return
    for name in result["deleted_environments"]:
        output.human(f"Deleted: {name}")
    output.human(f"Freed: {result['freed_bytes'] / (1 << 20):.1f} MiB")
