"""What a read of a shell shows: whole characters, whole control sequences, whole secrets."""

from __future__ import annotations

import pytest

from pyro_mcp.engine.shell_view import Reading, ShellState, view
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.terminal import SEQUENCE_BYTES, plain

COLOURED = "\x1b[31mred\x1b[0m and \x1b[1;32mgréen\x1b[0m\r\n\x1b]0;a title\x07$ ".encode()


def shell(written: bytes, begin: int, end: int, *, quiet_ms: int = 0) -> ShellState:
    return ShellState("/", 80, 24, False, 0, start=begin, next=end, end=len(written), quiet_ms=quiet_ms)


def read(written: bytes, cursor: int, limit: int, *, quiet_ms: int = 0) -> tuple[str, int, bool]:
    """What a plain read shows, the next cursor, and whether there is more."""
    redactor, reading = Redactor({}), Reading(cursor, max_chars=limit, plain=True)
    end = min(len(written), cursor + limit + redactor.context_bytes + reading.rest_bytes)
    state = shell(written, cursor, end, quiet_ms=quiet_ms)
    shown, length, more = view(redactor, written[cursor:end], state, reading, cursor)
    return plain(shown, 80, 24), cursor + length, more


@pytest.mark.parametrize("limit", range(1, 12))
def test_page_by_page_it_is_the_same_text(limit: int) -> None:
    cursor, text = 0, ""
    while cursor < len(COLOURED):
        shown, following, more = read(COLOURED, cursor, limit, quiet_ms=1000)
        assert following > cursor
        assert more == (following < len(COLOURED))
        cursor, text = following, text + shown
    assert text.replace("\n", "") == "red and gréen$ "


@pytest.mark.parametrize("length", range(1, len(COLOURED)))
def test_while_it_is_written_nothing_is_shown_of_a_half_sequence(length: int) -> None:
    first, cursor, more = read(COLOURED[:length], 0, 1000)
    assert not more
    rest, end, _ = read(COLOURED, cursor, 1000, quiet_ms=1000)
    assert end == len(COLOURED)
    assert (first + rest).replace("\n", "") == "red and gréen$ "


def test_what_is_quiet_is_not_waited_for() -> None:
    assert read(b"a\x1b[3", 0, 1000) == ("a", 1, False)
    assert read(b"a\x1b[3", 0, 1000, quiet_ms=1000) == ("a", 4, False)


def test_a_sequence_that_goes_on_and_on_is_passed_over() -> None:
    written = b"\x1b]" + b"x" * (2 * SEQUENCE_BYTES)
    shown, cursor, more = read(written, 0, 10)
    assert cursor >= SEQUENCE_BYTES
    assert more
    assert not shown
