"""`pyro workspace shell attach` at a real terminal: what passes, how it is left, and that it is whole afterwards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyro_mcp.cli.terminal import DetachKeys
from pyro_mcp.errors import UsageError
from tests.unit.cli.at_a_terminal import ID, SHELL, Person, ShellDaemon
from tests.unit.cli.stand_in import run

DETACHED = f"[shell] detached from {SHELL}; `pyro workspace shell attach {ID} {SHELL}` joins it again\n"
CTRL_P_CTRL_Q = b"\x10\x11"

Attach = Callable[..., Person]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[ShellDaemon]:
    daemon = ShellDaemon(tmp_path)
    yield daemon
    daemon.close()


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    """Somebody who attaches to the shell."""
    people: list[Person] = []

    def start(*options: str, stdout: int | None = None) -> Person:
        people.append(Person(tmp_path, "workspace", "shell", "attach", *options, stdout=stdout))
        return people[-1]

    yield start
    for person in people:
        person.close()


def test_keys_and_output_pass_as_they_are_and_the_shells_status_is_ours(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    assert shell.attached() == {"workspace_id": ID, "shell_id": SHELL, "cursor": None}
    assert person.is_raw()

    person.type(b"\x03\x1a\x1c\x04\xff\r")
    assert shell.input(6) == b"\x03\x1a\x1c\x04\xff\r"
    shell.write(b"\x00\xff\n\x1b[31mred\r\n")
    assert person.see(b"red\r\n") == b"\x00\xff\n\x1b[31mred\r\n"
    shell.end(7)

    assert person.ended() == (7, "")


def test_the_keys_that_leave_it_are_for_us_alone(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    person.type(b"a\x10")
    assert shell.input(1) == b"a"
    person.type(b"b")
    assert shell.input(2) == b"\x10b"
    person.type(CTRL_P_CTRL_Q + b"for nobody")

    assert person.ended() == (0, DETACHED)
    asked = [shell.next()[0] for _ in range(4)]
    assert sorted(asked) == ["cancel", "read_shell", "resize_shell", "resize_shell"]
    assert shell.typed.empty() or shell.typed.get() == b""  # the end, if it was said, and nothing else


def test_a_shell_that_was_there_is_asked_to_draw_itself_anew(shell: ShellDaemon, attach: Attach) -> None:
    attach(ID, SHELL)
    shell.attached()

    sizes = [shell.next() for _ in range(2)]
    assert sizes == [
        ("resize_shell", {"workspace_id": ID, "shell_id": SHELL, "cols": columns, "rows": 40}) for columns in (99, 100)
    ]


def test_a_new_one_has_our_size_and_is_shown_from_its_beginning_and_forgotten_at_its_end(
    shell: ShellDaemon, attach: Attach
) -> None:
    person = attach(ID)
    name, arguments = shell.next()
    assert (name, arguments["cols"], arguments["rows"]) == ("open_shell", 100, 40)
    assert shell.attached()["cursor"] == 0
    person.resize(81, 25)
    name, arguments = shell.next()
    assert (name, arguments["cols"], arguments["rows"]) == ("resize_shell", 81, 25)
    shell.end(0)

    assert person.ended() == (0, "")
    assert shell.next() == ("close_shell", {"workspace_id": ID, "shell_id": SHELL})


def test_a_new_one_that_is_left_stays(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, "--json")
    shell.attached()
    person.type(CTRL_P_CTRL_Q)

    assert person.ended() == (0, DETACHED)
    assert [shell.next()[0] for _ in range(2)] == ["read_shell", "cancel"]
    assert shell.asked.empty()
    shown = person.see(b"}").decode()
    assert json.loads(shown[shown.index("{") :])["detached"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back(shell: ShellDaemon, attach: Attach, number: signal.Signals) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    assert person.is_raw()
    person.pyro.send_signal(number)

    assert person.ended() == (128 + number, DETACHED)


def test_nobody_stops_it_while_the_terminal_is_raw(shell: ShellDaemon, attach: Attach) -> None:
    """The kernel would let us send one: a group without a parent to continue it is not stopped anyway."""
    person = attach(ID, SHELL)
    shell.attached()
    status = Path(f"/proc/{person.pyro.pid}/status").read_text()
    (ignored,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))

    assert ignored >> (signal.SIGTSTP - 1) & 1


def test_it_goes_on_raw_after_it_was_stopped_all_the_same(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    for _ in range(2):
        shell.next()  # the redrawing
    person.pyro.send_signal(signal.SIGSTOP)
    person.restore()  # as a shell does
    person.resize(90, 30)
    person.pyro.send_signal(signal.SIGCONT)

    assert shell.next()[1]["cols"] == 90
    assert person.is_raw()


def test_a_daemon_that_dies_gives_the_terminal_back_before_anything_is_said(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    shell.write(b"working")
    person.see(b"working")
    shell.die()

    status, said = person.ended()
    assert status == 1
    assert said.startswith(f"{DETACHED}[error] the daemon ended")


def test_a_reader_that_leaves_ends_it(shell: ShellDaemon, attach: Attach) -> None:
    reader, writer = os.pipe()
    person = attach(ID, SHELL, stdout=writer)
    os.close(writer)
    shell.attached()
    os.close(reader)
    shell.write(b"x")

    assert person.ended()[0] == 128 + signal.SIGPIPE


def test_a_window_that_is_closed_ends_it(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    person.hang_up()

    assert person.ended() == (128 + signal.SIGHUP, DETACHED)


def test_a_shell_that_takes_nothing_in_holds_up_neither_its_output_nor_us(shell: ShellDaemon, attach: Attach) -> None:
    person = attach(ID, SHELL)
    shell.attached()
    shell.takes_input.clear()
    for _ in range(20):
        person.type(b"x" * 1000)
    shell.write(b"still here")
    person.see(b"still here")
    person.type(CTRL_P_CTRL_Q)

    assert person.ended() == (0, DETACHED)


def test_a_guest_that_does_not_answer_is_left_all_the_same(shell: ShellDaemon, attach: Attach) -> None:
    shell.silent.add("read_shell")
    person = attach(ID, SHELL)
    shell.attached()
    person.type(CTRL_P_CTRL_Q)

    assert person.ended() == (0, DETACHED)


def test_without_a_terminal_it_says_what_works_without_one() -> None:
    with pytest.raises(UsageError) as refused:
        run("shell", "attach", ID)
    assert refused.value.code == "not-a-terminal"
    assert "read" in refused.value.hint


@pytest.mark.parametrize(
    ("typed", "passed", "left"),
    [
        ([b"a\x10", b"\x11b"], [b"a", b""], True),
        ([b"a\x10\x11b"], [b"a"], True),
        ([b"\x10", b"\x10", b"\x10", b"\x11"], [b"", b"\x10", b"\x10", b""], True),
        ([b"\x10", b"x\x11"], [b"", b"\x10x\x11"], False),
        ([b"\x11\x10"], [b"\x11"], False),
    ],
)
def test_the_keys_are_found_however_they_come(typed: list[bytes], passed: list[bytes], left: bool) -> None:
    keys = DetachKeys()
    found = [keys.pass_on(piece) for piece in typed]

    assert [piece for piece, _ in found] == passed
    assert [away for _, away in found] == [False] * (len(typed) - 1) + [left]
