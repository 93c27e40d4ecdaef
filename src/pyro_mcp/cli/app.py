"""The command tree, and how every command ends."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from pyro_mcp._version import __version__
from pyro_mcp.cli import output
from pyro_mcp.cli.lazy import LazyGroup, Table
from pyro_mcp.errors import HostError, PyroError, UsageError

COMMANDS: Table = {
    "run": ("pyro_mcp.cli.run:run", "Run one command in a fresh microVM."),
    "workspace": ("pyro_mcp.cli.workspace:workspace", "Work in a microVM that stays."),
    "env": ("pyro_mcp.cli.env:env", "List, install and remove environments."),
    "mcp": ("pyro_mcp.cli.mcp:mcp", "Serve tools to language models."),
    "doctor": ("pyro_mcp.cli.doctor:doctor", "Check this host."),
    "demo": ("pyro_mcp.cli.demo:demo", "Show the whole life of a microVM."),
    "daemon": ("pyro_mcp.cli.daemon:daemon", "Look at the daemon or stop it."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="pyro %(version)s")
def pyro() -> None:
    """Give a coding agent a computer of its own: microVMs that start fast, can be thrown away, and never touch this
    one."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the process's exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    as_json = "--json" in arguments[: list(arguments).index("--") if "--" in arguments else None]
    try:
        status = pyro.main(list(arguments), prog_name="pyro", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        output.human(error.format_message())
        return 2
    except click.ClickException as error:
        hint = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "pyro"
        message = " ".join(error.format_message().split())
        return _failed(UsageError(message, hint=f"`{hint} --help` shows how"), as_json)
    except PyroError as error:
        return _failed(error, as_json)
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except output.Terminated as error:
        return error.exit_status
    except OSError as error:
        output.settle()
        where = f": {error.filename}" if error.filename else ""
        return _failed(HostError(f"{error.strerror or error}{where}", code="host-io"), as_json)
    except Exception as error:  # noqa: BLE001 - the edge: a person gets one line, never a traceback
        bug = PyroError(f"pyro failed in a way nobody foresaw: {error!r}", code="internal", hint="please report this")
        return _failed(bug, as_json)
    return status if isinstance(status, int) else 0


def _failed(error: PyroError, as_json: bool) -> int:
    try:
        if as_json and error.code != "output-failed":
            output.json_object(error.to_payload())
        else:
            output.error(error)
    except (HostError, output.Terminated):
        return error.exit_status  # there is nowhere left to say it
    return error.exit_status


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise output.Terminated(number)
