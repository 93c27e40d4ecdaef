"""`pyro workspace exec · logs`: commands, and what became of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.lazy import sdk
from pyro_mcp.model.printable import printable

if TYPE_CHECKING:
    from pyro_mcp.model.workspace_payloads import LogEntryPayload


@click.command("exec", short_help="Run one command in a workspace.")
@options.workspace_id
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-i", "--stdin", "pass_stdin", is_flag=True, help="Give the command our stdin; else it has an empty one.")
@options.pairs("--env", "variables", metavar="NAME=VALUE", text="A variable for it; may be given several times.")
@options.secret_env
@options.cwd
@click.option("--timeout-seconds", type=int, default=30, show_default=True, help="Time limit of the command, 1-86400.")
@options.as_json
def exec_(
    workspace_id: str,
    command: tuple[str, ...],
    pass_stdin: bool,
    variables: dict[str, str],
    secret_env: dict[str, str],
    cwd: str,
    timeout_seconds: int,
    json_output: bool,
) -> int:
    """Run COMMAND in a workspace and end with its exit status. Others may run at the same time.

    Behind --, one word is a shell line, several words are passed as they are:

    \b
        pyro workspace exec ID -- git status
        pyro workspace exec ID -- 'make 2>&1 | tail'
        pyro workspace exec ID -i -- tar -xf - < tree.tar

    A timeout ends with status 124; a command that is not found with 127. Ctrl-C kills it with all that it started.
    """
    result = sdk().exec_workspace(
        workspace_id,
        command=options.command_of(command),
        timeout_seconds=timeout_seconds,
        cwd=cwd,
        env=variables,
        secret_env=secret_env,
        stdin=_our_stdin() if pass_stdin else None,
        on_output=None if json_output else output.guest_bytes,
    )
    if json_output:
        output.json_object(result)
    else:
        output.note(
            f"[workspace-exec] workspace_id={result['workspace_id']} sequence={result['sequence']} "
            f"cwd={printable(result['cwd'], limit=200)} execution_mode={result['execution_mode']} "
            f"isolation={result['isolation']} exit_code={result['exit_code']} duration_ms={result['duration_ms']}"
        )
    return result["exit_code"]


@click.command(short_help="Show what was run in a workspace.")
@options.workspace_id
@options.as_json
def logs(workspace_id: str, json_output: bool) -> None:
    """Show what was run since the last reset, oldest first, with up to 64 KiB of each output.

    Lines of a command's stdout stand behind `|`, those of its stderr behind `!`.
    """
    found = sdk().logs_workspace(workspace_id)
    if json_output:
        output.json_object(found)
        return
    for entry in found["entries"]:
        output.human("\n".join(_entry(entry)))


def _entry(entry: LogEntryPayload) -> list[str]:
    head = f"[{entry['sequence']}] {entry['recorded_at']} cwd={printable(entry['cwd'])} state={entry['state']}"
    if entry["exit_code"] is not None:
        head += f" exit_code={entry['exit_code']} duration_ms={entry['duration_ms']}"
    return [
        head,
        *_lines("$", entry["command"]),
        *_lines("|", entry["stdout"]),
        *_lines("!", entry["stderr"]),
    ]


def _lines(mark: str, text: str) -> list[str]:
    """Each line of a text behind a mark, so that none can pass for one of ours."""
    return [f"{mark} {line}" for line in output.harmless(text.removesuffix("\n")).split("\n")] if text else []


def _our_stdin() -> bytes | BinaryIO:
    return b"" if sys.stdin is None else sys.stdin.buffer
