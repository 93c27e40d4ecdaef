"""No form of a secret gets through, however it is cut, and nothing else is touched."""

from __future__ import annotations

import base64
import itertools
import json
import random
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mcp.model.redacted_stream import StreamRedactor
from pyro_mcp.model.redaction import MARK, Redactor
from pyro_mcp.model.spellings import spellings

# Ordinary characters and those that encoders treat each in their own way; short, so that all cuts can be tried.
AWKWARD = "a/+'\"\\ $é<"
TOKEN = "ghp_x7Kq"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"

# What no form of a value of letters and digits holds.
FILLER = st.sampled_from([b". ", b", ", b"; ", b".\n", b"\r\n", b" \r\n", b"", b"...", "日本".encode()])
VALUES = st.text("abcABC019", min_size=4, max_size=24)


def in_pieces(redactor: Redactor, *pieces: bytes) -> bytes:
    stream = StreamRedactor(redactor)
    return b"".join([*map(stream.feed, pieces), stream.flush(final=True)])


def test_without_values_nothing_is_looked_at() -> None:
    for redactor in (Redactor(), Redactor([""])):
        data, payload = b"anything", {"a": ["b"]}
        assert not redactor
        assert redactor.redact(data) is data
        assert redactor.redact_payload(payload) is payload
        assert redactor.context_bytes == 0
        stream = StreamRedactor(redactor)
        assert stream.feed(data) is data
        assert (stream.held, stream.flush(final=False), stream.flush(final=True)) == (0, b"", b"")
        assert redactor.window(data, 3, starts_cut=True, ends_cut=True) == (b"thing", 5)


def test_neither_a_redactor_nor_a_stream_shows_its_values() -> None:
    redactor = Redactor([TOKEN])
    stream = StreamRedactor(redactor)
    stream.feed(TOKEN[:-1].encode())
    assert TOKEN[:-1] not in f"{redactor!r}{redactor}{stream!r}"


@pytest.mark.parametrize("value", [AWKWARD, TOKEN, PEM, "é日本语", "#!~x y"])
def test_every_form_is_replaced_as_a_whole_and_its_surroundings_stay(value: str) -> None:
    redactor = Redactor([value])
    for form in (form.rstrip(b"\n") for form in spellings(value)):
        assert redactor.redact(b"\xffbefore " + form + b" after\xfe") == b"\xffbefore [REDACTED] after\xfe", form


@pytest.mark.parametrize("value", [AWKWARD, TOKEN])
def test_no_cut_into_two_or_three_lets_anything_through(value: str) -> None:
    redactor = Redactor([value])
    for form in spellings(value):
        text, shown = b"<." + form + b".>", b"<." + MARK + b".>"
        for first, second in itertools.combinations_with_replacement(range(len(text) + 1), 2):
            assert in_pieces(redactor, text[:first], text[first:second], text[second:]) == shown, (form, first, second)


@pytest.mark.parametrize("value", [AWKWARD, TOKEN])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b" \r"])
def test_no_line_break_hides_it(value: str, line_end: bytes) -> None:
    redactor = Redactor([value])
    for form in spellings(value):
        for cut in range(1, len(form)):
            text = b"<." + form[:cut] + line_end + form[cut:] + b".>"
            assert redactor.redact(text) == b"<." + MARK + b".>", (form, cut)
        for width in (1, 5):
            lines = line_end.join(form[at : at + width] for at in range(0, len(form), width))
            for cut in range(len(lines)):
                assert in_pieces(redactor, lines[:cut], lines[cut:]) == MARK, (lines, cut)


