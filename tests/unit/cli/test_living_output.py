"""`pyro workspace shell` and `pyro workspace service`: what is printed of the daemon's answers."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import pytest

from tests.unit.cli.at_a_terminal import SHELL, SHELL_PAYLOAD
from tests.unit.cli.stand_in import HOSTILE, ID, SHOWN, Daemon, run
from tests.unit.cli.test_living_arguments import SERVICE, WRITTEN

PORTS = [
    {"host": "127.0.0.1", "host_port": 18080, "guest_port": 8080, "protocol": "tcp"},
    {"host": "127.0.0.1", "host_port": 40001, "guest_port": 80, "protocol": "tcp"},
]
PORTS_SHOWN = "127.0.0.1:18080->8080 127.0.0.1:40001->80"
SHELL_LINES = [
    f"workspace_id: {ID}", f"shell_id: {SHELL}", f"cwd: {SHOWN}", "cols: 100", "rows: 40", "state: exited",
    "exit_code: 130",
]  # fmt: skip
SERVICE_LINES = [
    f"workspace_id: {ID}", "service_name: web", "state: exited", f"command: {SHOWN}", "cwd: /workspace", "pid: 7",
    f"readiness: type=file path={SHOWN}", "ready_at: T", "started_at: T", "ended_at: T", "exit_code: 3",
    "stop_reason: exited", "published_port: 127.0.0.1:18080->8080", "published_port: 127.0.0.1:40001->80",
]  # fmt: skip
ENDED_SHELL = SHELL_PAYLOAD | {"cwd": HOSTILE, "state": "exited", "exit_code": 130}
ENDED_SERVICE = SERVICE | {
    "command": HOSTILE, "state": "exited", "exit_code": 3, "readiness": {"type": "file", "path": HOSTILE},
    "ended_at": "T", "stop_reason": "exited", "published_ports": PORTS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "answer", "out", "err"),
    [
        (["shell", "open", ID, "--id-only"], SHELL_PAYLOAD, [SHELL], []),
        (["shell", "open", ID], ENDED_SHELL, SHELL_LINES, []),
        (["shell", "signal", ID, SHELL], ENDED_SHELL, SHELL_LINES, []),
        (["shell", "close", ID, SHELL], ENDED_SHELL, SHELL_LINES, []),
        (["shell", "write", ID, SHELL, "--input", "a"], WRITTEN, [f"Wrote: 1 characters and Enter to {SHELL}"], []),
        (
            ["shell", "write", ID, SHELL, "--input", "a"],
            WRITTEN | {"append_newline": False},
            [f"Wrote: 1 characters to {SHELL}"],
            [],
        ),
        (["service", "start", ID, "web", "--", "c"], ENDED_SERVICE, SERVICE_LINES, []),
        (["service", "status", ID, "web"], ENDED_SERVICE, SERVICE_LINES, []),
        (["service", "stop", ID, "web"], ENDED_SERVICE, SERVICE_LINES, []),
        (["service", "list", ID], {"count": 0, "services": []}, [], ["there are no services"]),
        (
            ["service", "list", ID],
            {"count": 2, "services": [SERVICE, ENDED_SERVICE | {"service_name": "longer"}]},
            [
                f"web     running  -  {'-'.ljust(len(PORTS_SHOWN))}  c",
                f"longer  exited   3  {PORTS_SHOWN}  {SHOWN}",
            ],
            [],
        ),
    ],
)
def test_what_people_read_is_harmless(
    daemon: Daemon,
    capsysbinary: pytest.CaptureFixture[bytes],
    words: list[str],
    answer: dict[str, Any],
    out: list[str],
    err: list[str],
) -> None:
    daemon.answer = answer
    assert not run(*words)

    written, noted = (text.decode() for text in capsysbinary.readouterr())
    assert (written.split("\n")[:-1], noted.split("\n")[:-1]) == (out, err)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_service_that_was_never_ready_fails_the_command_that_started_it(
    daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes], as_json: bool
) -> None:
    daemon.answer = SERVICE | {"state": "failed", "stop_reason": "not-ready\x1b[2J"}
    assert run("service", "start", ID, "web", *(["--json"] if as_json else []), "--", "c") == 1

    out, err = (text.decode() for text in capsysbinary.readouterr())
    if as_json:
        assert (json.loads(out), err) == (daemon.answer, "")
    else:
        assert "state: failed\n" in out
        assert err == (
            r"[workspace-service] web failed: not-ready\x1b[2J; "
            f"`pyro workspace service logs {ID} web` shows what it wrote\n"
        )


WROTE = SHELL_PAYLOAD | {"output": f"$ ls\r\n{HOSTILE}\r\n", "cursor": 5, "next_cursor": 30, "lost_bytes": 5}


@pytest.mark.parametrize(
    ("terminal", "shown"), [(False, f"$ ls\r\n{HOSTILE}\r\n"), (True, f"$ ls\n{SHOWN}\n")], ids=["pipe", "terminal"]
)
@pytest.mark.parametrize(
    ("state", "noted"),
    [({}, "state=running"), ({"state": "exited", "exit_code": 1}, "state=exited exit_code=1")],
    ids=["running", "ended"],
)
def test_what_a_shell_wrote_is_as_it_is_in_a_pipe_and_harmless_on_a_terminal(
    daemon: Daemon,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    shown: str,
    state: dict[str, Any],
    noted: str,
) -> None:
    daemon.answer = WROTE | state
    monkeypatch.setattr(sys.stdout, "isatty", partial(bool, terminal))
    run("shell", "read", ID, SHELL)

    out, err = (text.decode() for text in capsysbinary.readouterr())
    assert out == shown
    assert err == f"[workspace-shell] cursor=5 next_cursor=30 truncated=false lost_bytes=5 {noted}\n"


LOGS = SERVICE | {"stdout": f"out {HOSTILE}\n", "stderr": "err\n", "tail_lines": 200, "truncated": True}
LOGS_NOTE = b"[workspace-service] service_name=web state=running truncated=true\n"


def test_what_a_service_wrote_goes_where_it_wrote_it(
    daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    daemon.answer = LOGS
    daemon.output = [("stdout", b"\xff\x00"), ("stderr", b"\x1b\n")]
    run("service", "logs", ID, "web")
    assert capsysbinary.readouterr() == (f"out {HOSTILE}\n".encode(), b"err\n" + LOGS_NOTE)
    run("service", "logs", ID, "web", "--follow")
    assert capsysbinary.readouterr() == (b"\xff\x00", b"\x1b\n" + LOGS_NOTE)
    run("service", "logs", ID, "web", "--follow", "--json")
    out, err = capsysbinary.readouterr()
    assert (json.loads(out), err) == (LOGS, b"")
