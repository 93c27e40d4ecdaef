"""`pyro daemon`: the process behind the other commands."""

from __future__ import annotations

from collections import deque

import click

from pyro_mcp.cli import options, output
from pyro_mcp.config import Settings
from pyro_mcp.model.payloads import DaemonPayload
from pyro_mcp.model.printable import printable
from pyro_mcp.sdk.client import Pyro


@click.group(short_help="Look at the daemon or stop it.")
def daemon() -> None:
    """Look at the daemon or stop it. It starts by itself when needed and ends when idle."""


@daemon.command(short_help="Is there one, and what does it do?")
@options.as_json
def status(json_output: bool) -> None:
    """Say whether a daemon runs for this state directory, and what it holds. Starts none."""
    _show(Pyro().daemon_status(), json_output)


@daemon.command(short_help="End it and what runs in it.")
@options.as_json
def stop(json_output: bool) -> None:
    """End the daemon: running commands are broken off, one-shot VMs deleted, other VMs stopped."""
    _show(Pyro().stop_daemon(), json_output)


@daemon.command(short_help="Print its log.")
@click.option("--tail-lines", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many lines.")
@options.as_json
def logs(tail_lines: int, json_output: bool) -> None:
    """Print the end of the daemon's log, whether it runs or not."""
    lines: deque[str] = deque(maxlen=tail_lines)
    try:
        with Settings.from_environment().daemon_log.open(encoding="utf-8", errors="replace") as log:
            lines.extend(line.rstrip("\n") for line in log)
    except (FileNotFoundError, NotADirectoryError):
        if not json_output:
            output.note("there is no log: no daemon has run for this state directory")
    if json_output:
        output.json_object({"lines": list(lines)})
        return
    for line in lines:
        output.human(printable(line, limit=4000))


def _show(found: DaemonPayload, json_output: bool) -> None:
    if json_output:
        output.json_object(found)
        return
    for name, value in found.items():
        if name != "starts":  # `pyro doctor` shows them
            output.human(f"{name}: {value}")
