"""Secrets in shells: they arrive, and nothing that is read brings them back, however it is cut."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from pyro_mcp.errors import UsageError
from tests.guest.test_shell_reading import pages
from tests.guest.test_workspace_life import workspace
from tests.harness.installation import Installation, until
from tests.harness.shells import Shell

VALUE = "s3cr3t-V\u00e4lue+0123/xyz~"
SECRETS = [{"name": "TOKEN", "value": VALUE}]
MARK = "[REDACTED]"
NO_SPACE = dict.fromkeys(map(ord, " \r\n"))

# Writes the pieces of the value that it is asked for: "2 7" is what stands from 2 to 7, counted in bytes.
TELLER = """
import os, sys
value = open("/run/pyro-secrets/TOKEN", "rb").read()
for line in sys.stdin:
    begin, end = map(int, line.split())
    os.write(1, value[begin:end])
"""


@contextmanager
def secret_shell(pyro: Installation, **options: int) -> Iterator[Shell]:
    """A shell that has the secret as API."""
    with workspace(pyro, secrets=SECRETS) as workspace_id:
        yield Shell(pyro, workspace_id, secret_env={"TOKEN": "API"}, **options)


@contextmanager
def teller(pyro: Installation) -> Iterator[Shell]:
    with secret_shell(pyro) as shell:
        shell.become(f"exec python3 -c {shlex.quote(TELLER)}")
        shell.type("")
        yield shell


def told(shell: Shell, begin: int, end: int) -> str:
    """What a reader sees first of that piece of the value."""
    shell.type(f"{begin} {end}")
    return shell.hear("(?s).")


def test_a_secret_reaches_the_shell_and_does_not_come_back_in_any_form(pyro: Installation) -> None:
    data = VALUE.encode()
    forms = [VALUE, data.hex(), base64.b64encode(data).decode(), base64.b64encode(b"x" + data).decode()[4:-4]]
    with secret_shell(pyro) as shell:
        shell.type('printf %s "$API" | sha256sum; echo "in clear: $API."; printf %s "$API" | base64')
        shell.type('printf %s "x$API" | base64 -w 11; printf %s "$API" | fold -w1')
        shell.type('python3 -c "import os; print(os.environb[b\'API\'].hex())"; echo also typed: "' + VALUE + '"')
        shell.type("exit")
        shell.ended()
        said = shell.read()["output"]
        for text in (said, shell.read(plain=True)["output"], shell.attach(0).decode()):
            assert not [form for form in forms if form in text.translate(NO_SPACE)]
        assert hashlib.sha256(data).hexdigest() in said
        assert f"in clear: {MARK}." in said
        assert f"also typed: {MARK}\r\n" in said
        stranger = Shell(pyro, shell.workspace_id)
        stranger.type('echo "API is ${API-unknown}."')
        stranger.hear(r"API is unknown\.")


def test_a_secret_in_two_pieces_with_a_silence_between_is_never_told_whole(pyro: Installation) -> None:
    data = VALUE.encode()
    with teller(pyro) as shell:
        for cut in range(1, len(data)):
            if data[cut] & 0xC0 == 0x80:
                continue  # within a character: what stands before it would wait for the rest
            first, second = told(shell, 0, cut), told(shell, cut, len(data))
            assert (first, second) == (data[:cut].decode(), MARK)


def test_wherever_a_reader_begins_and_however_little_it_takes_the_secret_is_not_there(pyro: Installation) -> None:
    data, before, after = VALUE.encode(), b"it is ", b" it was"
    whole = before + data + after
    with secret_shell(pyro) as shell:
        shell.show(whole)
        for begin in range(len(whole)):
            if len(before) < begin < len(before + data):
                expected = MARK + after.decode()
            else:
                expected = whole[begin:].decode().replace(VALUE, MARK)
            for size in (1, 10, 64):
                assert "".join(found["output"] for found in pages(shell, shell.cursor + begin, size)) == expected
            assert shell.attach(shell.cursor + begin).decode() == expected


def test_what_may_become_a_secret_is_held_back_until_it_is_quiet(pyro: Installation) -> None:
    def held_back() -> bool:
        begin = shell.cursor
        shell.type("0 7")
        shell.cursor = begin + 7
        there = until(lambda: True if is_written(shell) else None)
        at_once = shell.read(cursor=begin)
        assert shell.read(cursor=begin, wait_for_idle_ms=250)["output"] == VALUE[:7]
        assert (at_once["output"], at_once["truncated"]) in {("", False), (VALUE[:7], False)}
        return there is not None and at_once["next_cursor"] == begin

    with teller(pyro) as shell:
        # A machine that stands still for a quarter of a second makes a silence, too; not each time.
        assert any(held_back() for _ in range(10))


def is_written(shell: Shell) -> bool:
    """Whether there is something up to the cursor."""
    try:
        shell.read(cursor=shell.cursor)
    except UsageError:
        return False
    return True


def test_a_secret_that_a_line_editor_wraps_is_none_to_see(pyro: Installation) -> None:
    with secret_shell(pyro, cols=24, rows=10) as shell:
        prompt = "/workspace# $"
        shell.hear(prompt)
        for shift in range(len(VALUE)):
            shell.type(f"# {'-' * shift}{VALUE}")
            said = shell.hear(prompt)
            assert said.count(MARK) == 1
            for text in (said, shell.read(plain=True)["output"]):
                assert VALUE not in text.replace(" \r", "").translate(NO_SPACE)
