"""`pyro workspace service start · list · status · logs · stop`: programs that run in the background."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyro_mcp.model.living_payloads import ServicePayload

_FACTS = (
    "workspace_id", "service_name", "state", "command", "cwd", "pid", "readiness", "ready_at", "started_at", "ended_at",
    "exit_code", "stop_reason",
)  # fmt: skip
_READY = {"ready_file": ("file", "path"), "ready_tcp": ("tcp", "address"), "ready_http": ("http", "url"),
          "ready_command": ("command", "command")}  # fmt: skip
_PUBLISHED = re.compile(r"(?:(?P<host>[0-9]+):)?(?P<guest>[0-9]+)")

service_name = click.argument("service_name")


@click.group(short_help="Programs that run in the background.")
def service() -> None:
    """Run programs in the background of a started workspace, under names. What they write is kept, and not in
    /workspace."""


def _published(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> list[dict[str, int]] | None:
    ports = [_published_port(value) for value in values]
    return ports or None


def _published_port(value: str) -> dict[str, int]:
    match = _PUBLISHED.fullmatch(value)
    if match is None:
        why = "leave the address out, it is always 127.0.0.1" if value.count(":") > 1 else "ports are numbers"
        raise click.BadParameter(f"{value!r} is not [HOST:]GUEST: {why}; for example 18080:8080")
    ports = {f"{side}_port": int(text) for side, text in match.groupdict().items() if text is not None}
    for port in ports.values():
        if not 1 <= port <= 65535:
            raise click.BadParameter(
                f"{value!r}: a port is 1 to 65535, and for any free port of this host give GUEST alone"
            )
    return ports


@service.command(short_help="Start one and wait until it is ready.")
@options.workspace_id
@service_name
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@options.cwd
@click.option("--ready-file", metavar="PATH", help="It is ready when this file is there.")
@click.option("--ready-tcp", metavar="HOST:PORT", help="It is ready when this address can be connected to.")
@click.option("--ready-http", metavar="URL", help="It is ready when this URL answers with 200 to 399.")
@click.option("--ready-command", metavar="LINE", help="It is ready when this shell line ends with 0.")
@click.option(
    "--ready-timeout-seconds", type=int, default=30, show_default=True, help="How long it may take to be ready, 1-3600."
)
@click.option(
    "--ready-interval-ms", type=int, default=500, show_default=True, help="How often URL and line are tried, 10-60000."
)
@options.secret_env
@click.option(
    "--publish",
    "published_ports",
    multiple=True,
    metavar="[HOST:]GUEST",
    callback=_published,
    help="A port of it for 127.0.0.1 of this host, there HOST or any free one; may be given several times.",
)
@options.as_json
def start(
    workspace_id: str,
    service_name: str,
    command: tuple[str, ...],
    cwd: str,
    ready_timeout_seconds: int,
    ready_interval_ms: int,
    secret_env: dict[str, str],
    published_ports: list[dict[str, int]] | None,
    json_output: bool,
    **ready: str | None,
) -> int:
    """Start COMMAND in the background under a name, and wait until it is ready. Without a --ready option that is at
    once.

    Behind --, one word is a shell line, several words are passed as they are:

    \b
        pyro workspace service start ID web --ready-tcp 127.0.0.1:8080 -- python3 -m http.server 8080

    A service that is not ready in time, or ends before, is ended and ends this command with 1. --publish takes a
    workspace with the network policy egress+published-ports.
    """
    started = sdk().start_service(
        workspace_id,
        service_name,
        command=options.command_of(command),
        cwd=cwd,
        readiness=_readiness(ready),
        ready_timeout_seconds=ready_timeout_seconds,
        ready_interval_ms=ready_interval_ms,
        secret_env=secret_env,
        published_ports=published_ports,
    )
    _show(started, json_output)
    if started["state"] != "failed":
        return 0
    if not json_output:
        output.note(
            f"[workspace-service] {service_name} failed: {started['stop_reason']}; "
            f"`pyro workspace service logs {workspace_id} {service_name}` shows what it wrote"
        )
    return 1


@service.command("list", short_help="Show all services.")
@options.workspace_id
@options.as_json
def list_(workspace_id: str, json_output: bool) -> None:
    """Show all services of a workspace, by name: state, exit status, published ports, command."""
    found = sdk().list_services(workspace_id)
    if json_output:
        output.json_object(found)
    elif not found["count"]:
        output.note("there are no services")
    else:
        show.table(
            (
                entry["service_name"],
                entry["state"],
                "-" if entry["exit_code"] is None else entry["exit_code"],
                " ".join(_ports(entry)) or "-",
                entry["command"],
            )
            for entry in found["services"]
        )


@service.command(short_help="Show one service.")
@options.workspace_id
@service_name
@options.as_json
def status(workspace_id: str, service_name: str, json_output: bool) -> None:
    """Show what a service is and does."""
    _show(sdk().status_service(workspace_id, service_name), json_output)


@service.command(short_help="Print what it wrote.")
@options.workspace_id
@service_name
@click.option("--tail-lines", type=int, default=200, show_default=True, help="How many lines of each output, 1-100000.")
@click.option("--all", "everything", is_flag=True, help="As many as there are, up to 1 MiB of each output.")
@click.option("--follow", is_flag=True, help="Go on with what it writes, until it ends.")
@options.as_json
def logs(
    workspace_id: str, service_name: str, tail_lines: int, everything: bool, follow: bool, json_output: bool
) -> None:
    """Print the end of what a service wrote: its stdout to stdout, its stderr to stderr, as it is."""
    streamed = follow and not json_output
    found = sdk().logs_service(
        workspace_id,
        service_name,
        tail_lines=tail_lines,
        all=everything,
        follow=follow,
        on_output=output.guest_bytes if streamed else None,
    )
    if json_output:
        output.json_object(found)
        return
    if not streamed:
        output.guest_bytes("stdout", found["stdout"].encode(errors="replace"))
        output.guest_bytes("stderr", found["stderr"].encode(errors="replace"))
    ended = "" if found["exit_code"] is None else f" exit_code={found['exit_code']}"
    output.note(
        f"[workspace-service] service_name={found['service_name']} state={found['state']}{ended} "
        f"truncated={str(found['truncated']).lower()}"
    )


@service.command(short_help="End one.")
@options.workspace_id
@service_name
@options.as_json
def stop(workspace_id: str, service_name: str, json_output: bool) -> None:
    """End a service with all that it started. What it wrote is kept."""
    _show(sdk().stop_service(workspace_id, service_name), json_output)


def _readiness(ready: Mapping[str, str | None]) -> dict[str, str] | None:
    given = {option: value for option, value in ready.items() if value is not None}
    if len(given) > 1:
        names = " and ".join(f"--{option.replace('_', '-')}" for option in given)
        raise click.UsageError(f"{names} exclude each other; --ready-command can ask for several things")
    for option, value in given.items():
        kind, field = _READY[option]
        return {"type": kind, field: value}
    return None


def _show(found: ServicePayload, json_output: bool) -> None:
    if json_output:
        output.json_object(found)
        return
    show.facts({name: found[name] for name in _FACTS})  # type: ignore[literal-required]
    for port in _ports(found):
        output.human(f"published_port: {port}")


def _ports(found: ServicePayload) -> list[str]:
    return [f"{port['host']}:{port['host_port']}->{port['guest_port']}" for port in found["published_ports"]]
