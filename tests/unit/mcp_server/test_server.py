"""What needs no daemon: profiles, names of arguments, and what loading the server drags in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client

from pyro_mcp import create_server
from pyro_mcp.errors import UsageError
from pyro_mcp.mcp_server.arguments import check_names
from pyro_mcp.mcp_server.profiles import PROFILES
from pyro_mcp.mcp_server.tools import TOOLS


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_server_offers_the_tools_of_its_profile(profile: str) -> None:
    async with Client(create_server(profile)) as client:
        listed = (await client.list_tools()).tools

    assert tuple(tool.name for tool in listed) == PROFILES[profile]
    for tool in listed:
        assert tool.annotations is not None
        assert not (tool.annotations.read_only_hint and tool.annotations.destructive_hint)


def test_the_default_profile_is_workspace_core() -> None:
    assert create_server.__defaults__ == ("workspace-core",)


def test_a_directory_that_does_not_exist_cannot_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        create_server(allow_roots=[tmp_path / "nothing"])
    assert raised.value.code == "root-not-found"


def test_a_profile_that_does_not_exist_is_wrong_usage() -> None:
    with pytest.raises(UsageError) as raised:
        create_server("everything")
    assert raised.value.exit_status == 2
    assert "vm-run" in raised.value.hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environment": "e", "command": "c", "x": 1, "a": 2}, "unknown arguments: a, x"),
        ({"environment": "e", "command": "c", "on_output": "x"}, "unknown arguments: on_output"),
        ({"environment": "e"}, "missing arguments: command"),
    ],
)
def test_a_wrong_name_among_the_arguments_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_names(TOOLS["vm_run"].input_schema, arguments)
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from pyro_mcp.mcp_server import profiles", ("mcp", "pydantic", "asyncio")),
        ("from pyro_mcp import create_server", ("rich", "pyro_mcp.cli", "pyro_mcp.daemon", "sqlite3")),
        ("from pyro_mcp import AsyncPyro", ("mcp", "anyio", "click")),
    ],
)
def test_a_face_loads_no_more_than_it_needs(statement: str, absent: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
