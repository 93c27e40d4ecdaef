"""What stands in for the daemon where only the command line is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_mcp.cli.app import pyro
from pyro_mcp.sdk.caller import Caller
from pyro_mcp.sdk.transport import OnEvent, OnOutput

ID = "ws-0123456789ab"
HOSTILE = "a\x1b[2Jb\rc\u202ed"
SHOWN = r"a\x1b[2Jb\rc\u202ed"

WORKSPACE = {
    "workspace_id": ID, "name": "mine", "labels": {"team": "a"}, "state": "started", "environment": "debian:12",
    "environment_version": "4.0.0", "execution_mode": "guest_serial", "isolation": "emulated",
    "workspace_path": "/workspace", "workspace_seed": {"mode": "empty", "seed_path": None, "destination": "/workspace",
    "entry_count": 0, "bytes_written": 0, "skipped": [], "skipped_count": 0}, "vcpu_count": 1, "mem_mib": 1024,
    "ttl_seconds": 0, "created_at": "T", "expires_at": None, "last_activity_at": "T", "network_policy": "off",
    "network": None, "secrets": [], "command_count": 1,
    "last_command": {"command": HOSTILE, "state": "ended", "exit_code": 0, "started_at": "T", "ended_at": None},
    "reset_count": 0, "last_reset_at": None, "service_count": 0, "running_service_count": 0,
    "timings_ms": {}, "metadata": {},
}  # fmt: skip
EXEC = {
    "workspace_id": ID, "sequence": 3, "command": "c", "cwd": "/workspace", "exit_code": 7, "timed_out": False,
    "duration_ms": 5, "stdout": "o", "stderr": "e", "stdout_truncated": False, "stderr_truncated": False,
    "execution_mode": "guest_serial", "isolation": "emulated",
}  # fmt: skip


class Daemon:
    """Stands where the daemon does, behind the SDK: remembers what it was asked, answers what it was told to."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self.output: list[tuple[str, bytes]] = []
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.stdin: object = None

    def call(
        self,
        _sdk: Caller,
        name: str,
        arguments: Mapping[str, object],
        _on_event: OnEvent | None = None,
        on_output: OnOutput | None = None,
        stdin: object = None,
    ) -> dict[str, Any]:
        self.asked.append((name, arguments))
        self.stdin = stdin.read() if hasattr(stdin, "read") else stdin
        for stream, data in self.output if on_output else ():
            assert on_output is not None
            on_output(stream, data)
        return self.answer


def run(*arguments: str) -> object:
    """`pyro workspace` with `arguments`; what the command returns."""
    return pyro.main(["workspace", *arguments], standalone_mode=False)
