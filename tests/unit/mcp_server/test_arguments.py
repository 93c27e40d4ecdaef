"""What a model may ask for less of than others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.errors import UsageError
from pyro_mcp.host.allowed import AllowedRoots
from pyro_mcp.mcp_server.arguments import check, name_host_paths, with_real_paths
from pyro_mcp.mcp_server.profiles import tools_of
from pyro_mcp.mcp_server.tools import TOOLS


@pytest.mark.parametrize("life", [0, 0.0, -0.0, False])
@pytest.mark.parametrize("name", ["workspace_create", "workspace_update"])
def test_no_model_gives_life_without_end(name: str, life: object) -> None:
    given = {"environment": "e"} if name == "workspace_create" else {"workspace_id": "ws-1"}
    check(TOOLS[name].input_schema, {**given, "ttl_seconds": 60})
    check(TOOLS[name].input_schema, {**given, "ttl_seconds": None})
    with pytest.raises(UsageError):
        check(TOOLS[name].input_schema, {**given, "ttl_seconds": life})


@pytest.mark.parametrize("hidden", ["network_policy", "allow_host_compat"])
def test_what_a_profile_hides_cannot_be_given_in_it(hidden: str) -> None:
    arguments = {"environment": "e", hidden: "off"}
    for profile, refused in (("workspace-core", True), ("workspace-full", False)):
        (tool,) = (tool for tool in tools_of(profile) if tool.name == "workspace_create")
        if not refused:
            check(tool.input_schema, arguments)
            continue
        with pytest.raises(UsageError) as raised:
            check(tool.input_schema, arguments)
        assert raised.value.message == f"unknown arguments: {hidden}"


def test_paths_of_the_host_become_real_ones_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    roots = AllowedRoots([tmp_path])
    for name, missing in (("seed_path", "seed-not-found"), ("source_path", "source-not-found")):
        assert with_real_paths({name: "link", "path": "link"}, roots) == {name: tmp_path / "sub", "path": "link"}
        with pytest.raises(UsageError) as raised:
            with_real_paths({name: "nothing"}, roots)
        assert raised.value.code == missing
        with pytest.raises(UsageError) as raised:
            with_real_paths({name: "/etc"}, roots)
        assert raised.value.code == "path-not-allowed"
    assert with_real_paths({"output_path": "link/new"}, roots) == {"output_path": tmp_path / "sub/new"}
    for path, code in (("link", "output-exists"), ("no/new", "output-parent-missing"), ("../new", "path-not-allowed")):
        with pytest.raises(UsageError) as raised:
            with_real_paths({"output_path": path}, roots)
        assert raised.value.code == code
    assert with_real_paths({"seed_path": None}, roots) == {"seed_path": None}
    assert not name_host_paths({"path": "link", "seed_path": None})
    assert name_host_paths({"output_path": ""})


def test_every_path_of_the_host_among_the_parameters_is_looked_at() -> None:
    """A path that were passed on as it is would be any path of the host."""
    paths = {name for tool in TOOLS.values() for name in tool.input_schema["properties"] if name.endswith("_path")}

    assert paths == {"seed_path", "source_path", "output_path"}
    for name in paths:
        assert name_host_paths({name: "x"})
