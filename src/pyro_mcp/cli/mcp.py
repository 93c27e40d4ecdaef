"""`pyro mcp`: the server that gives language models their tools."""

from __future__ import annotations

import signal

import click

from pyro_mcp.mcp_server.profiles import DEFAULT_PROFILE, PROFILES


@click.group(short_help="Serve tools to language models.")
def mcp() -> None:
    """Serve pyro's tools over the Model Context Protocol."""


@mcp.command(short_help="Serve one client over stdin and stdout.")
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default=DEFAULT_PROFILE,
    show_default=True,
    help="Which tools to offer.",
)
@click.option(
    "--allow-root",
    "allow_roots",
    multiple=True,
    metavar="DIR",
    help="A directory that models may name files in; may be given several times. [default: the working directory]",
)
def serve(profile: str, allow_roots: tuple[str, ...]) -> None:
    """Serve one client over stdin and stdout until it closes stdin.

    MCP clients start this command themselves; docs/integrations.md shows how to tell them. Where a tool takes files
    of this host or leaves some here, relative paths begin in the first DIR. Started in `/` without a DIR, models may
    name no files of this host.
    """
    from pyro_mcp.mcp_server.server import serve as serve_client  # noqa: PLC0415 - the `mcp` package loads slowly

    # A thread that reads stdin cannot be interrupted, and need not be: however this process ends, its connections to
    # the daemon close, and the daemon undoes what was under way.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    serve_client(profile, allow_roots=allow_roots or None)
