"""`pyro demo`: proof that a command runs in a VM and that the VM is gone afterwards."""

from __future__ import annotations

import click

from pyro_mcp.cli import output
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.sdk.client import Pyro

ENVIRONMENT = "debian:12"
COMMAND = ("git", "--version")


@click.command(short_help="Show the whole life of a microVM.")
@click.option("--network", is_flag=True, help="Let the guest reach the outside.")
@click.option("--json", is_flag=True, expose_value=False, help="Is what it prints anyway.")
def demo(network: bool) -> int:
    """Create a microVM, run `git --version` in it, delete it, and print what happened as one JSON object."""
    with PullProgress(quiet=False) as progress:
        result = Pyro().run_in_vm(environment=ENVIRONMENT, command=COMMAND, network=network, on_event=progress.on_event)
    output.json_object(
        {
            "cleanup": result["cleanup"],
            "command": result["command"],
            "environment": result["environment"],
            "execution_mode": result["execution_mode"],
            "isolation": result["isolation"],
            "exit_code": result["exit_code"],
            "stdout": result["stdout"],
        }
    )
    return result["exit_code"]
