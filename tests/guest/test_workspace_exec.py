"""Commands in workspaces: streams, input, variables, many at a time, broken off, remembered."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyro_mcp.errors import NotFoundError, PyroError, UsageError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import DEADLINE, Installation, until


def test_output_comes_while_the_command_runs_and_in_full(pyro: Installation) -> None:
    heard: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    with workspace(pyro) as workspace_id:
        result = pyro.sdk().exec_workspace(
            workspace_id,
            command="yes 0123456 | head -c 3000000; echo end >&2; exit 7",
            timeout_seconds=120,
            on_output=lambda stream, data: heard[stream].extend(data),
        )

    assert bytes(heard["stdout"]) == b"0123456\n" * 375_000
    assert (bytes(heard["stderr"]), result["exit_code"], result["sequence"]) == (b"end\n", 7, 1)
    assert (result["stdout_truncated"], result["stderr_truncated"]) == (True, False)
    assert len(result["stdout"]) == 1 << 20
    assert result["stdout"].startswith("0123456\n")
    assert result["stdout"].endswith("0123456\n")
    assert "bytes are left out here" in result["stdout"]


def test_a_command_gets_its_directory_variables_and_input(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        result = pyro.sdk().exec_workspace(
            workspace_id,
            command='pwd; printf "%s|%s\\n" "$WHO" "$HOME"; cat',
            cwd="/tmp",
            env={"WHO": "it's\n$me"},
            stdin=io.BytesIO(b"\x00\xffraw input\n" * 50_000),
        )
        assert result["stdout"].startswith("/tmp\nit's\n$me|/root\n\0\ufffdraw input\n")
        said(pyro, workspace_id, "mkdir -p src/deep")
        assert pyro.sdk().exec_workspace(workspace_id, command="pwd", cwd="src/deep")["stdout"] == (
            "/workspace/src/deep\n"
        )
        counted = pyro.sdk().exec_workspace(workspace_id, command=["wc", "-c"], stdin=b"x" * 3_000_000)
        assert counted["stdout"] == "3000000\n"
        assert pyro.sdk().exec_workspace(workspace_id, command=["wc", "-c"])["stdout"] == "0\n"
        # A command that does not want its input ends all the same.
        assert pyro.sdk().exec_workspace(workspace_id, command="exit 3", stdin=b"x" * 3_000_000)["exit_code"] == 3


def test_the_command_line_passes_its_input_on(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        command = pyro.command(
            "workspace", "exec", "-i", workspace_id, "--env", "A=b", "--", "sh", "-c", "tr a-z A-Z; echo $A"
        )
        done = subprocess.run(
            command, env=pyro.environment, input=b"hello\n", capture_output=True, timeout=DEADLINE, check=False
        )
        assert (done.stdout, done.returncode) == (b"HELLO\nb\n", 0)
        done = pyro.cli("workspace", "exec", workspace_id, "--", "sh", "-c", "echo out; echo err >&2; kill -9 $$")
        assert (done.stdout, done.returncode) == (b"out\n", 137)
        assert b"err\n" in done.stderr


def test_commands_run_side_by_side(pyro: Installation) -> None:
    # Each waits for the other: one after the other they would wait for ever.
    meet = "touch {0}; while [ ! -e {1} ]; do sleep 0.05; done; echo met"
    with workspace(pyro) as workspace_id, ThreadPoolExecutor(8) as pool:
        pairs = [(f"a{number}", f"b{number}") for number in range(4)]
        commands = [meet.format(*pair) for pair in pairs] + [meet.format(*reversed(pair)) for pair in pairs]
        results = list(pool.map(lambda command: said(pyro, workspace_id, command), commands))
        entries = pyro.sdk().logs_workspace(workspace_id)["entries"]

    assert results == ["met\n"] * 8
    assert [entry["sequence"] for entry in entries] == list(range(1, 9))
    assert {entry["command"] for entry in entries} == set(commands)


def test_ctrl_c_kills_the_whole_tree_in_the_guest(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        running = pyro.start_cli(
            "workspace", "exec", workspace_id, "--", "sh", "-c", "setsid sleep 12345 & touch up; sleep 12345"
        )
        assert until(lambda: True if "up" in said(pyro, workspace_id, "ls") else None)
        os.kill(running.pid, signal.SIGINT)
        running.communicate(timeout=DEADLINE)

        assert running.returncode == 130
        left = "grep -lz 1234[5] /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | wc -l"
        assert said(pyro, workspace_id, left).strip() == "0"
        entries = pyro.sdk().logs_workspace(workspace_id)["entries"]
        assert [entry["state"] for entry in entries if "setsid" in entry["command"]] == ["interrupted"]


def test_the_history_tells_what_was_run_until_a_reset(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        sdk = pyro.sdk()
        sdk.exec_workspace(workspace_id, command=["sh", "-c", "echo one; echo two >&2; exit 4"], cwd="/")
        sdk.exec_workspace(workspace_id, command="yes | head -c 1000000", timeout_seconds=60)
        first, second = sdk.logs_workspace(workspace_id)["entries"]
        assert (first["stdout"], first["stderr"], first["exit_code"], first["cwd"]) == ("one\n", "two\n", 4, "/")
        assert first["command"] == "sh -c 'echo one; echo two >&2; exit 4'"
        assert len(second["stdout"]) == 64 << 10
        status = sdk.status_workspace(workspace_id)
        assert (status["command_count"], status["last_command"]["exit_code"]) == (2, 0)  # type: ignore[index]

        sdk.reset_workspace(workspace_id)
        assert sdk.logs_workspace(workspace_id)["count"] == 0
        assert sdk.exec_workspace(workspace_id, command="true")["sequence"] == 1


@pytest.mark.parametrize(
    ("verb", "told"),
    # Who stops a workspace shuts its guest down, which signals its processes: the command has an end of its own.
    [("stop", 143), ("reset", "workspace-reset"), ("delete", "workspace-not-found")],
)
def test_a_command_is_told_what_ended_it(pyro: Installation, verb: str, told: object) -> None:
    sdk = pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12")["workspace_id"]
    ends: list[object] = []

    def run() -> None:
        command = ["sh", "-c", "touch up; exec sleep 1000"]
        try:
            ends.append(sdk.exec_workspace(workspace_id, command=command, timeout_seconds=2000)["exit_code"])
        except PyroError as error:
            ends.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    assert until(lambda: True if "up" in said(pyro, workspace_id, "ls") else None)
    getattr(sdk, f"{verb}_workspace")(workspace_id)
    thread.join(DEADLINE)
    if verb != "delete":
        sdk.delete_workspace(workspace_id)

    assert ends == [told]


def test_what_cannot_be_run_is_refused_before_anything_begins(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        for wrong in (
            {"command": ""},
            {"command": "true", "timeout_seconds": 0},
            {"command": "true", "env": {"A=B": "c"}},
            {"command": "true", "env": {"A": "\0"}},
            {"command": "true", "cwd": ""},
        ):
            with pytest.raises(UsageError):
                sdk.exec_workspace(workspace_id, **wrong)
        assert sdk.logs_workspace(workspace_id)["count"] == 0
        missing = sdk.exec_workspace(workspace_id, command="true", cwd="/not/there")
        assert (missing["exit_code"], "/not/there" in missing["stderr"]) == (126, True)
    with pytest.raises(NotFoundError) as unknown:
        sdk.exec_workspace("ws-000000000000", command="true")
    assert unknown.value.code == "workspace-not-found"
    done = pyro.cli("workspace", "exec", "../../etc", "--json", "--", "true")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "workspace-not-found")
