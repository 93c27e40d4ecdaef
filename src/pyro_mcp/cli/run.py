"""`pyro run`: one command in a VM that is gone afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.sdk.client import Pyro


@click.command(short_help="Run one command in a fresh microVM.")
@click.argument("environment")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@options.machine
@click.option("--timeout-seconds", type=int, default=30, show_default=True, help="Time limit of the command, 1-86400.")
@options.as_json
def run(
    environment: str,
    command: tuple[str, ...],
    timeout_seconds: int,
    json_output: bool,
    vcpu_count: int,
    mem_mib: int,
    ttl_seconds: int,
    network: bool,
    allow: tuple[str, ...],
    allow_host_compat: bool,
    require_isolation: str | None,
) -> int:
    """Run COMMAND in a fresh microVM of ENVIRONMENT and end with its exit status.

    Behind --, one word is a shell line, several words are passed as they are:

    \b
        pyro run debian:12 -- git --version
        pyro run debian:12 -- 'ls /etc | wc -l'

    A timeout ends with status 124; a command that is not found with 127. The VM is gone afterwards in any case.
    """
    with PullProgress(quiet=json_output) as progress:

        def on_event(event: Mapping[str, object]) -> None:
            progress.on_event(event)
            if event.get("event") == "host_compat":
                output.note(f"[run] WARNING: this command runs on this host, without isolation: {event['reason']}")
            if event.get("event") == "phase" and not json_output:
                facts = " ".join(f"{name}={value}" for name, value in event.items() if name != "event")
                output.note(f"[run] {facts}")

        result = Pyro().run_in_vm(
            environment=environment,
            command=options.command_of(command),
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            timeout_seconds=timeout_seconds,
            ttl_seconds=ttl_seconds,
            network=network,
            allow=allow,
            allow_host_compat=allow_host_compat,
            require_isolation=require_isolation,
            on_event=on_event,
            on_output=None if json_output else output.guest_bytes,
        )
    if json_output:
        output.json_object(result)
    else:
        output.note(
            f"[run] environment={result['environment']} execution_mode={result['execution_mode']} "
            f"isolation={result['isolation']} exit_code={result['exit_code']} duration_ms={result['duration_ms']}"
        )
    return result["exit_code"]
