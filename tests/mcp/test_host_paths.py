"""Paths of the host that a model names: what is refused, before any workspace is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.mcp.conftest import Connect
from tests.mcp.test_tools import fail

WORKSPACE = "ws-000000000000"


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A directory that is allowed, and beside it what is not."""
    (tmp_path / "allowed/sub").mkdir(parents=True)
    (tmp_path / "allowed_evil").mkdir()
    for place in ("allowed/file.txt", "allowed/sub/.git", "allowed_evil/tree.tar", "secret.tar"):
        (tmp_path / place).write_text("x")
    (tmp_path / "allowed/out").symlink_to("../allowed_evil")
    (tmp_path / "allowed/out.tar").symlink_to("../secret.tar")
    (tmp_path / "allowed/root").symlink_to("/")
    os.link(tmp_path / "allowed/file.txt", tmp_path / "allowed/twin.tar")
    return tmp_path / "allowed"


def calls(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Each way to name a path of the host."""
    return [
        ("workspace_create", {"environment": "debian:12", "seed_path": path}),
        ("workspace_sync_push", {"workspace_id": WORKSPACE, "source_path": path}),
        ("workspace_export", {"workspace_id": WORKSPACE, "path": ".", "output_path": path}),
    ]


async def refused(client: Client, path: str) -> None:
    for name, arguments in calls(path):
        text, error = await fail(client, name, **arguments)
        assert error["code"] == "path-not-allowed", (name, path, error)
        assert text.startswith("path-not-allowed: ")
        assert "allowed: what lies in " in error["hint"]


async def test_no_path_leads_out_of_what_is_allowed(connect: Connect, allowed: Path) -> None:
    async with connect("workspace-core", allow_roots=[allowed]) as client:
        for attack in (
            "..",
            "../secret.tar/x",
            "sub/../../new",
            "/etc/passwd",
            "/etc/new",
            f"{allowed}_evil/tree.tar",
            f"{allowed}_evil/new",
            f"{allowed}/../secret.tar",
            "out/tree.tar",
            "out/new",
            "root/etc",
            "root/etc/new",
            f"/proc/self/root{allowed}/file.txt",
            "/dev/fd/0",
            "/dev/fd/0/new",
            "~",
            "~/new",
            f"file://{allowed}/file.txt",
            "file.txt\0",
            f"{allowed}/new\0",
        ):
            await refused(client, attack)
        # A symlink itself: what lies behind it is out of bounds, and its name is taken.
        for name, arguments in calls("out.tar"):
            _, error = await fail(client, name, **arguments)
            assert error["code"] == ("output-exists" if name == "workspace_export" else "path-not-allowed")


async def test_what_lies_within_is_passed_on_as_its_real_path(connect: Connect, allowed: Path) -> None:
    async with connect("workspace-core", allow_roots=[allowed, allowed.parent / "allowed_evil"]) as client:
        # There is no such workspace: the daemon was asked.
        for path in ("sub", "sub/../twin.tar", str(allowed), f"{allowed}_evil/tree.tar"):
            _, error = await fail(client, "workspace_sync_push", workspace_id=WORKSPACE, source_path=path)
            assert error["code"] == "workspace-not-found", path
        for path in ("new", "sub/new", f"{allowed}_evil/new"):
            _, error = await fail(client, "workspace_export", workspace_id=WORKSPACE, path=".", output_path=path)
            assert error["code"] == "workspace-not-found", path
        # An ordinary file, however it is called, is no seed; the daemon says so, and by which name it knows it.
        for path, real in (("sub/../file.txt", "file.txt"), ("sub/.git", "sub/.git")):
            _, error = await fail(client, "workspace_create", environment="debian:12", seed_path=path)
            assert (error["code"], str(allowed / real) in error["error"]) == ("seed-unsupported", True)
        for name, code in (
            ("workspace_create", "seed-not-found"),
            ("workspace_sync_push", "source-not-found"),
            ("workspace_export", "output-parent-missing"),
        ):
            arguments = dict(calls("nothing/here"))[name]
            assert (await fail(client, name, **arguments))[1]["code"] == code


async def test_by_default_it_is_the_directory_the_server_was_started_in(connect: Connect, allowed: Path) -> None:
    async with connect("workspace-core", cwd=allowed) as client:
        await refused(client, str(allowed.parent / "new"))
        _, error = await fail(client, "workspace_sync_push", workspace_id=WORKSPACE, source_path="sub")
        assert error["code"] == "workspace-not-found"
    async with connect("workspace-core", cwd=Path("/")) as client:
        _, error = await fail(client, "workspace_sync_push", workspace_id=WORKSPACE, source_path="etc")
        assert error["code"] == "path-not-allowed"
        assert "--allow-root" in error["hint"]


async def test_a_file_with_a_secret_lies_within_too(connect: Connect, allowed: Path) -> None:
    async with connect("workspace-full", allow_roots=[allowed]) as client:
        for path, code in (
            ("../secret.tar", "path-not-allowed"),
            ("out.tar", "path-not-allowed"),
            ("/etc/passwd", "path-not-allowed"),
            ("nothing", "unreadable-secret-file"),
            ("sub", "unreadable-secret-file"),  # allowed, and no file: the daemon says so
        ):
            secrets = [{"name": "FINE", "value": "x"}, {"name": "TOKEN", "file_path": path}]
            _, error = await fail(client, "workspace_create", environment="debian:12", secrets=secrets)
            assert error["code"] == code, (path, error)


@pytest.mark.parametrize(
    ("name", "arguments", "unknown"),
    [
        ("workspace_exec", {"workspace_id": WORKSPACE, "command": "true", "stdin": "x"}, "stdin"),
        ("workspace_exec", {"workspace_id": WORKSPACE, "command": "true", "on_output": "x"}, "on_output"),
        ("workspace_create", {"environment": "debian:12", "network_policy": "egress"}, "network_policy"),
        ("workspace_create", {"environment": "debian:12", "allow_host_compat": True}, "allow_host_compat"),
        ("workspace_create", {"environment": "debian:12", "secrets": []}, "secrets"),
        ("workspace_exec", {"workspace_id": WORKSPACE, "command": "true", "secret_env": {}}, "secret_env"),
        ("vm_run", {"environment": "debian:12", "command": "true", "allow": []}, "allow"),
        ("workspace_sync_push", {"workspace_id": WORKSPACE, "source_path": "x", "root": "/"}, "root"),
        ("workspace_file_read", {"workspace_id": WORKSPACE, "path": "x", "follow": True}, "follow"),
    ],
)
async def test_what_is_not_offered_cannot_be_given(
    connect: Connect, name: str, arguments: dict[str, object], unknown: str
) -> None:
    async with connect("workspace-core") as client:
        _, error = await fail(client, name, **arguments)

    assert (error["code"], error["error"]) == ("invalid-argument", f"unknown arguments: {unknown}")


@pytest.mark.parametrize("life", [0, 0.0, 59, 31_536_001])
async def test_a_model_cannot_give_a_workspace_life_without_end(connect: Connect, life: float) -> None:
    async with connect("workspace-core") as client:
        _, error = await fail(client, "workspace_create", environment="debian:12", ttl_seconds=life)

    assert error["code"] == ("invalid-argument" if isinstance(life, float) else "out-of-range")
