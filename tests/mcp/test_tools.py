"""The tools with real guests behind them, as the official client sees them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from mcp import Client, MCPDeprecationWarning, MCPError
from mcp_types import CallToolResult, TextContent

from tests.harness.installation import Installation, until
from tests.mcp.conftest import Connect

TOOLS = {
    "vm-run": ["vm_run"],
    "workspace-core": [
        "vm_run",
        "workspace_create",
        "workspace_list",
        "workspace_update",
        "workspace_status",
        "workspace_sync_push",
        "workspace_exec",
        "workspace_logs",
        "workspace_file_list",
        "workspace_file_read",
        "workspace_file_write",
        "workspace_patch_apply",
        "workspace_diff",
        "workspace_export",
        "workspace_reset",
        "workspace_delete",
    ],
    "workspace-full": [
        "vm_run",
        "vm_list_environments",
        "vm_create",
        "vm_start",
        "vm_exec",
        "vm_stop",
        "vm_delete",
        "vm_status",
        "vm_network_info",
        "vm_reap_expired",
        "workspace_create",
        "workspace_list",
        "workspace_update",
        "workspace_status",
        "workspace_delete",
        "workspace_start",
        "workspace_stop",
        "workspace_reset",
        "workspace_exec",
        "workspace_logs",
        "workspace_sync_push",
        "workspace_export",
        "workspace_diff",
        "workspace_file_list",
        "workspace_file_read",
        "workspace_disk_list",
        "workspace_disk_read",
        "workspace_disk_export",
        "workspace_file_write",
        "workspace_patch_apply",
        "snapshot_create",
        "snapshot_list",
        "snapshot_delete",
        "shell_open",
        "shell_read",
        "shell_write",
        "shell_signal",
        "shell_close",
        "service_start",
        "service_list",
        "service_status",
        "service_logs",
        "service_stop",
    ],
}

# Every conversation begins with these words, so they change on purpose only. If that is what you did: pin them anew.
LISTING_SHA256 = {
    "vm-run": "39b509d16aae29ef71368c98f1a861c8ee03f753b349afff1d570073bfc83724",
    "workspace-core": "a16e4886e6569fb43ea90f0388baa0adbc0c12e5785fb679f28603dc85ea884f",
    "workspace-full": "c05986dd37d4bba89157fb56212c5a1b8de280ab3bcd09a759455cfe9f40f06e",
}

LONG = {"environment": "debian:12", "command": "sleep 100", "timeout_seconds": 200}


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def call(client: Client, tool: str, /, **arguments: object) -> dict[str, Any]:
    """The payload of a call that is expected to succeed; the client checks it against the tool's output schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def fail(client: Client, tool: str, /, **arguments: object) -> tuple[str, dict[str, Any]]:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert isinstance(result.structured_content, dict)
    return text_of(result), result.structured_content


async def ping(client: Client) -> None:
    with pytest.warns(MCPDeprecationWarning):  # newer protocols have none; clients of older ones rely on it
        await client.send_ping()


async def running(pyro: Installation, count: int) -> None:
    """Until so many machines run."""

    def look() -> bool | None:
        return True if pyro.sdk().daemon_status().get("machines") == count else None

    assert await asyncio.to_thread(until, look)


@pytest.mark.parametrize("profile", TOOLS)
async def test_a_profile_lists_its_tools_in_words_that_are_pinned(connect: Connect, profile: str) -> None:
    async with connect(profile) as client:
        tools = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == TOOLS[profile]
    words = [tool.model_dump(by_alias=True, exclude_none=True, exclude={"output_schema"}) for tool in tools]
    listing = json.dumps(words, sort_keys=True)
    assert hashlib.sha256(listing.encode()).hexdigest() == LISTING_SHA256[profile], listing


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_command_runs_in_a_vm_that_is_gone_afterwards(connect: Connect, mode: str) -> None:
    async with connect("vm-run", mode) as client:
        result = await client.call_tool(
            "vm_run", {"environment": "debian:12", "command": ["sh", "-c", "printf 'a\\033[2J\\n'; echo e >&2; exit 3"]}
        )

    payload = result.structured_content
    assert isinstance(payload, dict)
    assert not result.is_error  # the command failed; the tool did not
    assert (payload["exit_code"], payload["stdout"], payload["stderr"]) == (3, "a\033[2J\n", "e\n")
    assert payload["cleanup"]["deleted"] is True
    assert "exit_code=3" in text_of(result)
    assert "| a\\x1b[2J\n" in text_of(result)


