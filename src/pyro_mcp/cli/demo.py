"""`pyro demo`: proof that a command runs in a VM and that the VM is gone afterwards."""

from __future__ import annotations

import click

from pyro_mcp.cli import output
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.sdk.client import Pyro

ENVIRONMENT = "debian:12"
COMMAND = ("git", "--version")
# A name is looked up, and a connection made to what it stands for: whose address that is shows in the output.
NETWORK_COMMAND = (
    "python3",
    "-c",
    'import socket; print(socket.create_connection(("example.com", 443), 20).getpeername()[0])',
)


@click.command(short_help="Show the whole life of a microVM.")
@click.option("--network", is_flag=True, help="Give it a network, and connect from it to example.com.")
@click.option("--json", is_flag=True, expose_value=False, help="Is what it prints anyway.")
def demo(network: bool) -> int:
    """Create a microVM, run `git --version` in it, delete it, and print what happened as one JSON object.

    With --network a line of Python in it connects to example.com instead, and prints the address that answered.
    """
    with PullProgress(quiet=False) as progress:
        result = Pyro().run_in_vm(
            environment=ENVIRONMENT,
            command=NETWORK_COMMAND if network else COMMAND,
            network=network,
            on_event=progress.on_event,
            on_output=_on_output,
        )
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


def _on_output(stream: str, data: bytes) -> None:
    """Why it failed, if it did: the object has no room for that."""
    if stream == "stderr":
        output.guest_bytes(stream, data)
