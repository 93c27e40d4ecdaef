"""`pyro workspace`: what is printed of the daemon's answers, for programs and for people."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import pytest

from tests.unit.cli.stand_in import EXEC, HOSTILE, ID, SHOWN, WORKSPACE, Daemon, run


def test_the_commands_output_is_passed_on_as_bytes_and_summed_up_on_stderr(
    daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    daemon.answer = EXEC | {"cwd": HOSTILE}
    daemon.output = [("stdout", b"\x00\xffout"), ("stderr", b"\x1berr\n")]
    assert run("exec", ID, "--", "c") == 7

    out, err = capsysbinary.readouterr()
    assert out == b"\x00\xffout"
    assert err.decode() == (
        f"\x1berr\n[workspace-exec] workspace_id={ID} sequence=3 cwd={SHOWN} execution_mode=guest_serial "
        "isolation=emulated exit_code=7 duration_ms=5\n"
    )

    assert run("exec", ID, "--json", "--", "c") == 7
    out, err = capsysbinary.readouterr()
    assert (json.loads(out)["exit_code"], err) == (7, b"")


def test_the_id_can_be_had_alone(daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    daemon.answer = WORKSPACE
    run("create", "debian:12", "--id-only")

    assert capsysbinary.readouterr() == (f"{ID}\n".encode(), b"")


def test_a_workspace_is_shown_a_fact_per_line(daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    daemon.answer = WORKSPACE
    run("status", ID)

    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[:4] == [f"workspace_id: {ID}", "name: mine", "labels: team=a", "state: started"]
    assert "workspace_seed: mode=empty destination=/workspace entry_count=0 bytes_written=0 skipped_count=0" in lines
    assert "expires_at: never" in lines
    assert f"last_command: command={SHOWN} state=ended exit_code=0 started_at=T" in lines


def test_what_a_network_refused_is_shown_a_line_each(
    daemon: Daemon, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    denied = [
        {"address": "10.0.0.5", "protocol": "tcp", "port": 80, "count": 3},
        {"address": "10.0.0.5", "protocol": HOSTILE, "port": None, "count": 1},
    ]
    network = {"policy": "egress", "allow": ["10.1.0.0/16", "10.2.0.1/32:22"], "denied": denied, "denied_count": 4}
    secrets = [{"name": "A", "source_kind": "literal"}, {"name": "B", "source_kind": "file"}]
    daemon.answer = WORKSPACE | {"network_policy": "egress", "network": network, "secrets": secrets}
    run("status", ID)

    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert {"network_policy: egress", "secrets: A B", "service_count: 0", "running_service_count: 0"} <= set(lines)
    assert lines[-4:] == [
        "allow: 10.1.0.0/16 10.2.0.1/32:22",
        "denied_count: 4",
        "denied: 10.0.0.5:80 tcp 3 times",
        f"denied: 10.0.0.5 {SHOWN} 1 times",
    ]


LISTED = [
    {"path": f"/workspace/{HOSTILE}", "artifact_type": "file", "size_bytes": 12345, "link_target": None},
    {"path": "/workspace/l", "artifact_type": "symlink", "size_bytes": 0, "link_target": HOSTILE},
]
SNAPSHOT = {
    "snapshot_name": "one", "kind": "named", "created_at": "T", "entry_count": 2, "bytes_written": 3, "deletable": True,
}  # fmt: skip
LOGGED = {
    "sequence": 1, "command": "echo a\necho b", "cwd": HOSTILE, "state": "ended", "exit_code": 0, "duration_ms": 5,
    "stdout": f"| one\n{HOSTILE}\n", "stderr": "", "recorded_at": "T",
}  # fmt: skip
PUSHED = {
    "mode": "directory", "source_path": "/src", "destination": "/workspace/d", "entry_count": 2, "bytes_written": 3,
    "skipped": [HOSTILE], "skipped_count": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "answer", "out", "err"),
    [
        (["list"], {"count": 0, "workspaces": []}, [], ["there are no workspaces"]),
        (
            ["list"],
            {
                "count": 2,
                "workspaces": [WORKSPACE, WORKSPACE | {"name": None, "state": "stopped", "labels": {"k": HOSTILE}}],
            },
            [f"{ID}  started  debian:12  never  mine  team=a", f"{ID}  stopped  debian:12  never  -     k={SHOWN}"],
            [],
        ),
        (
            ["file", "list", ID],
            {"entries": LISTED},
            [f"file     12345  /workspace/{SHOWN}", f"symlink  0      /workspace/l -> {SHOWN}"],
            [],
        ),
        (["file", "list", ID], {"entries": []}, [], []),
        (
            ["file", "write", ID, "p", "--text", "x"],
            {"path": f"/workspace/{HOSTILE}", "bytes_written": 1},
            [f"Wrote: /workspace/{SHOWN} (1 bytes)"],
            [],
        ),
        (
            ["patch", "apply", ID, "--patch", "x"],
            {"entries": [{"path": HOSTILE, "status": "added"}], "summary": {"total": 1, "added": 1}},
            [f"added  {SHOWN}"],
            ["[workspace-patch] total=1 added=1"],
        ),
        (
            ["sync", "push", ID, "/src"],
            {"workspace_sync": PUSHED},
            ["Pushed: /src to /workspace/d (2 entries, 3 bytes)"],
            [f"[workspace-sync] skipped={SHOWN}", "[workspace-sync] skipped 2 more"],
        ),
        (
            ["export", ID, "p", "--output", "/o"],
            {
                "workspace_path": HOSTILE,
                "output_path": "/o",
                "artifact_type": "directory",
                "entry_count": 2,
                "bytes_written": 3,
                "skipped": [HOSTILE],
                "skipped_count": 1,
            },
            [f"Exported: {SHOWN} to /o (directory, 2 entries, 3 bytes)"],
            [f"[workspace-export] skipped={SHOWN}"],
        ),
        (
            ["diff", ID],
            {
                "patch": "+a\tb\n",
                "entries": [
                    {"path": "p", "status": "modified", "artifact_type": "file", "text_patch": "+a\tb\n"},
                    {"path": HOSTILE, "status": "added", "artifact_type": "directory", "text_patch": None},
                ],
                "patch_truncated": True,
                "summary": {"total": 2},
            },
            ["+a\tb"],
            [
                f"[workspace-diff] added directory {SHOWN}",
                "[workspace-diff] there is more than one answer can hold: of some files the text is left out",
                "[workspace-diff] total=2",
            ],
        ),
        (
            ["logs", ID],
            {"entries": [LOGGED, LOGGED | {"exit_code": None, "state": "running", "stderr": "e", "command": "c"}]},
            [
                f"[1] T cwd={SHOWN} state=ended exit_code=0 duration_ms=5",
                "$ echo a",
                "$ echo b",
                "| | one",
                f"| {SHOWN}",
                f"[1] T cwd={SHOWN} state=running",
                "$ c",
                "| | one",
                f"| {SHOWN}",
                "! e",
            ],
            [],
        ),
        (
            ["snapshot", "create", ID, "one"],
            {"snapshot": SNAPSHOT},
            [
                "snapshot_name: one",
                "kind: named",
                "created_at: T",
                "entry_count: 2",
                "bytes_written: 3",
                "deletable: True",
            ],
            [],
        ),
        (["snapshot", "list", ID], {"snapshots": [SNAPSHOT]}, ["one  T  entries=2  bytes=3"], []),
        (["snapshot", "delete", ID, "one"], {"snapshot_name": "one"}, ["Deleted: one"], []),
        (["delete", ID], {"workspace_id": ID}, [f"Deleted: {ID}"], []),
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
    run(*words)

    written, noted = (text.decode() for text in capsysbinary.readouterr())
    assert (written.split("\n")[:-1], noted.split("\n")[:-1]) == (out, err)


CONTENT = {"path": "/workspace/p", "content": f"\tone\n{HOSTILE}", "size_bytes": 9, "max_bytes": 5, "truncated": False}
DIFF = {"patch": f"+\t{HOSTILE}\n", "entries": [], "patch_truncated": False, "summary": {"total": 1}}


@pytest.mark.parametrize(
    ("words", "answer", "plain", "on_a_terminal", "noted"),
    [
        (
            ["file", "read", ID, "p"],
            CONTENT,
            f"\tone\n{HOSTILE}",
            f"\tone\n{SHOWN}\n",
            "[workspace-file] size_bytes=9 truncated=false path=/workspace/p\n",
        ),
        (["file", "read", ID, "p", "--content-only"], CONTENT, f"\tone\n{HOSTILE}", f"\tone\n{HOSTILE}", ""),
        (
            ["file", "read", ID, "p", "--content-only"],
            CONTENT | {"content": "", "truncated": True},
            "",
            "",
            "[workspace-file] size_bytes=9 truncated=true path=/workspace/p\n",
        ),
        (["diff", ID], DIFF, f"+\t{HOSTILE}\n", f"+\t{SHOWN}\n", "[workspace-diff] total=1\n"),
        (["diff", ID], DIFF | {"patch": ""}, "", "", "[workspace-diff] total=1\n"),
    ],
)
def test_content_is_raw_in_a_pipe_and_harmless_on_a_terminal(
    daemon: Daemon,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    answer: dict[str, Any],
    plain: str,
    on_a_terminal: str,
    noted: str,
) -> None:
    daemon.answer = answer
    for terminal, expected in ((False, plain), (True, on_a_terminal)):
        monkeypatch.setattr(sys.stdout, "isatty", partial(bool, terminal))
        run(*words)
        out, err = capsysbinary.readouterr()
        assert (out.decode(), err.decode()) == (expected, noted)