@given(
    values=st.lists(VALUES, min_size=1, max_size=3),
    data=st.data(),
    pieces=st.lists(st.tuples(FILLER, st.integers(0, 10_000), st.sampled_from([0, 0, 1, 3, 7])), max_size=6),
)
def test_any_mixture_is_redacted_alike_in_one_piece_and_in_many(
    values: list[str], data: st.DataObject, pieces: list[tuple[bytes, int, int]]
) -> None:
    forms = sorted(form for value in values for form in spellings(value))
    text, shown = b"", b""
    for filler, number, width in pieces:
        form = forms[number % len(forms)]
        broken = b"\r\n".join(form[at : at + width] for at in range(0, len(form), width)) if width else form
        text += filler + b"." + broken + b"."
        shown += filler + b"." + MARK + b"."
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))

    redactor = Redactor(values)
    assert redactor.redact(text) == shown
    ends = [0, *cuts, len(text)]
    assert in_pieces(redactor, *(text[a:b] for a, b in itertools.pairwise(ends))) == shown


@given(
    values=st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=4),
    text=st.text("ab\n\r ", max_size=60),
    data=st.data(),
)
@settings(max_examples=400)
def test_of_values_that_overlap_every_byte_is_covered(values: list[str], text: str, data: st.DataObject) -> None:
    raw = text.encode()
    places = [at for at, byte in enumerate(raw) if byte not in b"\r\n"]
    bare = bytes(raw[at] for at in places)
    covered = [False] * len(raw)
    for value in values:
        for start in range(len(bare)):
            if bare.startswith(value.encode(), start):
                first, last = places[start], places[start + len(value) - 1]
                covered[first : last + 1] = [True] * (last + 1 - first)
    if " \r" in text:
        return  # there are two ways to understand that, see test_no_line_break_hides_it
    runs = itertools.groupby(range(len(raw)), key=lambda at: covered[at])
    expected = b"".join(MARK if secret else bytes(raw[at] for at in run) for secret, run in runs)

    # Encoded forms are made of texts of four bytes on; none of theirs is in such a text.
    redactor = Redactor(values)
    assert redactor.redact(raw) == expected
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5))), len(raw)]
    # Where a match is spread over very many line breaks a stream does not wait for its end.
    if redactor.context_bytes >= len(raw):
        assert in_pieces(redactor, *(raw[a:b] for a, b in itertools.pairwise(cuts))) == expected


