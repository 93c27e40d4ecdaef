"""What shells have written, read back: by cursor, by pieces, as text for people, and waiting for silence."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import pytest

from pyro_mcp.errors import UsageError
from pyro_mcp.model.living_payloads import ShellPayload
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation
from tests.harness.shells import Shell

RING = 1 << 20
SECRET = [{"name": "TOKEN", "value": "correct horse battery staple"}]

CHARACTERS = (
    "plain; \u00e9\u00df; \u65e5\u672c\u8a9e; \U0001f600\U0001f680; e\u0301; \x1b[31mred\x1b[0m\r\n".encode()
    # Alone, begun and broken off, gone on without a beginning, too long, a surrogate.
    + b"\xff|\xe6\x97|\xf0\x9f\x98|\x80\x80|\xc0\xaf|\xed\xa0\x80|\x00|\xf0\x9f\x98\x80"
)


def pages(shell: Shell, cursor: int, max_chars: int) -> Iterator[ShellPayload]:
    """All reads from `cursor` to the end."""
    more = True
    while more:
        found = shell.read(cursor=cursor, max_chars=max_chars)
        assert found["cursor"] == cursor < found["next_cursor"]
        yield found
        cursor, more = found["next_cursor"], found["truncated"]


def test_a_read_begins_at_any_cursor_and_gives_exactly_what_stands_there(pyro: Installation) -> None:
    chance = random.Random(1)
    data = bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz0123456789\r\n\t\x1b", k=500_000))
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show(data)
        base = shell.cursor
        for _ in range(30):
            begin, length = chance.randrange(len(data)), chance.choice([1, 100, 65_536, RING])
            found = shell.read(cursor=base + begin, max_chars=length)
            assert found["output"].encode() == data[begin : begin + length]
            assert (found["cursor"], found["next_cursor"]) == (
                base + begin,
                min(base + begin + length, base + len(data)),
            )
            assert (found["truncated"], found["lost_bytes"]) == (begin + length < len(data), 0)
        at_the_end = shell.read(cursor=base + len(data))
        assert (at_the_end["output"], at_the_end["truncated"]) == ("", False)
        with pytest.raises(UsageError) as ahead:
            shell.read(cursor=base + len(data) + 1)
        assert (ahead.value.code, ahead.value.details["end"]) == ("cursor-ahead", base + len(data))


def test_every_byte_is_passed_on_to_who_is_attached(pyro: Installation) -> None:
    data = bytes(range(256)) * 3000
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show(data)
        assert shell.attach(shell.cursor) == data
        assert shell.attach(shell.cursor + 1001) == data[1001:]


def test_what_is_lost_is_told_to_the_byte(pyro: Installation) -> None:
    data = b"".join(b"%07d\n" % number for number in range(400_000))
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show(data)
        end = shell.cursor + len(data)
        for cursor in (0, shell.cursor + 5, end - RING - 1, end - RING, end - RING + 1, end - 3):
            first = max(cursor, end - RING)
            found = shell.read(cursor=cursor, max_chars=RING)
            assert (found["lost_bytes"], found["cursor"], found["next_cursor"]) == (first - cursor, first, end)
            assert found["output"].encode() == data[first - end :]
            assert not found["truncated"]


@pytest.mark.parametrize("secrets", [None, SECRET])
def test_pieces_of_any_size_give_every_character_once(pyro: Installation, secrets: object) -> None:
    with workspace(pyro, secrets=secrets) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show(CHARACTERS)
        end = shell.cursor + len(CHARACTERS)
        expected = CHARACTERS.decode("utf-8", "replace")
        for max_chars in (1, 2, 3, 4, 5, 7, 11, 64, len(CHARACTERS) - 1, len(CHARACTERS)):
            read = list(pages(shell, shell.cursor, max_chars))
            assert "".join(found["output"] for found in read) == expected
            assert all(len(found["output"]) <= max_chars for found in read)
            assert read[-1]["next_cursor"] == end


def test_a_shell_that_goes_on_is_read_by_pieces_as_well(pyro: Installation) -> None:
    """Also while it writes: what is not there yet is no reason to go on at once, what is there is."""
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.become("printf 'abcdef'; read _; printf '\\351\\227'; read _; printf '\\263!'; read _")
        shell.type("")
        shell.hear("abcdef")
        begin = shell.cursor - 6
        taken = [(found["output"], found["truncated"]) for found in pages(shell, begin, 4)]
        assert taken == [("abcd", True), ("ef", False)]

        shell.type("")
        shell.type("")
        shell.hear("\u95f3!")


def test_a_cursor_beyond_the_end_is_refused_whatever_stands_before_it(pyro: Installation) -> None:
    with workspace(pyro, secrets=SECRET) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show(b"x" * 5000)
        end = shell.read()["next_cursor"]
        for cursor in (end + 1, end + 1000, 2**53):
            with pytest.raises(UsageError) as ahead:
                shell.read(cursor=cursor)
            assert (ahead.value.code, ahead.value.details["end"]) == ("cursor-ahead", end)
        assert shell.read(cursor=end)["output"] == ""


PAINTER = """
import sys
for percent in range(0, 101, 10):
    sys.stdout.write(f"\\r\\x1b[Kdone {percent}%")
    sys.stdout.flush()
