"""`pyro mcp serve` as a process: what it writes, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness.installation import DEADLINE, Installation, until

HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@contextmanager
def served(pyro: Installation) -> Iterator[subprocess.Popen[bytes]]:
    command = pyro.command("mcp", "serve", "--profile", "workspace-full")
    server = subprocess.Popen(
        command, env=pyro.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with server:
        try:
            say(server, id=1, method="initialize", params=HELLO)
            assert hear(server)["result"]["serverInfo"]["name"] == "pyro"
            say(server, method="notifications/initialized")
            yield server
        finally:
            server.kill()


def say(server: subprocess.Popen[bytes], **message: object) -> None:
    assert server.stdin is not None
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    server.stdin.flush()


def hear(server: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next line, which must be a message of the protocol."""
    assert server.stdout is not None
    message = json.loads(server.stdout.readline())
    assert isinstance(message, dict)
    assert message["jsonrpc"] == "2.0"
    return message


def start_long_run(pyro: Installation, server: subprocess.Popen[bytes]) -> None:
    arguments = {"environment": "debian:12", "command": "sleep 100", "timeout_seconds": 200}
    say(server, id=2, method="tools/call", params={"name": "vm_run", "arguments": arguments})
    wait_for_machines(pyro, 1)


def wait_for_machines(pyro: Installation, count: int) -> None:
    assert until(lambda: True if pyro.sdk().daemon_status().get("machines") == count else None)


def test_nothing_but_the_protocol_is_written_to_stdout(pyro: Installation) -> None:
    with served(pyro) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b"this is not JSON\n")
        command = 'echo \'{"jsonrpc": "2.0"}\'; echo on stderr >&2'
        arguments = {"environment": "debian:12", "command": command}
        say(server, id=2, method="tools/list")
        say(server, id=3, method="tools/call", params={"name": "vm_run", "arguments": arguments})
        answers = {message["id"]: message for message in (hear(server), hear(server))}
        server.stdin.close()

        assert server.stdout.read() == b""
        assert server.wait(DEADLINE) == 0
    assert answers[3]["result"]["structuredContent"]["stderr"] == "on stderr\n"


def test_the_server_ends_when_its_client_closes_stdin_and_what_was_under_way_is_undone(pyro: Installation) -> None:
    with served(pyro) as server:
        start_long_run(pyro, server)
        out, err = server.communicate(timeout=20)

        assert server.returncode == 0
        assert b"Traceback" not in err
        assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
        assert pyro.sdk().daemon_status()["machines"] == 0


def test_a_client_that_is_gone_altogether_ends_the_server_without_a_traceback(pyro: Installation) -> None:
    with served(pyro) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        start_long_run(pyro, server)
        server.stdout.close()
        server.stdin.close()

        assert b"Traceback" not in server.stderr.read()
        server.wait(DEADLINE)
        wait_for_machines(pyro, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_is_killed_leaves_nothing_running(pyro: Installation, number: signal.Signals) -> None:
    with served(pyro) as server:
        start_long_run(pyro, server)
        server.send_signal(number)

        assert server.wait(DEADLINE) == -number
        wait_for_machines(pyro, 0)


def test_a_profile_that_does_not_exist_is_wrong_usage(pyro: Installation) -> None:
    done = pyro.cli("mcp", "serve", "--profile", "everything")

    assert done.returncode == 2
    assert done.stdout == b""
    assert b"vm-run" in done.stderr
