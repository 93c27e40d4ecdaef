"""`pyro workspace shell` and `pyro workspace service`: what a command line asks of the daemon."""

from __future__ import annotations

import json

import click
import pytest

from pyro_mcp.cli.app import pyro
from tests.unit.cli.at_a_terminal import SHELL, SHELL_PAYLOAD
from tests.unit.cli.stand_in import ID, Daemon, run

SERVICE = {
    "workspace_id": ID, "service_name": "web", "state": "running", "command": "c", "cwd": "/workspace", "pid": 7,
    "readiness": None, "ready_at": "T", "started_at": "T", "ended_at": None, "exit_code": None, "stop_reason": None,
    "published_ports": [],
}  # fmt: skip
WRITTEN = {"workspace_id": ID, "shell_id": SHELL, "input_length": 1, "append_newline": True}
SH = {"workspace_id": ID, "shell_id": SHELL}
WEB = {"workspace_id": ID, "service_name": "web"}
START: dict[str, object] = {
    **WEB, "command": ["c", "--json"], "cwd": "/workspace", "readiness": None, "ready_timeout_seconds": 30,
    "ready_interval_ms": 500, "secret_env": {}, "published_ports": None,
}  # fmt: skip


@pytest.mark.parametrize("options_first", [True, False])
@pytest.mark.parametrize(
    ("command", "positional", "options", "expected"),
    [
        (
            "shell open",
            [ID],
            "--cwd d --cols 80 --rows 24 --secret-env A --secret-env B=C",
            (
                "open_shell",
                {"workspace_id": ID, "cwd": "d", "cols": 80, "rows": 24, "secret_env": {"A": "A", "B": "C"}},
            ),
        ),
        (
            "shell read",
            [ID, SHELL],
            "--cursor 5 --max-chars 6 --plain --wait-for-idle-ms 0",
            ("read_shell", {**SH, "cursor": 5, "max_chars": 6, "plain": True, "wait_for_idle_ms": 0}),
        ),
        (
            "shell write",
            [ID, SHELL],
            "--input -x --no-newline",
            ("write_shell", {**SH, "input": "-x", "append_newline": False}),
        ),
        ("shell signal", [ID, SHELL], "--signal HUP", ("signal_shell", {**SH, "signal_name": "HUP"})),
        ("shell close", [ID, SHELL], "", ("close_shell", SH)),
        ("service list", [ID], "", ("list_services", {"workspace_id": ID})),
        ("service status", [ID, "web"], "", ("status_service", WEB)),
        (
            "service logs",
            [ID, "web"],
            "--tail-lines 5 --all --follow",
            ("logs_service", {**WEB, "tail_lines": 5, "all": True, "follow": True}),
        ),
        ("service stop", [ID, "web"], "", ("stop_service", WEB)),
    ],
)
def test_a_command_asks_what_it_says_wherever_its_options_stand(
    daemon: Daemon,
    capsysbinary: pytest.CaptureFixture[bytes],
    command: str,
    positional: list[str],
    options: str,
    expected: object,
    options_first: bool,
) -> None:
    daemon.answer = {"key": "value"}
    words = [*options.split(), "--json"]
    run(*command.split(), *(words + positional if options_first else positional + words))

    assert daemon.asked == [expected]
    assert json.loads(capsysbinary.readouterr().out) == daemon.answer


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {}),
        (["--cwd", "d", "--secret-env", "A"], {"cwd": "d", "secret_env": {"A": "A"}}),
        (["--ready-file", "f"], {"readiness": {"type": "file", "path": "f"}}),
        (["--ready-tcp", "h:1"], {"readiness": {"type": "tcp", "address": "h:1"}}),
        (["--ready-http", "u"], {"readiness": {"type": "http", "url": "u"}}),
        (["--ready-command", "c"], {"readiness": {"type": "command", "command": "c"}}),
        (
            ["--ready-timeout-seconds", "5", "--ready-interval-ms", "6"],
            {"ready_timeout_seconds": 5, "ready_interval_ms": 6},
        ),
        (
            ["--publish", "8080", "--publish", "18080:080"],
            {"published_ports": [{"guest_port": 8080}, {"host_port": 18080, "guest_port": 80}]},
        ),
    ],
)
def test_a_service_is_started_as_it_is_said(daemon: Daemon, options: list[str], expected: dict[str, object]) -> None:
    daemon.answer = SERVICE
    run("service", "start", *options, ID, "web", "--", "c", "--json")
    run("service", "start", ID, "web", *options, "--", "c", "--json")

    assert daemon.asked == 2 * [("start_service", START | expected)]