@given(VALUES, st.binary(max_size=9), st.binary(max_size=9), st.booleans())
def test_of_base64_only_what_neighbours_have_a_part_in_stays(
    value: str, before: bytes, after: bytes, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    coded = encode(before + value.encode() + after)
    first = -(-len(before) * 8 // 6)
    last = (len(before) + len(value)) * 8 // 6
    if last - first >= 6:
        shown = Redactor([value]).redact(coded)
        left, _, right = shown.partition(MARK)
        assert len(left) <= first
        assert len(right) <= len(coded) - last
        assert coded.startswith(left)
        assert coded.endswith(right)


@pytest.mark.parametrize(
    "line",
    [
        'printf %q "$V"',
        'printf "x%qy" "$V"',
        'printf %s "${V@Q}"',
        'printf %s "$V" | base64 -w 20',
        'printf "user:%s" "$V" | base64',
        'printf "a:%s!" "$V" | base64 -w 7',
        'printf "$V" | base64',
        'printf %s "$V" | fold -w 3',
        'printf %s "$V" | tr -d "\\n" | fold -w 1',
        'printf %s "$V" | od -An -v -tx1 | tr -d " "',
        'printf %s "$V" | od -An -v -tx1',
        'printf %s "$V" | iconv -t UTF-16BE',
        "export -p | grep -A9 ' V='",
        "declare -p V",
        'alias v="$V"; alias v',
    ],
)
@pytest.mark.parametrize("value", [TOKEN, "it's 9$x `y` \\z", "two lines\nof a key", "grüße & tschüß"])
def test_what_real_tools_make_of_it_is_known(line: str, value: str) -> None:
    found_in_what_bash_prints(line, value)


@pytest.mark.parametrize("value", [TOKEN, "it's 9$x `y` \\z", "two lines\nof a key"])
def test_what_sed_lists_is_known_where_it_is_ascii(value: str) -> None:
    """Other bytes it writes in octal one by one, which is the form of no other tool."""
    found_in_what_bash_prints('printf %s "$V" | sed -n l1000', value)


def found_in_what_bash_prints(line: str, value: str) -> None:
    environment = {"V": value, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["/bin/bash", "-c", line], env=environment, stdout=subprocess.PIPE, check=True)
    shown = Redactor([value]).redact(done.stdout)
    assert MARK in shown, done.stdout
    for number in range(len(value) - 5):
        assert value[number : number + 6].encode() not in shown, shown


def test_each_long_line_of_a_value_is_one_by_itself() -> None:
    redactor = Redactor([PEM])
    assert redactor.redact(b"> MIIEvQIBADANBgkq\n> x") == b"> [REDACTED]\n> x"
    assert redactor.redact(base64.b64encode(b"hkiG9w0BAQEFAASC")) == MARK
    assert redactor.redact(PEM.encode()) == b"[REDACTED]\n"
    assert Redactor(["short\nones\n"]).redact(b"a short one") == b"a short one"


def test_a_newline_at_the_end_of_a_file_is_not_needed_to_find_it() -> None:
    redactor = Redactor(["hunter2!\n"])
    assert redactor.redact(b"is hunter2! it") == b"is [REDACTED] it"
    assert redactor.redact(base64.b64encode(b"hunter2!")) == MARK


def test_short_values_are_found_as_they_are_only() -> None:
    redactor = Redactor(["xyz"])
    assert redactor.redact(b"x xyz 78797a eHl6") == b"x [REDACTED] 78797a eHl6"


def test_a_quiet_stream_lets_go_of_three_bytes_and_not_of_four() -> None:
    stream = StreamRedactor(Redactor(["abcdefgh"]))
    assert (stream.feed(b"> abc"), stream.held) == (b"> ", 3)
    assert (stream.flush(final=False), stream.held) == (b"abc", 0)
    assert (stream.flush(final=False), stream.flush(final=False)) == (b"", b"")
    # It was one: the rest of it is redacted, and what comes now is held back again.
    assert (stream.feed(b"d"), stream.held) == (b"", 1)
    assert (stream.flush(final=False), stream.held) == (b"", 1)
    assert stream.feed(b"efgh$ ") == b"[REDACTED]$ "


def test_a_slow_stream_does_not_drip_a_value() -> None:
    stream = StreamRedactor(Redactor(["abcdefgh"]))
    shown = b"".join(stream.feed(bytes([byte])) + stream.flush(final=False) for byte in b"abcdefgh.")
    assert shown == b"abc[REDACTED]."


def test_the_end_of_a_stream_lets_go_of_everything() -> None:
    stream = StreamRedactor(Redactor(["abcdefgh"]))
    assert stream.feed(b"abcdefg") == b""
    assert stream.flush(final=True) == b"abcdefg"
    assert stream.held == 0


def test_no_stream_holds_back_more_than_its_longest_match() -> None:
    redactor = Redactor(["abcdefgh"])
    stream = StreamRedactor(redactor)
    stream.feed(b"abcdefg")
    for _ in range(1000):
        stream.feed(b"\r\n")
        assert stream.held <= redactor.context_bytes


def test_adjacent_matches_are_one_mark_and_separate_ones_are_not() -> None:
    redactor = Redactor(["abcd", "efgh"])
    for cut in range(9):
        assert in_pieces(redactor, b"abcdefgh"[:cut], b"abcdefgh"[cut:]) == MARK
    assert redactor.redact(b"abcd efgh") == b"[REDACTED] [REDACTED]"


def read_through(redactor: Redactor, whole: bytes, sizes: list[int]) -> bytes:
    """As somebody reads who comes back with the cursor that he was given."""
    shown, cursor, reads = [], 0, itertools.cycle(sizes)
    while cursor < len(whole):
        limit = next(reads)
        start = max(0, cursor - redactor.context_bytes)
        end = min(len(whole), cursor + limit + redactor.context_bytes + 4)
        piece, count = redactor.window(
            whole[start:end], cursor - start, limit=limit, starts_cut=False, ends_cut=end < len(whole)
        )
        assert count > 0
        assert len(piece) <= limit or piece == MARK or len(piece.decode()) == 1
        shown.append(piece)
        cursor += count
    return b"".join(shown)


@given(
    st.lists(st.text("abcé", min_size=1, max_size=9), min_size=1, max_size=3),
    st.text("abcé.日\n", max_size=120),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
)
@settings(max_examples=300)
def test_windows_one_after_the_other_show_what_the_whole_shows(values: list[str], text: str, sizes: list[int]) -> None:
    redactor = Redactor(values)
    assert read_through(redactor, text.encode(), sizes) == redactor.redact(text.encode())


@given(st.text(max_size=200), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_windows_end_between_characters_also_without_values(text: str, sizes: list[int]) -> None:
    whole = text.encode("utf-8", "replace")
    for piece_size in sizes:
        piece, count = Redactor().window(whole, limit=piece_size, starts_cut=False, ends_cut=True)
        piece.decode()
        assert piece == whole[:count]


def test_a_window_that_begins_within_a_match_shows_nothing_of_it() -> None:
    redactor = Redactor([TOKEN])
    whole = b"x " + TOKEN.encode() + b" y"
    for start in range(3, 10):
        shown, count = redactor.window(whole, start, starts_cut=False, ends_cut=False)
        assert (shown, count) == (b"[REDACTED] y", len(whole) - start)


def test_a_window_stops_before_what_may_become_a_match() -> None:
    redactor = Redactor([TOKEN])
    data = b"$ echo " + TOKEN[:5].encode()
    assert redactor.window(data, starts_cut=False, ends_cut=True) == (b"$ echo ", 7)
    assert redactor.window(data, starts_cut=False, ends_cut=False) == (data, len(data))
    # The reader had seen its beginning, because it was quiet for long: nothing more until it is certain.
    assert redactor.window(data, 9, starts_cut=False, ends_cut=True) == (b"", 0)


def test_a_window_whose_past_is_forgotten_shows_no_end_of_a_match() -> None:
    redactor = Redactor([AWKWARD])
    for form in spellings(AWKWARD):
        for cut in range(1, len(form) - 3):
            whole = form[cut:] + b" and more"
            assert redactor.window(whole, starts_cut=True, ends_cut=False) == (b"[REDACTED] and more", len(whole)), form
    assert redactor.window(b" <.", starts_cut=True, ends_cut=False) == (b" <.", 3)


def test_a_window_that_is_wholly_within_a_match_shows_nothing() -> None:
    middle = TOKEN[2:7].encode()
    assert Redactor([TOKEN]).window(middle, starts_cut=True, ends_cut=False) == (MARK, 5)


def test_no_window_ends_within_a_character_unless_it_is_the_last() -> None:
    data = "aé日😀".encode()
    for end in range(len(data) + 1):
        shown, count = Redactor(["zzzz"]).window(data[:end], starts_cut=False, ends_cut=True)
        shown.decode()
        assert end - count < 4
    assert Redactor(["zzzz"]).window(data[:-1], starts_cut=False, ends_cut=False) == (data[:-1], len(data) - 1)
    assert Redactor().window(b"a\x80\x80\x80\x80", starts_cut=False, ends_cut=True)[1] == 5


def test_a_mark_in_a_text_stays_whole_though_a_value_is_part_of_it() -> None:
    redactor = Redactor(["RED", "E"])
    assert redactor.redact_text("a RED [REDACTED] E") == "a [REDACTED] [REDACTED] [REDACTED]"
    assert redactor.redact_text(redactor.redact_text("REDRED.E")) == "[REDACTED].[REDACTED]"


@given(st.text(max_size=40))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert Redactor(["a value that is not in there"]).redact_text(text + "\ud800") == text + "\ud800"


def test_a_match_of_another_encoding_may_begin_within_a_character() -> None:
    # The second byte of é is the first of ©abc in UTF-16.
    assert Redactor(["©abc"]).redact_text("é\0a\0b\0c\0.") == "\ufffd[REDACTED]."


def test_many_and_large_values_are_found_quickly_in_many_megabytes() -> None:
    dice = random.Random(7)
    values = ["".join(dice.choices("abcdefghijklmnop0123456789+/", k=65_536)) for _ in range(6)]
    values += [f"password-{number:03}" for number in range(58)]
    redactor = Redactor(values)
    noise = dice.randbytes(2 << 20)
    began = time.perf_counter()
    shown = redactor.redact(noise + values[3].encode() + base64.b64encode(values[5].encode()) + noise)
    assert time.perf_counter() - began < 10
    assert shown == noise + MARK + noise


def test_what_repeats_itself_takes_no_time() -> None:
    redactor = Redactor(["a" * 65_536])
    began = time.perf_counter()
    assert redactor.redact(b"a" * (1 << 20) + b".") == b"[REDACTED]."
    assert redactor.redact((b"a" * 65_535 + b".") * 4) == (b"a" * 65_535 + b".") * 4
    assert time.perf_counter() - began < 10


def test_a_payload_is_redacted_wherever_somebody_else_wrote_it() -> None:
    payload = {
        "workspace_id": "ws-0123456789ab",
        "name": f"my {TOKEN}",
        "labels": {TOKEN: "v", f"x{TOKEN}": TOKEN, "state": TOKEN},
        "state": "started",
        "count": 3,
        "nothing": None,
        "entries": [{"path": f"/workspace/{TOKEN}", "content": json.dumps({"a": TOKEN})}],
        "secrets": [{"name": "TOKEN", "source_kind": "literal"}],
    }
    assert Redactor([TOKEN]).redact_payload(payload) == {
        "workspace_id": "ws-0123456789ab",
        "name": "my [REDACTED]",
        "labels": {"[REDACTED]": "v", "x[REDACTED]": "[REDACTED]", "state": "[REDACTED]"},
        "state": "started",
        "count": 3,
        "nothing": None,
        "entries": [{"path": "/workspace/[REDACTED]", "content": '{"a": "[REDACTED]"}'}],
        "secrets": [{"name": "TOKEN", "source_kind": "literal"}],
    }


def test_values_that_are_words_of_ours_break_no_client() -> None:
    words = ["running", "secret", "state", "TOKEN", "ws-0123456789ab", "/workspace", "2026", "stdout", "kvm", "a"]
    payload = {
        "workspace_id": "ws-0123456789ab",
        "state": "running",
        "isolation": "kvm",
        "created_at": "2026-01-02T03:04:05Z",
        "workspace_path": "/workspace",
        "secrets": [{"name": "TOKEN", "source_kind": "literal"}],
        "metadata": {"vmm": "qemu", "vm_id": "vm-0123456789ab"},
        "timings_ms": {"agent": 1.0},
    }
    assert Redactor(words).redact_payload(payload) == payload
    shown = Redactor(["running"]).redact_payload({"stdout": "running", "details": {"reason": "running"}})
    assert shown == {"stdout": "[REDACTED]", "details": {"reason": "[REDACTED]"}}


def test_keys_that_become_the_same_are_told_apart() -> None:
    shown = Redactor(["aaaa", "bbbb"]).redact_payload({"labels": {"aaaa": "1", "bbbb": "2", "cccc": "3"}})
    assert shown == {"labels": {"[REDACTED]": "1", "[REDACTED] 2": "2", "cccc": "3"}}


def test_ids_that_an_error_tells_stay() -> None:
    details = {"details": {"vm_id": "vm-0123456789ab", "guest_error": "vm-0123456789ab is gone"}}
    shown = Redactor(["vm-0"]).redact_payload(details)
    assert shown == {"details": {"vm_id": "vm-0123456789ab", "guest_error": "[REDACTED]123456789ab is gone"}}
