"""Shells and services of a workspace as the official client sees them."""

from __future__ import annotations

import asyncio

from tests.harness.installation import DEADLINE
from tests.mcp.conftest import Connect
from tests.mcp.test_tools import call, fail, text_of
from tests.mcp.test_workspaces import workspace

SECRET = "correct horse battery staple"


async def test_a_model_works_in_a_shell(connect: Connect) -> None:
    async with connect() as client, workspace(client, secrets=[{"name": "TOKEN", "value": SECRET}]) as workspace_id:
        opened = await call(
            client, "shell_open", workspace_id=workspace_id, cwd="/srv", cols=100, rows=20, secret_env={"TOKEN": "API"}
        )
        assert (opened["state"], opened["cwd"], opened["cols"], opened["rows"]) == ("running", "/srv", 100, 20)
        here = {"workspace_id": workspace_id, "shell_id": opened["shell_id"]}
        line = "WHO=model; pwd; stty size; echo \"$API.\"; echo d'one'"
        written = await call(client, "shell_write", **here, input=line)
        assert (written["input_length"], written["append_newline"]) == (len(line), True)
        read = {**here, "plain": True, "wait_for_idle_ms": 200}
        async with asyncio.timeout(DEADLINE):
            while "\ndone\n" not in (seen := await call(client, "shell_read", **read))["output"]:
                pass
        assert "\n/srv\n20 100\n[REDACTED].\ndone\n" in seen["output"]
        await call(client, "shell_write", **here, input="echo $WHO; exec sleep 1000")
        async with asyncio.timeout(DEADLINE):
            while "\nmodel\n" not in (await call(client, "shell_read", **read, cursor=seen["next_cursor"]))["output"]:
                pass
        told = text_of(await client.call_tool("shell_read", here))
        assert "\x1b" not in told
        assert SECRET not in told
        await call(client, "shell_signal", **here, signal_name="KILL")
        async with asyncio.timeout(DEADLINE):
            while (last := await call(client, "shell_read", **here, wait_for_idle_ms=100))["state"] == "running":
                pass
        assert last["exit_code"] == 137
        assert (await call(client, "shell_close", **here))["state"] == "exited"
        assert (await fail(client, "shell_read", **here))[1]["code"] == "shell-not-found"


async def test_a_model_runs_a_service(connect: Connect) -> None:
    async with connect() as client, workspace(client) as workspace_id:
        here = {"workspace_id": workspace_id, "service_name": "web"}
        started = await call(
            client,
            "service_start",
            **here,
            command="echo begun; echo oops >&2; exec python3 -m http.server 8000",
            readiness={"type": "http", "url": "http://127.0.0.1:8000/"},
        )
        assert (started["state"], started["published_ports"]) == ("running", [])
        fetched = await call(
            client, "workspace_exec", workspace_id=workspace_id, command="curl -s localhost:8000/ | head -1"
        )
        assert fetched["stdout"].startswith("<!DOCTYPE")
        assert (await call(client, "service_list", workspace_id=workspace_id))["running_count"] == 1
        logs = await call(client, "service_logs", **here)
        assert (logs["stdout"].splitlines()[0], logs["stderr"].splitlines()[0]) == ("begun", "oops")
        assert (await call(client, "service_stop", **here))["state"] == "stopped"
        assert (await call(client, "service_status", **here))["stop_reason"] == "stopped"
        assert "oops" in (await call(client, "service_logs", **here, all=True))["stderr"]
        failed = await call(
            client, "service_start", **here, command="echo no; exit 3", readiness={"type": "file", "path": "x"}
        )
        assert (failed["state"], failed["exit_code"]) == ("failed", 3)
        refused = await fail(client, "service_start", **here, command="true", published_ports=[{"guest_port": 80}])
        assert refused[1]["code"] == "ports-not-allowed"


async def test_a_start_that_is_cancelled_ends_the_service(connect: Connect) -> None:
    async with connect() as client, workspace(client) as workspace_id:
        starting = asyncio.create_task(
            client.call_tool(
                "service_start",
                {
                    "workspace_id": workspace_id,
                    "service_name": "slow",
                    "command": "exec sleep 1234",
                    "readiness": {"type": "file", "path": "never"},
                    "ready_timeout_seconds": 600,
                },
            )
        )
        sleeping = {"workspace_id": workspace_id, "command": ["pgrep", "-f", "^sleep 1234"]}
        async with asyncio.timeout(DEADLINE):
            while (await call(client, "workspace_exec", **sleeping))["exit_code"] != 0:
                assert not starting.done()
            starting.cancel()
            while (await call(client, "workspace_exec", **sleeping))["exit_code"] != 1:
                pass  # the client does not wait for what it cancelled to be undone
            while (await call(client, "service_list", workspace_id=workspace_id))["services"][0]["state"] != "failed":
                pass