def test_behind_the_dashes_is_the_services_command(daemon: Daemon) -> None:
    daemon.answer = SERVICE
    for words, command in ((["a b"], "a b"), (["a", "--", "b"], ["a", "--", "b"]), (["--", "x"], ["--", "x"])):
        run("service", "start", ID, "web", "--", *words)
        assert daemon.asked[-1][1]["command"] == command


@pytest.mark.parametrize(
    "words",
    [
        ["shell", "open"],
        ["shell", "open", ID, "--json", "--id-only"],
        ["shell", "open", ID, "--cols", "x"],
        ["shell", "read", ID],
        ["shell", "write", ID, SHELL],
        ["shell", "signal", ID, SHELL, "--signal", "STOP"],
        ["service", "start", ID, "web"],
        ["service", "start", ID, "web", "--ready-file", "a", "--ready-tcp", "b", "--", "c"],
        ["service", "logs", ID],
    ],
)
def test_wrong_usage_asks_nothing(daemon: Daemon, words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        run(*words)
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("web", "ports are numbers"),
        ("", "ports are numbers"),
        (":80", "ports are numbers"),
        ("80:", "ports are numbers"),
        ("-1", "ports are numbers"),
        ("80/udp", "ports are numbers"),
        ("127.0.0.1:8080:80", "it is always 127.0.0.1"),
        ("0", "1 to 65535"),
        ("0:80", "1 to 65535"),
        ("80:65536", "1 to 65535"),
    ],
)
def test_a_port_that_cannot_be_published_is_named_with_what_would_do(daemon: Daemon, given: str, why: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        run("service", "start", ID, "web", "--publish", given, "--", "c")

    message = refused.value.format_message()
    assert repr(given) in message
    assert why in message
    assert daemon.asked == []


def test_a_run_may_be_allowed_more_than_the_internet(daemon: Daemon) -> None:
    daemon.answer = {"exit_code": 0}
    words = ["--json", "--network", "--allow", "10.0.0.0/8", "--allow", "10.1.1.1:22", "debian:12", "--", "true"]
    pyro.main(["run", *words], standalone_mode=False)

    assert (daemon.asked[0][1]["network"], daemon.asked[0][1]["allow"]) == (True, ["10.0.0.0/8", "10.1.1.1:22"])


@pytest.mark.parametrize(("options", "network", "shown"), [([], False, "git --version"), (["--network"], True, "443")])
def test_the_demo_with_a_network_uses_it(
    daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes], options: list[str], network: bool, shown: str
) -> None:
    names = ("cleanup", "command", "environment", "execution_mode", "isolation", "stdout")
    daemon.answer = {**dict.fromkeys(names, ""), "exit_code": 3}
    daemon.output = [("stdout", b"seen in the payload"), ("stderr", b"why it failed\n")]
    assert pyro.main(["demo", *options], standalone_mode=False) == 3

    name, asked = daemon.asked[0]
    assert (name, asked["network"]) == ("run_in_vm", network)
    command = asked["command"]
    assert isinstance(command, list)
    assert shown in " ".join(command)
    out, err = capsysbinary.readouterr()
    assert json.loads(out) == daemon.answer
    assert err == b"why it failed\n"


def test_writing_needs_no_newline_to_be_a_text(daemon: Daemon) -> None:
    daemon.answer = WRITTEN
    run("shell", "write", ID, SHELL, "--input", "")
    assert daemon.asked == [("write_shell", {**SH, "input": "", "append_newline": True})]
    daemon.answer = SHELL_PAYLOAD
    run("shell", "signal", ID, SHELL)
    assert daemon.asked[-1][1]["signal_name"] == "INT"
