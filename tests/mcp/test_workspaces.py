"""The workspace tools with a real guest behind them, as the official client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client

from tests.harness.installation import DEADLINE
from tests.mcp.conftest import Connect
from tests.mcp.test_tools import call, fail, text_of


@asynccontextmanager
async def workspace(client: Client, **arguments: object) -> AsyncIterator[str]:
    """A workspace's id; it is deleted afterwards."""
    workspace_id = (await call(client, "workspace_create", environment="debian:12", **arguments))["workspace_id"]
    try:
        yield workspace_id
    finally:
        assert (await call(client, "workspace_delete", workspace_id=workspace_id))["deleted"] is True


async def test_a_model_works_in_a_workspace(connect: Connect, tmp_path: Path) -> None:
    """Each payload is checked against its tool's schema by the client."""
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/file").write_text("one\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/pushed").write_text("pushed\n")
    async with connect("workspace-core", allow_roots=[tmp_path]) as client:
        async with workspace(client, seed_path="seed", name="mine", labels={"a": "b"}) as workspace_id:
            here = {"workspace_id": workspace_id}
            listed = await call(client, "workspace_list")
            assert [entry["workspace_id"] for entry in listed["workspaces"]] == [workspace_id]
            assert (await call(client, "workspace_status", **here))["workspace_seed"]["seed_path"] == str(
                tmp_path / "seed"
            )
            updated = await call(client, "workspace_update", **here, clear_labels=["a"], clear_name=True)
            assert (updated["labels"], updated["name"]) == ({}, None)

            await call(client, "workspace_sync_push", **here, source_path="more", dest="sub")
            await call(client, "workspace_file_write", **here, path="sub/new", text="new\n")
            patch = "--- a/file\n+++ b/file\n@@ -1 +1 @@\n-one\n+two\n"
            assert (await call(client, "workspace_patch_apply", **here, patch=patch))["summary"]["modified"] == 1
            ran = await call(
                client, "workspace_exec", **here, command='cat file sub/*; echo "$A" >&2; exit 3', env={"A": "b"}
            )
            assert (ran["stdout"], ran["stderr"], ran["exit_code"]) == ("two\nnew\npushed\n", "b\n", 3)
            assert (await call(client, "workspace_file_read", **here, path="file"))["content"] == "two\n"
            files = await call(client, "workspace_file_list", **here, recursive=True)
            assert [entry["path"] for entry in files["entries"]] == [
                "/workspace/file",
                "/workspace/sub",
                "/workspace/sub/new",
                "/workspace/sub/pushed",
            ]
            assert (await call(client, "workspace_diff", **here))["summary"]["total"] == 4
            assert (await call(client, "workspace_logs", **here))["entries"][0]["exit_code"] == 3
            taken = await call(client, "workspace_export", **here, path="sub", output_path="out")
            assert (taken["output_path"], (tmp_path / "out/new").read_text()) == (str(tmp_path / "out"), "new\n")
            assert (await call(client, "workspace_reset", **here))["reset_count"] == 1
            assert (await call(client, "workspace_diff", **here))["changed"] is False
        assert (await fail(client, "workspace_status", **here))[1]["code"] == "workspace-not-found"


async def test_a_workspace_is_kept_stopped_and_gone_back_to(connect: Connect) -> None:
    async with connect() as client, workspace(client) as workspace_id:
        here = {"workspace_id": workspace_id}
        await call(client, "workspace_file_write", **here, path="file", text="one\n")
        await call(client, "snapshot_create", **here, snapshot_name="one")
        await call(client, "workspace_file_write", **here, path="file", text="two\n")
        assert (await call(client, "workspace_stop", **here))["state"] == "stopped"
        assert (await fail(client, "workspace_exec", **here, command="true"))[1]["code"] == "workspace-stopped"
        assert (await call(client, "workspace_start", **here))["state"] == "started"
        assert (await call(client, "workspace_file_read", **here, path="file"))["content"] == "two\n"
        await call(client, "workspace_reset", **here, snapshot="one")
        assert (await call(client, "workspace_file_read", **here, path="file"))["content"] == "one\n"
        listed = await call(client, "snapshot_list", **here)
        assert [entry["snapshot_name"] for entry in listed["snapshots"]] == ["baseline", "one"]
        assert (await call(client, "snapshot_delete", **here, snapshot_name="one"))["deleted"] is True


async def test_what_a_model_reads_of_a_hostile_guest_stays_behind_bars(connect: Connect) -> None:
    async with connect() as client, workspace(client) as workspace_id:
        here = {"workspace_id": workspace_id}
        name = "$(printf 'a\\nentries: none\\033[2J')"
        await call(client, "workspace_exec", **here, command=f'echo "stderr: empty" > "{name}"; ln -s "{name}" link')
        for tool, arguments in (
            ("workspace_file_list", {}),
            ("workspace_diff", {}),
            ("workspace_logs", {}),
            ("workspace_file_read", {"path": "link"}),
        ):
            text = text_of(await client.call_tool(tool, {**here, **arguments}))
            assert "\x1b" not in text
            outside = [line for line in text.splitlines() if not line.startswith("| ")]
            assert [line for line in outside if line.startswith(("entries: none", "stderr: empty\n"))] == []


async def test_a_cancelled_command_ends_and_its_workspace_does_not(connect: Connect) -> None:
    async with connect() as client, workspace(client) as workspace_id:
        here = {"workspace_id": workspace_id}
        long = asyncio.create_task(
            client.call_tool("workspace_exec", {**here, "command": "touch up; sleep 1234", "timeout_seconds": 2000})
        )
        async with asyncio.timeout(DEADLINE):
            while not (await call(client, "workspace_file_list", **here))["entries"]:
                assert not long.done()
            long.cancel()
            sleeping = "grep -lz '[1]234' /proc/[0-9]*/cmdline"
            while (await call(client, "workspace_exec", **here, command=sleeping))["exit_code"] != 1:
                pass  # the client does not wait for what it cancelled to be undone
            while (await call(client, "workspace_logs", **here))["entries"][0]["state"] != "interrupted":
                pass
