"""The tools and profiles of the MCP server, compared in all places that state them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp import contract
from pyro_mcp.mcp_server.profiles import DEFAULT_PROFILE, PROFILES, tools_of
from pyro_mcp.mcp_server.tools import TOOLS

DOCUMENT = Path(__file__).parents[2] / "docs/public-contract.md"


def test_the_tools_are_the_contracts() -> None:
    assert {name: tool.method.__name__ for name, tool in TOOLS.items()} == contract.TOOLS


@pytest.mark.parametrize("name", contract.TOOLS)
def test_a_tool_takes_what_its_method_takes_but_callbacks_stdin_and_waiting_for_more(name: str) -> None:
    parameters = set(contract.METHODS[contract.TOOLS[name]]) - {"on_event", "on_output", "stdin", "follow"}

    assert TOOLS[name].input_schema["properties"].keys() == parameters


def test_the_profiles_are_the_contracts() -> None:
    assert PROFILES == contract.PROFILES
    assert DEFAULT_PROFILE == "workspace-core"


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_hides_what_the_contract_says_and_nothing_else(profile: str) -> None:
    for tool in tools_of(profile):
        hidden = set(contract.HIDDEN.get((profile, tool.name), ()))
        assert tool.input_schema["properties"].keys() == TOOLS[tool.name].input_schema["properties"].keys() - hidden


def test_the_document_names_all_of_it() -> None:
    text = DOCUMENT.read_text()

    assert [name for name in (*contract.TOOLS, *contract.PROFILES) if f"`{name}`" not in text] == []
