"""The command tree as `pyro --help` shows it: fast, since it loads no command for that."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pyro_mcp.cli import workspace
from pyro_mcp.cli.app import COMMANDS, pyro

LISTING = """
import sys
from pyro_mcp.cli.app import run
status = run(sys.argv[1:])
print("loaded:", *sys.modules)
sys.exit(status)
"""

UNUSED = {"asyncio", "mcp", "rich", "pyro_mcp.sdk", "pyro_mcp.mcp_server"}


def loaded_by(*arguments: str) -> tuple[int, str, set[str]]:
    """Exit status and output of a command line, and what it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    shown, loaded = done.stdout.split("loaded:")
    return done.returncode, shown, set(loaded.split())


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["-h"], 0), ([], 2)])
def test_the_list_of_commands_loads_none_of_them(arguments: list[str], status: int) -> None:
    ended, shown, modules = loaded_by(*arguments)

    assert ended == status
    assert [name for name, (_, line) in COMMANDS.items() if f"  {name} " not in shown or line not in shown] == []
    assert "pyro_mcp.cli.app" in modules
    assert modules.isdisjoint(place.partition(":")[0] for place, _ in COMMANDS.values())
    assert modules.isdisjoint(UNUSED)


def test_the_list_of_a_group_loads_none_of_its_commands() -> None:
    ended, shown, modules = loaded_by("workspace", "--help")

    assert ended == 0
    assert [
        name for name, (_, line) in workspace.COMMANDS.items() if f"  {name} " not in shown or line not in shown
    ] == []
    assert modules.isdisjoint(place.partition(":")[0] for place, _ in workspace.COMMANDS.values())
    assert modules.isdisjoint(UNUSED)


@pytest.mark.parametrize(
    "command", ["create", "exec", "diff", "file read", "snapshot list", "shell read", "shell attach", "service start"]
)
def test_the_help_of_a_workspace_command_does_not_wait_for_the_sdk(command: str) -> None:
    ended, _, modules = loaded_by("workspace", *command.split(), "--help")

    assert ended == 0
    assert modules.isdisjoint(UNUSED)


@pytest.mark.parametrize("group", [pyro, workspace.workspace], ids=["pyro", "workspace"])
def test_what_a_list_says_of_a_command_is_what_the_command_says(group: click.Group) -> None:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert (command.name, command.short_help) == (name, group.table[name][1])  # type: ignore[attr-defined]


def test_a_command_that_is_not_there_is_wrong_usage() -> None:
    for group in ([], ["workspace"], ["workspace", "file"]):
        with pytest.raises(click.UsageError):
            pyro.main([*group, "nothing"], standalone_mode=False)
