"""What a model may ask for less of than others."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("workspace_create", "network_policy"),
        ("workspace_create", "allow"),
        ("workspace_create", "secrets"),
        ("workspace_create", "allow_host_compat"),
        ("workspace_exec", "secret_env"),
        ("vm_run", "allow"),
    ],
)
def test_what_a_profile_hides_cannot_be_given_in_it(name: str, hidden: str) -> None:
    given = {"vm_run": {"environment": "e", "command": "c"}, "workspace_exec": {"workspace_id": "w", "command": "c"}}
    arguments = {**given.get(name, {"environment": "e"}), hidden: "off"}
    for profile, refused in (("workspace-core", True), ("workspace-full", False)):
        (tool,) = (tool for tool in tools_of(profile) if tool.name == name)
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


def test_a_file_with_a_secret_must_lie_where_a_model_may_name_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "link").symlink_to("token")
    (tmp_path / "out").symlink_to("/etc/hostname")
    roots = AllowedRoots([tmp_path])

    def given(*paths: str) -> dict[str, object]:
        return {"secrets": [{"name": "A", "value": "/etc"}, *({"name": "B", "file_path": path} for path in paths)]}

    real = given(str(tmp_path / "token"), str(tmp_path / "token"))
    found = with_real_paths(given("link", str(tmp_path / "link")), roots)
    assert json.dumps(found, default=str) == json.dumps(real)
    for path, code in (
        ("/etc/hostname", "path-not-allowed"),
        ("../token", "path-not-allowed"),
        ("out", "path-not-allowed"),
        ("~/token", "path-not-allowed"),
        ("nothing", "unreadable-secret-file"),
    ):
        with pytest.raises(UsageError) as raised:
            with_real_paths(given("token", path), roots)
        assert raised.value.code == code
    for odd in ("x", ["x"], [{"name": "A"}], [{"file_path": 5}]):
        assert name_host_paths({"secrets": odd})
    assert with_real_paths({"secrets": "x"}, roots) == {"secrets": "x"}
    assert with_real_paths({"secrets": ["x", {"name": "A"}]}, roots) == {"secrets": ["x", {"name": "A"}]}
    with pytest.raises(UsageError):
        with_real_paths({"secrets": [{"name": "A", "file_path": 5}]}, roots)


def properties(schema: object) -> Iterator[str]:
    """The names of all members, however deep."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from properties(inner)


def test_every_path_of_the_host_among_the_parameters_is_looked_at() -> None:
    """A path that were passed on as it is would be any path of the host."""
    paths = {name for tool in TOOLS.values() for name in properties(tool.input_schema) if name.endswith("_path")}

    assert paths == {"seed_path", "source_path", "output_path", "file_path"}
    for name in paths - {"file_path"}:
        assert name_host_paths({name: "x"})
