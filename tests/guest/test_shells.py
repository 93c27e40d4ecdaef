"""Shells: terminals that stay, the programs in them, how they end and what they outlive."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError, PyroError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation, until, wait_gone
from tests.harness.shells import Shell

SHELLS = 32

TELLS_ITS_SIZE = """
import os, signal
def tell(*_):
    columns, rows = os.get_terminal_size()
    os.write(1, b"%d %d;" % (rows, columns))
signal.signal(signal.SIGWINCH, tell)
tell()
while True:
    signal.pause()
"""


def alive(pyro: Installation, workspace_id: str, pattern: str) -> int:
    """How many processes there are whose command line matches."""
    return int(pyro.sdk().exec_workspace(workspace_id, command=["pgrep", "-fc", pattern])["stdout"])


def test_a_shell_is_a_terminal_of_its_own_with_job_control(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id, cols=83, rows=17)
        shell.type("tty; stty size; echo $TERM; pwd; echo $HOME; umask; id -u")
        seen = shell.hear(r"\n0\r\n")
        assert re.search(r"/dev/pts/\d+\r\n17 83\r\nxterm-256color\r\n/workspace\r\n/root\r\n0022\r\n0\r\n", seen)

        shell.type("sleep 7654")
        assert until(lambda: alive(pyro, workspace_id, "^sleep 7654") or None)
        shell.type("\x1a", enter=False)
        shell.hear("Stopped")
        shell.type("jobs; bg")
        shell.hear(r"\[1\]\+ sleep 7654 &")
        shell.type("fg")
        shell.hear("\rsleep 7654\r\n")
        shell.type("\x03", enter=False)
        shell.type("echo was=$?")
        shell.hear("was=130")


def test_what_was_typed_before_is_there_for_whoever_types_next(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.type("mkdir -p deep/er; cd deep/er; WHO='it is me'; twice() { echo $1 $1; }")
        there = (workspace_id, shell.shell_id)
        written = pyro.cli("workspace", "shell", "write", *there, "--input", 'pwd; twice "$WHO"')
        assert written.returncode == 0, written
        shell.hear("/workspace/deep/er\r\nit is me it is me\r\n")
        read = pyro.cli("workspace", "shell", "read", *there, "--plain", "--wait-for-idle-ms", "300")
        assert b"/workspace/deep/er\nit is me it is me\n" in read.stdout
        assert b"state=running" in read.stderr


@pytest.mark.parametrize(("name", "status"), [("INT", 130), ("TERM", 143), ("KILL", 137), ("HUP", 129)])
def test_a_signal_ends_what_is_in_the_foreground_and_not_the_shell(pyro: Installation, name: str, status: int) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.type("sleep 1000")
        assert until(lambda: alive(pyro, workspace_id, "^sleep 1000") or None)
        assert shell.signal(name)["state"] == "running"
        shell.type("echo ended=$?")
        shell.hear(f"ended={status}")
        assert alive(pyro, workspace_id, "^sleep 1000") == 0


def test_a_shell_with_nothing_in_the_foreground_gets_the_signal_itself(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        for name, status in (("KILL", 137), ("HUP", 129)):
            shell = Shell(pyro, workspace_id)
            shell.hear("# ")
            shell.signal(name)
            assert (shell.ended()["exit_code"], shell.signal(name)["state"]) == (status, "exited")


def test_a_new_size_reaches_the_program(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.become(f"exec python3 -c {shlex.quote(TELLS_ITS_SIZE)}")
        shell.type("")
        shell.hear("30 120;")
        for columns, rows in ((1000, 1), (1, 1000), (132, 43)):
            resized = shell.sdk.resize_shell(workspace_id, shell.shell_id, cols=columns, rows=rows)
            assert (resized["cols"], resized["rows"]) == (columns, rows)
            shell.hear(f"{rows} {columns};")


def test_a_shell_that_has_ended_tells_how_and_can_be_read_until_it_is_closed(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.type("echo last words; exit 7")
        assert (shell.ended()["exit_code"], shell.read()["exit_code"]) == (7, 7)
        assert "last words\r\n" in shell.read()["output"]
        with pytest.raises(ConflictError) as refused:
            shell.type("anybody there?")
        assert (refused.value.code, refused.value.details["written"]) == ("shell-not-reading", 0)
        closed = shell.close()
        assert (closed["state"], closed["exit_code"]) == ("exited", 7)
        for again in (shell.read, shell.close):
            with pytest.raises(NotFoundError) as gone:
                again()
            assert gone.value.code == "shell-not-found"


def test_a_shell_outlives_the_daemon_but_no_stop_and_no_reset(own_pyro: Installation) -> None:
    with workspace(own_pyro) as workspace_id:
        shell = Shell(own_pyro, workspace_id)
        shell.type("WHO=me; sleep 4321 & echo begun=$!")
        before = shell.hear(r"begun=\d+\r\n")
        daemon = own_pyro.daemon_pid()
        os.kill(daemon, signal.SIGKILL)
        wait_gone(daemon)

        assert shell.read()["output"].startswith(before)
        shell.type("echo still $WHO; jobs")
        shell.hear(r"still me\r\n\[1\]\+  Running +sleep 4321 &")

        own_pyro.stop()  # stops the workspace, as nobody would be there for it
        with pytest.raises(ConflictError) as stopped:
            shell.read()
        assert stopped.value.code == "workspace-stopped"
        shell.sdk.start_workspace(workspace_id)
        other = Shell(own_pyro, workspace_id)
        shell.sdk.reset_workspace(workspace_id)
        for ended in (shell, other):
            with pytest.raises(NotFoundError) as gone:
                ended.read()
            assert gone.value.code == "shell-not-found"


def test_there_are_32_shells_side_by_side_and_no_more(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id, ThreadPoolExecutor(8) as pool:
        shells = list(pool.map(lambda _: Shell(pyro, workspace_id), range(SHELLS)))
        assert len({shell.shell_id for shell in shells}) == SHELLS
        for number, shell in enumerate(shells):
            shell.type(f"WHO={number}; [ $WHO != 3 ] || exit 3; echo I am $WHO.")
        for number, shell in enumerate(shells[4:], start=4):
            shell.hear(f"I am {number}\\.\r\n")
        assert shells[3].ended()["exit_code"] == 3

        with pytest.raises(ConflictError) as refused:
            Shell(pyro, workspace_id)
        assert refused.value.code == "too-many-shells"
        shells[3].close()
        Shell(pyro, workspace_id).close()
        list(pool.map(Shell.close, shells[:3] + shells[4:]))
        assert said(pyro, workspace_id, "ls /dev/pts") == "ptmx\n"


def test_closing_ends_all_that_the_shell_has_started(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell, other = Shell(pyro, workspace_id), Shell(pyro, workspace_id)
        other.type("sleep 1111.5 & echo begun")
        other.hear("\nbegun")
        shell.type(
            "sleep 1111.1 & nohup sleep 1111.2 & setsid sleep 1111.3 < /dev/null > /dev/null 2>&1 &"
            " (setsid sh -c 'trap \"\" HUP TERM; sleep 1111.4; :' &) ; echo begun"
        )
        assert until(lambda: True if alive(pyro, workspace_id, r"^sleep 1111\.") == 5 else None)
        assert shell.close()["state"] == "exited"
        assert alive(pyro, workspace_id, r"sleep 1111\.[1-4]") == 0
        assert alive(pyro, workspace_id, r"^sleep 1111\.5") == 1


def test_a_program_that_reads_nothing_is_told_by_what_was_written(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.become("exec sleep 1000")
        shell.type("")
        with pytest.raises(ConflictError) as refused:
            shell.type("x" * 1_000_000)
        assert refused.value.code == "shell-not-reading"
        written = refused.value.details["written"]
        assert isinstance(written, int)
        assert 1000 < written < 1_000_000
        assert f"{written} bytes were written" in refused.value.message
        assert shell.read()["state"] == "running"
        assert shell.close()["exit_code"] == 137


def test_a_program_that_reads_slowly_gets_every_byte(pyro: Installation) -> None:
    count = "import os; n = 0\nwhile n < 1000001: n += len(os.read(0, 65536))\nprint(f'[{n}]', end='', flush=True)"
    said_of = "\u00e9" * 500_000
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.become(f'exec python3 -c "{count}"')
        shell.type("")
        shell.type(said_of)
        shell.hear(r"\[1000001\]")
        assert shell.ended()["exit_code"] == 0


NONSENSE: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("open", {"cwd": "/not/there"}, "shell-not-opened"),
    ("open", {"cwd": "/etc/passwd"}, "shell-not-opened"),
    ("open", {"cwd": ""}, "invalid-argument"),
    ("open", {"cwd": "a\0b"}, "invalid-argument"),
    ("open", {"cols": 0}, "out-of-range"),
    ("open", {"rows": 1001}, "out-of-range"),
    ("open", {"cols": "80"}, "invalid-argument"),
    ("open", {"secret_env": {"UNKNOWN": "X"}}, "secret-not-found"),
    ("open", {"secret_env": {"TOKEN": "PATH"}}, "reserved-name"),
    ("read", {"cursor": -1}, "out-of-range"),
    ("read", {"cursor": 2**53 + 1}, "out-of-range"),
    ("read", {"cursor": 10**6}, "cursor-ahead"),
    ("read", {"max_chars": 0}, "out-of-range"),
    ("read", {"max_chars": (1 << 20) + 1}, "out-of-range"),
    ("read", {"plain": "yes"}, "invalid-argument"),
    ("read", {"wait_for_idle_ms": -1}, "out-of-range"),
    ("read", {"wait_for_idle_ms": 10_001}, "out-of-range"),
    ("write", {"input": 5}, "invalid-argument"),
    ("write", {"input": "x" * ((1 << 20) + 1)}, "invalid-argument"),
    ("write", {"input": "\ud800"}, "invalid-argument"),
    ("write", {"input": "", "append_newline": 1}, "invalid-argument"),
    ("signal", {"signal_name": "STOP"}, "invalid-argument"),
    ("signal", {"signal_name": 9}, "invalid-argument"),
    ("resize", {"cols": 80, "rows": 0}, "out-of-range"),
    ("attach", {"cursor": -1}, "out-of-range"),
    ("attach", {"cursor": 10**6}, "cursor-ahead"),
)


def test_what_makes_no_sense_is_refused_in_a_line_and_changes_nothing(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro, secrets=[{"name": "TOKEN", "value": "correct horse"}]) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.hear("# ")
        before = shell.read(wait_for_idle_ms=250)
        for verb, arguments, code in NONSENSE:
            names = (workspace_id,) if verb == "open" else (workspace_id, shell.shell_id)
            with pytest.raises(PyroError) as refused:
                getattr(sdk, f"{verb}_shell")(*names, **arguments)
            assert (verb, arguments, refused.value.code) == (verb, arguments, code)
            assert "\n" not in refused.value.message
        assert shell.read() == before
        assert said(pyro, workspace_id, "ls /dev/pts") == "0\nptmx\n"


@pytest.mark.parametrize("name", ["sh-000000000000", "", "../..", "\u00e9", "s" * 65, "a\nb", 5, None])
def test_a_shell_that_is_not_there_is_not_found_by_anybody(pyro: Installation, name: Any) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        for ask in (
            lambda: sdk.read_shell(workspace_id, name),
            lambda: sdk.write_shell(workspace_id, name, input="x"),
            lambda: sdk.signal_shell(workspace_id, name),
            lambda: sdk.resize_shell(workspace_id, name, cols=80, rows=24),
            lambda: sdk.attach_shell(workspace_id, name),
            lambda: sdk.close_shell(workspace_id, name),
        ):
            with pytest.raises(NotFoundError) as refused:
                ask()
            assert refused.value.code == "shell-not-found"
            assert "\n" not in refused.value.message


def test_the_command_line_refuses_in_a_line(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        done = pyro.cli("workspace", "shell", "read", workspace_id, "sh-\x1b[2J")
        assert (done.returncode, done.stdout) == (1, b"")
        assert re.fullmatch(rb"\[error\] [ -~]+\nhint: [ -~]+\n", done.stderr)
        done = pyro.cli("workspace", "shell", "close", "ws-000000000000", "sh-000000000000", "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "workspace-not-found")
        done = pyro.cli("workspace", "shell", "open", workspace_id, "--cwd", "/not/there", "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "shell-not-opened")