print()
print("typo\\b\\b\\b\\borro\\b\\b\\b\\berror\\x1b[K")
print("\\x1b[1;31mred\\x1b[0m and \\x1b]0;a title\\x07plain")
print("\\u65e5\\u672c\\b\\b\\u8a9e|")
print("first\\nsecond\\x1b[A\\x1b[6Dthird\\x1b[B")
print("\\x1b[?1049h\\x1b[2Jan editor\\x1b[?1049l", end="")
print("x" * 45)
"""


def test_plain_is_what_a_person_would_see(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "mkdir directory; touch file; ln -s file link; chmod +x file; mkdir /root/empty")
        pyro.sdk().write_workspace_file(workspace_id, "paint.py", text=PAINTER)
        shell = Shell(pyro, workspace_id, cols=40, rows=10)
        shell.hear("# ")
        shell.type("PS1='\\[\\e[32m\\]ready>\\[\\e[0m\\] '")
        shell.hear(r"\x1b\[32mready>")
        shell.cursor = shell.read(wait_for_idle_ms=300)["next_cursor"]
        begin = shell.cursor
        # The cursor goes back four times, to before the last word, and by Ctrl-E to the end.
        shell.type(
            "python3 paint.py; ls -C --color=always; echo a wrong line" + "\x1b[D" * 4 + "long \x05; echo _'end'_"
        )
        shell.hear("_end_\r\n")
        seen = shell.read(cursor=begin, plain=True, wait_for_idle_ms=500)
        raw = shell.read(cursor=begin)["output"]

    assert "\x1b[01;34mdirectory" in raw
    assert seen["output"].split("\n")[1:] == [
        "done 100%",
        "error",
        "red and plain",
        "\u65e5\u8a9e|",
        "third",
        "second",
        "x" * 45,
        "directory  file  link  paint.py",
        "a wrong long line",
        "_end_",
        "ready> ",
    ]


def test_waiting_for_silence_waits_for_a_slow_command(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.hear("# ")
        shell.type("for n in 1 2 3 4 5 6; do sleep 0.4; echo tick $n; done; echo over")
        seen = shell.read(cursor=shell.cursor, wait_for_idle_ms=3000)["output"]
        assert re.findall(r"tick \d\r\n", seen) == [f"tick {number}\r\n" for number in range(1, 7)]
        assert seen.count("over\r\n") == 2


def test_waiting_ends_with_the_shell_and_with_enough_to_read(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.type("sleep 0.5; exit 9")
        began = time.monotonic()
        last = shell.read(wait_for_idle_ms=10_000)
        assert (last["state"], last["exit_code"]) == ("exited", 9)
        assert time.monotonic() - began < 10

        never_quiet = Shell(pyro, workspace_id)
        never_quiet.type("yes")
        assert len(never_quiet.read(max_chars=10_000, wait_for_idle_ms=10_000)["output"]) == 10_000


def test_the_command_line_gives_the_bytes_and_says_where_to_go_on(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        shell = Shell(pyro, workspace_id)
        shell.show("\x1b[31mgr\u00fcn\x1b[0m\r\n".encode())
        cursor = str(shell.cursor)
        read = ("workspace", "shell", "read", workspace_id, shell.shell_id, "--cursor", cursor)
        raw, cut = pyro.cli(*read), pyro.cli(*read, "--max-chars", "8")
        assert raw.stdout == "\x1b[31mgr\u00fcn\x1b[0m\r\n".encode()
        assert pyro.cli(*read, "--plain").stdout == "gr\u00fcn\n".encode()
        assert cut.stdout == b"\x1b[31mgr"
        assert f"next_cursor={shell.cursor + 7} truncated=true lost_bytes=0 state=exited".encode() in cut.stderr
        assert pyro.json(*read, "--json")["output"] == "\x1b[31mgr\u00fcn\x1b[0m\r\n"