async def test_a_vm_is_created_started_asked_and_used_up(connect: Connect) -> None:
    async with connect() as client:
        created = await call(client, "vm_create", environment="debian:12", mem_mib=512)
        vm_id = created["vm_id"]
        assert created["state"] == "created"
        assert (await call(client, "vm_start", vm_id=vm_id))["state"] == "running"
        assert (await call(client, "vm_status", vm_id=vm_id))["mem_mib"] == 512
        assert (await call(client, "vm_network_info", vm_id=vm_id))["network_enabled"] is False
        assert (await call(client, "vm_reap_expired")) == {"count": 0, "vm_ids": []}
        assert (await call(client, "vm_exec", vm_id=vm_id, command="git --version"))["stdout"].startswith("git version")
        text, error = await fail(client, "vm_status", vm_id=vm_id)

    assert error["code"] == "vm-not-found"
    assert text.startswith("vm-not-found: ")


async def test_a_vm_is_stopped_and_deleted(connect: Connect) -> None:
    async with connect() as client:
        vm_id = (await call(client, "vm_create", environment="debian:12"))["vm_id"]
        await call(client, "vm_start", vm_id=vm_id)
        assert (await call(client, "vm_stop", vm_id=vm_id))["state"] == "stopped"
        assert (await call(client, "vm_delete", vm_id=vm_id))["deleted"] is True


async def test_an_error_has_the_shape_it_has_on_the_command_line(pyro: Installation, connect: Connect) -> None:
    async with connect() as client:
        text, error = await fail(client, "vm_run", environment="plan:9", command="true")

    assert error == json.loads(pyro.cli("run", "--json", "plan:9", "--", "true").stdout)
    assert error["ok"] is False
    assert text == f"{error['code']}: {error['error']}; {error['hint']}"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"environment": "debian:12", "command": "true", "user": "root"}, "invalid-argument"),
        ({"environment": "debian:12"}, "invalid-argument"),
        ({"environment": "debian:12", "command": 5}, "invalid-argument"),
        ({"environment": "debian:12", "command": {"a": 1}}, "invalid-argument"),
        ({"environment": "debian:12", "command": "true", "vcpu_count": "2"}, "invalid-argument"),
        ({"environment": "debian:12", "command": "true", "timeout_seconds": 0}, "out-of-range"),
        ({"environment": "debian:12", "command": " "}, "empty-command"),
    ],
)
async def test_arguments_outside_the_schema_are_refused(
    connect: Connect, arguments: dict[str, object], code: str
) -> None:
    async with connect("vm-run") as client:
        text, error = await fail(client, "vm_run", **arguments)

    assert error["code"] == code
    assert text.startswith(f"{code}: ")


@pytest.mark.parametrize("name", ["vm_nothing", "vm_status"])
async def test_a_tool_that_is_not_in_the_profile_does_not_exist(connect: Connect, name: str) -> None:
    async with connect("vm-run") as client:
        with pytest.raises(MCPError) as raised:
            await client.call_tool(name, {"vm_id": "vm-000000000000"})

    assert raised.value.error.code == -32602


async def test_a_long_run_holds_nobody_up_and_a_cancelled_one_leaves_nothing(
    pyro: Installation, connect: Connect
) -> None:
    async with connect() as client:
        long = asyncio.create_task(client.call_tool("vm_run", LONG))
        await running(pyro, 1)
        async with asyncio.timeout(5):
            await ping(client)
            assert (await call(client, "vm_list_environments"))["count"] > 0
            assert (await fail(client, "vm_status", vm_id="vm-000000000000"))[1]["code"] == "vm-not-found"
        assert not long.done()

        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        async with asyncio.timeout(20):
            await running(pyro, 0)
        await ping(client)


async def test_two_runs_go_side_by_side(pyro: Installation, connect: Connect) -> None:
    async with connect("vm-run") as client:
        runs = [
            asyncio.create_task(call(client, "vm_run", environment="debian:12", command=f"echo {word}; sleep 3"))
            for word in ("one", "two")
        ]
        await running(pyro, 2)
        payloads = await asyncio.gather(*runs)

    assert [payload["stdout"] for payload in payloads] == ["one\n", "two\n"]
    assert len({payload["vm_id"] for payload in payloads}) == 2
