"""`pyro workspace shell attach` as a person uses it: a real terminal, real programs that draw on it, rude endings."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation, until, wait_gone
from tests.harness.shells import Shell
from tests.harness.tmux import COLUMNS, ROWS, Window, carried, window

PROMPT = r"/workspace# ?$"
CTRL_P_CTRL_Q = "\x10\x11"


def attach(at: Window, pyro: Installation, workspace_id: str, *shell: str) -> None:
    """Attach, and have the status said behind it."""
    command = shlex.join(map(str, pyro.command("workspace", "shell", "attach", workspace_id, *shell)))
    at.type(f"clear; {command}; echo status=$?\n")


@contextmanager
def attached(pyro: Installation) -> Iterator[tuple[Window, str]]:
    """A terminal that is attached to a new shell of a new workspace."""
    with workspace(pyro) as workspace_id, window(pyro) as at:
        attach(at, pyro, workspace_id)
        at.see(PROMPT)
        yield at, workspace_id


def leave(at: Window) -> str:
    """Detach; the id of the shell that is left."""
    at.type(CTRL_P_CTRL_Q)
    match = re.search(r"\[shell\] detached from (sh-\w+); `pyro", at.see("status=0"))
    assert match is not None
    return match[1]


def test_what_is_typed_runs_there_and_its_end_is_ours(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id, window(pyro) as at:
        before = at.modes()
        attach(at, pyro, workspace_id)
        at.see(PROMPT)
        assert "-isig -icanon" in at.modes()
        at.type("uname -n; stty size; echo $((6 * 7))\n")
        at.see(rf"^vm-\w+\n{ROWS} {COLUMNS}\n42\n")
        at.type("exit 7\n")
        at.see("^status=7")
        assert at.modes() == before
        assert said(pyro, workspace_id, "ls /dev/pts") == "ptmx\n"


def test_keys_that_make_signals_make_them_there(pyro: Installation) -> None:
    with attached(pyro) as (at, _):
        at.type("PS1='[$?] '\n")
        for key, status in (("C-c", 130), ("C-\\", 131), ("C-z", 148)):
            at.type(f"clear; sh -c 'echo up {status}; exec sleep 1000'\n")
            at.see(f"^up {status}$")
            at.press(key)
            # The kernel sends the signal before it echoes the key: bash may have begun a new line by then.
            at.see(rf"^(\^.)?\[{status}\] ?$")
        at.type("clear; kill %1; exec sh -c 'echo up; exec cat'\n")
        at.see("^up$")
        at.press("C-d")
        at.see("^status=0")


def test_a_shell_is_left_and_joined_again(pyro: Installation) -> None:
    with attached(pyro) as (at, workspace_id), window(pyro) as other:
        at.type("WHO='it is me'\n")
        at.press("C-p")
        at.press("C-p")  # the line of before: only with Ctrl-Q behind it they are ours
        at.see(r"WHO='it is me'\s*\n.*WHO='it is me'")
        at.press("C-u")
        raw = at.modes()
        shell_id = leave(at)
        assert at.modes() != raw

        attach(other, pyro, workspace_id, shell_id)
        other.see(PROMPT)
        other.type("echo $WHO\n")
        other.see("^it is me")
        attach(at, pyro, workspace_id, shell_id)
        at.see(PROMPT)
        other.type("echo 'for' both\n")
        other.see("^for both")
        at.see("^for both")
        at.type("exit 5\n")
        for terminal in (at, other):
            terminal.see("^status=5")


def test_what_was_typed_before_leaving_arrives(pyro: Installation) -> None:
    with attached(pyro) as (at, workspace_id):
        shell_id = leave(at)
        for number in range(8):
            attach(at, pyro, workspace_id, shell_id)
            at.see(PROMPT)
            at.type(f"echo {number} >> kept\n{CTRL_P_CTRL_Q}")
            at.see("status=0")
        assert until(lambda: True if said(pyro, workspace_id, "cat kept").split() == list("01234567") else None)


def test_an_editor_opens_edits_and_saves(pyro: Installation, tmp_path: Path) -> None:
    vim = [*carried("vim", tmp_path / "vim"), "-u", "NONE", "-i", "NONE"]
    with attached(pyro) as (at, workspace_id):
        pyro.sdk().push_workspace_sync(workspace_id, tmp_path / "vim", dest="/workspace/vim")
        pyro.sdk().write_workspace_file(workspace_id, "vim/file", text="".join(f"line {n}\n" for n in range(1, 101)))
        at.type(f"cd vim; {shlex.join(vim)} file\n")
        at.see(r"\Aline 1\nline 2\n")
        at.type("G")
        at.see(r"^line 100\n")
        assert "line 1\n" not in at.screen()
        at.type("oand \u00e9\u65e5\u672c more")
        at.press("Escape")
        at.resize(60, 12)
        at.type(":set columns? lines?\n")
        at.see(r"columns=60\s+lines=12")
        at.press("Enter")
        shell_id = leave(at)
        assert at.flags()["alternate_on"] == "0"

        at.resize(90, 20)
        attach(at, pyro, workspace_id, shell_id)
        at.see(r"^line 99\nline 100\nand \u00e9\u65e5\u672c more\n")
        at.type(":wq\n")
        at.see(r"vim# ?$")
        found = pyro.sdk().read_workspace_file(workspace_id, "vim/file")["content"]
        assert found.endswith("\nline 100\nand \u00e9\u65e5\u672c more\n")


def test_top_and_less_draw_on_the_whole_screen(pyro: Installation) -> None:
    with attached(pyro) as (at, workspace_id):
        at.type("top -d 0.3\n")
        first = re.search(r"^top - (\S+) up", at.see(r"^top - [\s\S]*PID +USER"))
        assert first is not None
        at.see(rf"^top - (?!{first[1]})\S+ up")
        for rows in (10, ROWS):
            at.resize(COLUMNS, rows)
            sized = f"{rows} {COLUMNS}\n"
            assert until(lambda: said(pyro, workspace_id, "stty -F /dev/pts/0 size") == sized or None)  # noqa: B023
            at.see(rf"\Atop - [\s\S]* PID +USER(?:.*\n){{{rows - 8}}}")
        at.type("q")
        at.see(PROMPT)
        at.type("clear; seq 1000 | less\n")
        at.see(rf"\A1\n2\n[\s\S]*^{ROWS - 1}\n:")
        at.type("G")
        at.see(r"^1000\n\(END\)")
        at.type("q")
        at.see(PROMPT)


def test_python_edits_its_lines(pyro: Installation) -> None:
    with attached(pyro) as (at, _):
        at.type("python3 -q\n")
        at.see("^>>> ?$")
        at.type("print(6*)")
        at.press("Left")
        at.type("7\n")
        at.see("^42\n>>> ?$")
        at.press("Up", "Home")
        at.type("40 and ")
        at.press("C-e")
        at.type(" # again\n")
        at.see(r"^>>> 40 and print\(6\*7\) # again\n42\n>>> ?$")
        at.type("print('bu''sy') or all(n == 0 for n in iter(int, 1))\n")
        at.see("^busy$")
        at.press("C-c")
        at.see("KeyboardInterrupt")
        at.press("C-d")
        at.see(PROMPT)


def test_a_large_paste_arrives_whole(pyro: Installation) -> None:
    text = "".join(f"{number}: \u00e9\u65e5\u672c and some more of it\n" for number in range(5000))
    with attached(pyro) as (at, workspace_id):
        at.type("cat > pasted\n")
        at.see(r"cat > pasted$")
        at.paste(text)
        at.press("C-d")
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert until(lambda: True if digest in said(pyro, workspace_id, "sha256sum pasted") else None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back_and_leaves_the_shell(pyro: Installation, number: signal.Signals) -> None:
    with workspace(pyro) as workspace_id, window(pyro) as at:
        before = at.modes(), at.flags()
        shell = Shell(pyro, workspace_id)
        attach(at, pyro, workspace_id, shell.shell_id)
        at.type("WHO=me; less /etc/passwd\n")
        at.see(r"^root:x:0:0")
        os.kill(at.program(), number)
        seen = at.see(f"^status={128 + number}")
        assert "joins it again" in seen
        assert (at.modes(), at.flags()) == before
        shell.type("qecho still $WHO")
        shell.hear("still me")


def test_a_closed_window_leaves_no_client_and_the_shell(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id, window(pyro) as at:
        shell = Shell(pyro, workspace_id)
        attach(at, pyro, workspace_id, shell.shell_id)
        at.type("WHO=me\n")
        shell.hear("WHO=me")
        client = at.program()
        at.close()
        wait_gone(client)
        shell.type("echo still $WHO")
        shell.hear("still me")


def test_the_death_of_the_daemon_gives_the_terminal_back(own_pyro: Installation) -> None:
    with workspace(own_pyro) as workspace_id, window(own_pyro) as at:
        before = at.modes(), at.flags()
        shell = Shell(own_pyro, workspace_id)
        attach(at, own_pyro, workspace_id, shell.shell_id)
        at.type("WHO=me; less /etc/passwd\n")
        at.see(r"^root:x:0:0")
        os.kill(own_pyro.daemon_pid(), signal.SIGKILL)
        seen = at.see("^status=1")
        assert re.search(r"\[shell\] detached from sh-\w+; .* joins it again\n\[error\] the daemon ended", seen)
        assert (at.modes(), at.flags()) == before
        attach(at, own_pyro, workspace_id, shell.shell_id)
        at.see(r"^root:x:0:0")
        at.type("qecho still $WHO\n")
        at.see("^still me")


@pytest.mark.parametrize(
    ("verb", "seen"),
    # Who stops a workspace shuts its guest down, which ends its processes: the shell has an end of its own.
    [
        ("stop", "status=129"),
        ("reset", r"\[error\] .* was reset.*\nstatus=1$"),
        ("delete", r"\[error\] .* was deleted.*\nstatus=1$"),
    ],
)
def test_the_end_of_the_workspace_gives_the_terminal_back(pyro: Installation, verb: str, seen: str) -> None:
    sdk = pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12")["workspace_id"]
    try:
        with window(pyro) as at:
            before = at.modes()
            attach(at, pyro, workspace_id)
            at.see(PROMPT)
            getattr(sdk, f"{verb}_workspace")(workspace_id)
            at.see(seen)
            assert at.modes() == before
    finally:
        if verb != "delete":
            sdk.delete_workspace(workspace_id)


def test_without_a_terminal_nothing_is_opened(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        done = pyro.cli("workspace", "shell", "attach", workspace_id, "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (2, "not-a-terminal")
        assert said(pyro, workspace_id, "ls /dev/pts") == "ptmx\n"
    with window(pyro) as at:
        attach(at, pyro, workspace_id, "sh-000000000000")
        at.see(rf"^\[error\] workspace {workspace_id} was deleted[\s\S]*^status=1")
