"""Streams that do not go on where they ended, or do not begin at the beginning: no half of a secret gets through."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.model.redacted_stream import StreamRedactor
from pyro_mcp.model.redaction import MARK, Redactor

TOKEN = "ghp_x7KqR2mZ"


def behind_a_gap(redactor: Redactor, *pieces: bytes) -> bytes:
    stream = StreamRedactor(redactor)
    assert stream.gap() == b""
    return b"".join([*map(stream.feed, pieces), stream.flush(final=True)])


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n", b" \r"])
def test_the_rest_of_a_match_behind_a_gap_is_redacted_however_it_comes(line_end: bytes) -> None:
    redactor = Redactor([TOKEN])
    for form in (TOKEN.encode(), base64.b64encode(TOKEN.encode()), TOKEN.encode().hex(" ").encode()):
        for gone in range(1, len(form) - 3):
            rest = form[gone : gone + 2] + line_end + form[gone + 2 :]
            text = rest + b" and more"
            for cut in range(len(text)):
                assert behind_a_gap(redactor, text[:cut], text[cut:]) == MARK + b" and more", (text, cut)


def test_the_middle_of_a_match_alone_is_redacted_at_the_end() -> None:
    assert behind_a_gap(Redactor([TOKEN]), TOKEN[3:9].encode()) == MARK
    assert behind_a_gap(Redactor([TOKEN]), TOKEN[3:5].encode()) == TOKEN[3:5].encode()


def test_what_a_gap_breaks_off_is_redacted_from_four_bytes_on() -> None:
    stream = StreamRedactor(Redactor([TOKEN]))
    assert stream.feed(b"> " + TOKEN[:5].encode()) == b"> "
    assert stream.gap() == MARK
    assert stream.feed(b". - . - ") == b". - . - "
    assert stream.feed(TOKEN[:3].encode()) == b""
    assert stream.gap() == TOKEN[:3].encode()
    assert (stream.gap(), stream.held) == (b"", 0)


def test_no_match_is_made_of_what_stands_on_both_sides_of_a_gap() -> None:
    stream = StreamRedactor(Redactor(["abcdefgh"]))
    shown = stream.feed(b"abc") + stream.gap() + stream.feed(b"d then efgh or so") + stream.flush(final=True)
    assert shown == b"abcd then efgh or so"


def test_whole_matches_around_a_gap_are_found_too() -> None:
    stream = StreamRedactor(Redactor([TOKEN]))
    token = TOKEN.encode()
    shown = stream.feed(b"1 " + token) + stream.gap() + stream.feed(b"x " + token[:4]) + stream.feed(token[4:] + b" 2")
    assert shown + stream.flush(final=True) == b"1 [REDACTED]x [REDACTED] 2"


def test_a_quiet_stream_behind_a_gap_lets_go_of_three_bytes_and_of_no_more() -> None:
    stream = StreamRedactor(Redactor(["abcdefgh"]))
    stream.gap()
    assert (stream.feed(b"de"), stream.flush(final=False), stream.flush(final=False)) == (b"", b"de", b"")
    # It was the rest of one: what comes of it now is redacted.
    assert (stream.feed(b"fg"), stream.flush(final=False), stream.held) == (b"", b"", 2)
    assert stream.feed(b"h$ ") == b"[REDACTED]$ "


def test_a_prompt_behind_a_gap_is_shown_at_once_when_it_cannot_be_part_of_a_match() -> None:
    stream = StreamRedactor(Redactor([TOKEN]))
    stream.gap()
    assert stream.feed(b"root@vm:~# ") == b"root@vm:~# "


def test_what_is_passed_over_behind_a_gap_still_tells_what_goes_on() -> None:
    token = TOKEN.encode()
    for first in range(1, len(token) - 3):
        for second in range(first, len(token) + 1):
            stream = StreamRedactor(Redactor([TOKEN]))
            stream.gap()
            stream.pass_over(token[first:second])
            shown = stream.feed(token[second:] + b" more") + stream.flush(final=True)
            assert shown == (MARK if second < len(token) else b"") + b" more", (first, second)


def test_no_stream_behind_a_gap_holds_back_more_than_its_longest_match() -> None:
    redactor = Redactor(["abcdefgh"])
    stream = StreamRedactor(redactor)
    stream.gap()
    for _ in range(1000):
        stream.feed(b"\r\n")
        assert stream.held <= redactor.context_bytes


def test_without_values_a_gap_is_nothing() -> None:
    stream = StreamRedactor(Redactor())
    assert (stream.gap(), stream.feed(b"abc"), stream.flush(final=True)) == (b"", b"abc", b"")


@given(st.text("abc.", max_size=30), st.integers(0, 30), st.lists(st.integers(0, 30), max_size=4))
def test_a_stream_behind_a_gap_shows_what_a_window_shows(text: str, gone: int, places: list[int]) -> None:
    redactor = Redactor(["abcabcab", "cbacb.ab"])
    data = text.encode()[gone:]
    cuts = [0, *sorted(place for place in places if place <= len(data)), len(data)]
    shown = behind_a_gap(redactor, *(data[a:b] for a, b in itertools.pairwise(cuts)))
    assert shown == redactor.window(data, starts_cut=True, ends_cut=False)[0]
