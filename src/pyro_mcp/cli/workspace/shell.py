"""`pyro workspace shell open · read · write · signal · close · attach`: a terminal that stays between commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.cli.workspace import show
from pyro_mcp.model.printable import printable

if TYPE_CHECKING:
    from pyro_mcp.model.living_payloads import ShellPayload

_FACTS = ("workspace_id", "shell_id", "cwd", "cols", "rows", "state", "exit_code")

shell_id = click.argument("shell_id")


@click.group(short_help="Programs on a terminal that stays.")
def shell() -> None:
    """Work on terminals of a started workspace that stay between commands, each with a shell: what one command has
    typed the next one finds."""


@shell.command("open", short_help="Open a shell.")
@options.workspace_id
@options.cwd
@click.option("--cols", type=int, default=120, show_default=True, help="Columns of its terminal, 1-1000.")
@click.option("--rows", type=int, default=30, show_default=True, help="Lines of its terminal, 1-1000.")
@options.secret_env
@options.as_json
@click.option("--id-only", is_flag=True, help="Print the shell's id and nothing else.")
def open_(
    workspace_id: str, cwd: str, cols: int, rows: int, secret_env: dict[str, str], json_output: bool, id_only: bool
) -> None:
    """Open a login shell on a terminal of its own. It stays until it ends, is closed, or its workspace is stopped."""
    if json_output and id_only:
        raise click.UsageError("--json and --id-only exclude each other")
    opened = sdk().open_shell(workspace_id, cwd=cwd, cols=cols, rows=rows, secret_env=secret_env)
    if id_only:
        output.human(opened["shell_id"])
    else:
        _show(opened, json_output)


@shell.command(short_help="Print what it wrote.")
@options.workspace_id
@shell_id
@click.option("--cursor", type=int, default=0, show_default=True, help="Where to begin: a next_cursor of before.")
@click.option("--max-chars", type=int, default=65536, show_default=True, help="How much of it, 1-1048576.")
@click.option("--plain", is_flag=True, help="Text only: without colours and cursor movements, lines as they look.")
@click.option("--wait-for-idle-ms", type=int, help="First wait until nothing was written for so long, 0-10000.")
@options.as_json
def read(
    workspace_id: str,
    shell_id: str,
    cursor: int,
    max_chars: int,
    plain: bool,
    wait_for_idle_ms: int | None,
    json_output: bool,
) -> None:
    """Print what a shell's terminal wrote from a cursor on; stderr says where the next read goes on.

    On a terminal, control characters are shown as escapes.
    """
    found = sdk().read_shell(
        workspace_id, shell_id, cursor=cursor, max_chars=max_chars, plain=plain, wait_for_idle_ms=wait_for_idle_ms
    )
    if json_output:
        output.json_object(found)
        return
    output.terminal_text(found["output"])
    ended = "" if found["exit_code"] is None else f" exit_code={found['exit_code']}"
    output.note(
        f"[workspace-shell] cursor={found['cursor']} next_cursor={found['next_cursor']} "
        f"truncated={str(found['truncated']).lower()} lost_bytes={found['lost_bytes']} state={found['state']}{ended}"
    )


@shell.command(short_help="Type something.")
@options.workspace_id
@shell_id
@click.option("--input", "text", required=True, metavar="TEXT", help="What to type.")
@click.option("--no-newline", is_flag=True, help="Do not press Enter behind it.")
@options.as_json
def write(workspace_id: str, shell_id: str, text: str, no_newline: bool, json_output: bool) -> None:
    """Type a text into a shell, and Enter. What comes of it is for `read`."""
    written = sdk().write_shell(workspace_id, shell_id, input=text, append_newline=not no_newline)
    if json_output:
        output.json_object(written)
    else:
        enter = " and Enter" if written["append_newline"] else ""
        output.human(f"Wrote: {written['input_length']} characters{enter} to {printable(written['shell_id'])}")


@shell.command(short_help="Send a signal.")
@options.workspace_id
@shell_id
@click.option(
    "--signal",
    "signal_name",
    type=click.Choice(["INT", "TERM", "KILL", "HUP"]),
    default="INT",
    show_default=True,
    help="Which one.",
)
@options.as_json
def signal(workspace_id: str, shell_id: str, signal_name: str, json_output: bool) -> None:
    """Send a signal to what runs in the foreground of a shell's terminal. INT is what Ctrl-C does."""
    _show(sdk().signal_shell(workspace_id, shell_id, signal_name=signal_name), json_output)


@shell.command(short_help="End a shell.")
@options.workspace_id
@shell_id
@options.as_json
def close(workspace_id: str, shell_id: str, json_output: bool) -> None:
    """End a shell with all that it started, and forget it."""
    _show(sdk().close_shell(workspace_id, shell_id), json_output)


@shell.command(short_help="Use a shell as your own.")
@options.workspace_id
@click.argument("shell_id", required=False)
@options.as_json
def attach(workspace_id: str, shell_id: str | None, json_output: bool) -> int:
    """Connect this terminal with a shell: a new one of its size, or SHELL_ID, which takes its size.

    Ctrl-P Ctrl-Q leaves it running and gives this terminal back; so does whatever else ends this command. If the shell
    ends, its exit status is that of this command. Of an older shell you see what it writes from now on; programs that
    fill the screen draw it anew.
    """
    from pyro_mcp.cli.workspace.attach import attach as attach_here  # noqa: PLC0415 - needs the SDK, which help does not

    ended = attach_here(workspace_id, shell_id)
    if json_output:
        output.json_object(ended)
    exit_code = ended["exit_code"]
    return exit_code if isinstance(exit_code, int) else 0


def _show(found: ShellPayload, json_output: bool) -> None:
    if json_output:
        output.json_object(found)
    else:
        show.facts({name: found[name] for name in _FACTS})  # type: ignore[literal-required]
