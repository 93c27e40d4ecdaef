"""What the command line loads when it is needed and not before: its commands, and the SDK behind them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pyro_mcp.sdk.client import Pyro

Table = Mapping[str, tuple[str, str]]
"""Name of a command → where it is, `module:attribute`, and what lists say of it."""


class LazyGroup(click.Group):
    """A group that knows its commands by `table`: a list of them loads none."""

    def __init__(self, *arguments: Any, table: Table, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.table:
            return None
        module, _, attribute = self.table[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


def sdk() -> Pyro:
    """The SDK. Loading it takes longer than a help text may."""
    from pyro_mcp.sdk.client import Pyro  # noqa: PLC0415 - see above

    return Pyro()
