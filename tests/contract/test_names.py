"""The public names, compared in all places that state them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import pyro_mcp
from pyro_mcp import Pyro, contract
from pyro_mcp.cli.app import pyro
from pyro_mcp.config import Settings
from pyro_mcp.daemon.routes import OPERATIONS

DOCUMENT = Path(__file__).parents[2] / "docs/public-contract.md"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def parameters(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        for option in ((parameter.opts[-1],) if isinstance(parameter, click.Option) else (str(parameter.name).upper(),))
    }


def test_the_command_tree_is_the_contracts() -> None:
    found = {name: parameters(command) for name, command in commands(pyro)}

    assert found == {name: set(names) for name, names in contract.COMMANDS.items()}


@pytest.mark.parametrize("name", contract.COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    command = dict(commands(pyro))[name]

    assert command.help
    assert command.short_help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.name


def test_the_methods_of_the_sdk_are_the_contracts() -> None:
    found = {
        name: set(inspect.signature(method).parameters) - {"self"}
        for name, method in inspect.getmembers(Pyro, inspect.isfunction)
        if not name.startswith("_")
    }

    assert found == {name: set(names) for name, names in contract.METHODS.items()}


@pytest.mark.parametrize("name", contract.METHODS)
def test_every_method_has_a_docstring_and_takes_keywords_behind_its_identifier(name: str) -> None:
    method = getattr(Pyro, name)
    positional = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]

    assert inspect.getdoc(method)
    assert positional in (
        ["self"],
        ["self", "vm_id"],
        ["self", "environment"],
        ["self", "workspace_id"],
        ["self", "workspace_id", "path"],
        ["self", "workspace_id", "source_path"],
        ["self", "workspace_id", "snapshot_name"],
        ["self", "workspace_id", "shell_id"],
        ["self", "workspace_id", "service_name"],
    )


def test_every_operation_of_the_daemon_has_its_method_and_the_reverse() -> None:
    about_the_daemon = {"daemon_status", "stop_daemon"}

    assert set(OPERATIONS) == set(contract.METHODS) - about_the_daemon


def test_every_environment_variable_is_documented_where_it_is_read() -> None:
    documented = inspect.getdoc(Settings.from_environment) or ""

    assert {word for word in documented.split() if word.startswith("PYRO_")} == set(contract.VARIABLES)


def test_the_document_names_all_of_it() -> None:
    text = DOCUMENT.read_text()
    names = [f"pyro {name}" for name in contract.COMMANDS] + [*contract.METHODS, *contract.VARIABLES]
    names += [option for options in contract.COMMANDS.values() for option in options]

    assert [name for name in names if name not in text] == []


def test_what_the_package_exports_is_there_and_sorted() -> None:
    assert pyro_mcp.__all__ == sorted(pyro_mcp.__all__, key=lambda name: (not name[0].isupper(), name))
    for name in pyro_mcp.__all__:
        assert getattr(pyro_mcp, name) is not None
    with pytest.raises(AttributeError):
        _ = pyro_mcp.Nothing
