"""`pyro workspace`: what a command line asks of the daemon."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import click
import pytest

from pyro_mcp.errors import UsageError
from tests.unit.cli.stand_in import EXEC, ID, Daemon, run


@pytest.mark.parametrize("options_first", [True, False])
@pytest.mark.parametrize(
    ("command", "positional", "options", "expected"),
    [
        (
            "create",
            ["debian:12"],
            "--vcpu-count 2 --mem-mib 512 --ttl-seconds 0 --network-policy egress --allow-host-compat "
            "--require-isolation kvm --seed-path /tmp/x --name n --label a=1 --label b=x=y --allow 10.0.0.0/8 "
            "--allow 10.1.1.1:22 --secret A=x=y --secret-file B=/tmp/b --secret C=",
            (
                "create_workspace",
                {
                    "environment": "debian:12",
                    "vcpu_count": 2,
                    "mem_mib": 512,
                    "ttl_seconds": 0,
                    "network_policy": "egress",
                    "allow": ["10.0.0.0/8", "10.1.1.1:22"],
                    "secrets": [
                        {"name": "A", "value": "x=y"},
                        {"name": "C", "value": ""},
                        {"name": "B", "file_path": "/tmp/b"},
                    ],
                    "allow_host_compat": True,
                    "require_isolation": "kvm",
                    "seed_path": "/tmp/x",
                    "name": "n",
                    "labels": {"a": "1", "b": "x=y"},
                },
            ),
        ),
        (
            "update",
            [ID],
            "--name n --label a=1 --clear-label b --clear-label c --ttl-seconds 60",
            (
                "update_workspace",
                {
                    "workspace_id": ID,
                    "name": "n",
                    "clear_name": False,
                    "labels": {"a": "1"},
                    "clear_labels": ["b", "c"],
                    "ttl_seconds": 60,
                },
            ),
        ),
        ("status", [ID], "", ("status_workspace", {"workspace_id": ID})),
        ("reset", [ID], "--snapshot s", ("reset_workspace", {"workspace_id": ID, "snapshot": "s"})),
        ("start", [ID], "", ("start_workspace", {"workspace_id": ID})),
        ("stop", [ID], "", ("stop_workspace", {"workspace_id": ID})),
        ("delete", [ID], "", ("delete_workspace", {"workspace_id": ID})),
        ("list", [], "", ("list_workspaces", {})),
        ("logs", [ID], "", ("logs_workspace", {"workspace_id": ID})),
        ("diff", [ID], "", ("diff_workspace", {"workspace_id": ID})),
        (
            "sync push",
            [ID, "/src"],
            "--dest d",
            ("push_workspace_sync", {"workspace_id": ID, "source_path": "/src", "dest": "d"}),
        ),
        (
            "export",
            [ID, "p"],
            "--output /out",
            ("export_workspace", {"workspace_id": ID, "path": "p", "output_path": "/out"}),
        ),
        (
            "file list",
            [ID, "p"],
            "--recursive",
            ("list_workspace_files", {"workspace_id": ID, "path": "p", "recursive": True}),
        ),
        (
            "file read",
            [ID, "p"],
            "--max-bytes 5",
            ("read_workspace_file", {"workspace_id": ID, "path": "p", "max_bytes": 5}),
        ),
        ("file write", [ID, "p"], "--text t", ("write_workspace_file", {"workspace_id": ID, "path": "p", "text": "t"})),
        ("patch apply", [ID], "--patch t", ("apply_workspace_patch", {"workspace_id": ID, "patch": "t"})),
        ("snapshot create", [ID, "s"], "", ("create_snapshot", {"workspace_id": ID, "snapshot_name": "s"})),
        ("snapshot list", [ID], "", ("list_snapshots", {"workspace_id": ID})),
        ("snapshot delete", [ID, "s"], "", ("delete_snapshot", {"workspace_id": ID, "snapshot_name": "s"})),
    ],
)
def test_a_command_asks_what_it_says_wherever_its_options_stand(
    daemon: Daemon,
    capsysbinary: pytest.CaptureFixture[bytes],
    command: str,
    positional: list[str],
    options: str,
    expected: tuple[str, dict[str, object]],
    options_first: bool,
) -> None:
    daemon.answer = {"any": "payload"}
    words = [*options.split(), "--json"]
    run(*command.split(), *(words + positional if options_first else positional + words))

    assert daemon.asked == [expected]
    out, err = capsysbinary.readouterr()
    assert (json.loads(out), err) == ({"any": "payload"}, b"")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--", "ls | wc"], "ls | wc"),
        (["--", "ls", "-l"], ["ls", "-l"]),
        (["--", "git", "diff", "--", "a"], ["git", "diff", "--", "a"]),
        (["--", "--", "--json"], ["--", "--json"]),
        (["--", "echo", "--json", "--cwd", "x"], ["echo", "--json", "--cwd", "x"]),
        (["ls"], "ls"),
    ],
)
def test_what_stands_behind_the_dashes_is_the_command(daemon: Daemon, words: list[str], command: object) -> None:
    daemon.answer = EXEC
    for options in ([ID, "--cwd", "d"], ["--cwd", "d", ID]):
        given = ["--env", "A=b=c", "--env", "B=", "--secret-env", "S", "--secret-env", "T=U", "--timeout-seconds", "9"]
        assert run("exec", *options, *given, *words) == 7

    assert daemon.asked == 2 * [
        (
            "exec_workspace",
            {
                "workspace_id": ID,
                "command": command,
                "timeout_seconds": 9,
                "cwd": "d",
                "env": {"A": "b=c", "B": ""},
                "secret_env": {"S": "S", "T": "U"},
                "stdin": False,
            },
        )
    ]


@pytest.mark.parametrize("flag", ["-i", "--stdin"])
def test_stdin_is_given_to_the_command_when_it_is_asked_for(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xffinput")))
    daemon.answer = EXEC
    run("exec", ID, "--", "cat")
    assert (daemon.asked[-1][1]["stdin"], daemon.stdin) == (False, None)
    run("exec", flag, ID, "--", "cat")
    assert (daemon.asked[-1][1]["stdin"], daemon.stdin) == (True, b"\xffinput")


@pytest.mark.parametrize(
    "words",
    [
        ["create"],
        ["create", "debian:12", "--label", "a"],
        ["create", "debian:12", "--label", "=a"],
        ["create", "debian:12", "--network-policy", "all"],
        ["create", "debian:12", "--json", "--id-only"],
        ["create", "debian:12", "--secret", "A"],
        ["create", "debian:12", "--secret-file", "=x"],
        ["update", ID],
        ["exec", ID],
        ["exec", ID, "--"],
        ["exec", ID, "--env", "A", "--", "true"],
        ["exec", ID, "--secret-env", "A=", "--", "true"],
        ["exec", ID, "--secret-env", "=A", "--", "true"],
        ["exec", ID, "--secret-env", "A", "--secret-env", "A=B", "--", "true"],
        ["export", ID, "path"],
        ["sync", "push", ID],
        ["file", "write", ID, "path"],
        ["file", "write", ID, "path", "--text", "a", "--text-file", "b"],
        ["file", "read", ID, "path", "--json", "--content-only"],
        ["patch", "apply", ID],
        ["patch", "apply", ID, "--patch", "a", "--patch-file", "-"],
        ["snapshot", "create", ID],
    ],
)
def test_wrong_usage_asks_nothing(daemon: Daemon, words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        run(*words)
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("words", "option", "name"),
    [(["file", "write", ID, "p"], "--text", "text"), (["patch", "apply", ID], "--patch", "patch")],
)
def test_a_text_comes_from_the_command_line_a_file_or_stdin(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], option: str, name: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("grüße\r\n".encode())))
    (tmp_path / "file").write_bytes("grüße\r\n".encode())
    (tmp_path / "raw").write_bytes(b"\xff")
    for source in ([option, "grüße\r\n"], [f"{option}-file", str(tmp_path / "file")], [f"{option}-file", "-"]):
        run(*words, *source, "--json")
    run(*words, option, "", "--json")
    run(*words, option, "-", "--json")

    assert [asked[name] for _, asked in daemon.asked] == 3 * ["grüße\r\n"] + ["", "-"]
    for file, code in ((str(tmp_path / "raw"), "not-text"), ("/dev/zero", "file-too-large")):
        with pytest.raises(UsageError) as refused:
            run(*words, f"{option}-file", file)
        assert refused.value.code == code
    with pytest.raises(FileNotFoundError):
        run(*words, f"{option}-file", str(tmp_path / "nothing"))


def test_a_host_path_is_relative_to_where_the_command_was_given(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run("sync", "push", ID, "src", "--json")
    run("export", ID, "p", "--output", "out", "--json")
    run("create", "debian:12", "--seed-path", "../seed", "--secret-file", "A=token", "--json")

    asked = [arguments for _, arguments in daemon.asked]
    assert asked[0]["source_path"] == str(tmp_path / "src")
    assert asked[1]["output_path"] == str(tmp_path / "out")
    assert asked[2]["seed_path"] == str(tmp_path.parent / "seed")
    assert asked[2]["secrets"] == [{"name": "A", "file_path": str(tmp_path / "token")}]


@pytest.mark.parametrize("given", ["hunter2", "=hunter2"])
def test_no_error_shows_what_may_be_a_secret(daemon: Daemon, given: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        run("create", "debian:12", "--secret", given)
    assert "NAME=VALUE" in refused.value.format_message()
    assert "hunter2" not in refused.value.format_message()
    assert daemon.asked == []


def test_a_closed_stdin_is_an_empty_one(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    daemon.answer = EXEC
    run("exec", "-i", ID, "--", "cat")
    assert daemon.stdin == b""
    run("file", "write", ID, "p", "--text-file", "-", "--json")
    assert daemon.asked[-1][1]["text"] == ""
