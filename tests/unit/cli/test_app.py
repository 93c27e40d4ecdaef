"""The command tree as `pyro --help` shows it: fast, since it loads no command for that."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from pyro_mcp.cli.app import COMMANDS, pyro

LISTING = """
import sys
from pyro_mcp.cli.app import run
status = run(sys.argv[1:])
print("loaded:", *sys.modules)
sys.exit(status)
"""


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["-h"], 0), ([], 2)])
def test_the_list_of_commands_loads_none_of_them(arguments: list[str], status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    shown, loaded = done.stdout.split("loaded:")

    assert done.returncode == status
    assert [name for name, line in COMMANDS.items() if f"  {name} " not in shown or line not in shown] == []
    modules = set(loaded.split())
    assert "pyro_mcp.cli.app" in modules
    assert modules.isdisjoint(f"pyro_mcp.cli.{name}" for name in COMMANDS)
    assert modules.isdisjoint({"asyncio", "mcp", "rich", "pyro_mcp.sdk", "pyro_mcp.mcp_server"})


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_list_says_of_a_command_is_what_the_command_says(name: str) -> None:
    command = pyro.get_command(click.Context(pyro), name)

    assert command is not None
    assert command.short_help == COMMANDS[name]
