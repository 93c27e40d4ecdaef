"""What a terminal would show, whatever is written to it."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyro_mcp.model.terminal import SEQUENCE_BYTES, before_open_sequence, first_sequence, plain
from tests.unit.model import terminal_samples as samples


def shown(text: str, columns: int = 0, rows: int = 0) -> str:
    return plain(text.encode(), columns, rows)


def test_a_session_with_a_line_editor_reads_as_it_looked() -> None:
    assert plain(samples.READLINE, 80, 24) == (
        "user@box:/usr# stty cols 80\n"
        "user@box:/usr# priho word00 word01 word02 word03 word04 word05 word06 word07 word08 word09 word10 word11 "
        "word12 word13 word14 word15 \n"
        "bash: priho: command not found\n"
        "user@box:/usr# printf 'a\\tb\\n'\n"
        "a\tb\n"
        "user@box:/usr# printf # 2 a\\tb\\n\n"
        "printf: usage: printf [-v var] format [arguments]\n"
        "user@box:/usr# exit\n"
        "exit\n"
    )


def test_a_coloured_list_is_only_its_names() -> None:
    assert plain(samples.LIST).split() == [
        *("bin/", "etc/", "games/", "include/", "lib/", "lib64/", "libexec/"),
        *("local/", "sbin/", "share/", "src/"),
    ]


def test_a_full_screen_is_its_last_state() -> None:
    lines = plain(samples.TOP, 70, 9).split("\n")
    assert [line.split()[0] for line in lines if line] == [
        *("top", "Tasks:", "%Cpu(s):", "MiB", "MiB", "PID", "11589", "14"),
    ]


def test_the_alternate_screen_is_left_out() -> None:
    assert plain(samples.PAGER, 40, 5) == "before\nyes: standard output: Broken pipe\nafter\n"


def test_bars_show_how_they_ended() -> None:
    assert plain(samples.PROGRESS, 80, 24) == "loading 100%\nA 2\nB 2\n"
    assert plain(samples.INSTALLER, 80, 24) == "     ━━━ 1.3/1.3 MB\ndone\n"
    assert plain(samples.STATUS_LINE, 40, 5).splitlines() == [
        *("Reading lists", "Unpacking a", "Unpacking b", "Unpacking c", "Setting up a"),
    ]


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain, grüß 日本\r\n", "plain, grüß 日本\n"),
        ("a\nb\vc\fd", "a\nb\nc\nd"),
        ("12345\rab", "ab345"),
        ("abc\b\bX", "aXc"),
        ("\b\b\rx", "x"),
        ("a\tb\tc", "a\tb\tc"),
        ("a\tb\r\x1b[4Cx", "a   x   b"),
        ("abcdefghij\r\tX", "abcdefghXj"),
        ("abc\x1b[2DX\x1b[CY", "aXcY"),
        ("abcdef\x1b[3G\x1b[K", "ab"),
        ("abcdef\x1b[3G\x1b[1K", "   def"),
        ("abcdef\x1b[2KX", "      X"),
        ("abcdef\r\x1b[2P", "cdef"),
        ("abcdef\r\x1b[2@", "  abcdef"),
        ("abcdef\r\x1b[2X", "  cdef"),
        ("abc\r\x1b[4hX\x1b[4lY", "XYbc"),
        ("x\x1b[3b", "xxxx"),
        ("a\x1b[5Cb", "a     b"),
        ("one\r\ntwo\x1b[AX\x1b[BY", "oneX\ntwo Y"),
        ("one\x1b[99AX\x1b[99BY", "oneXY"),
        ("one\r\ntwo\r\n\x1b[2F\x1b[Kx\x1b[Ey", "x\nywo\n"),
        ("one\r\ntwo\r\nthree\x1b[2;2H\x1b[J", "one\nt"),
        ("one\r\ntwo\r\nthree\x1b[2;1H\x1b[L.", "one\n.\ntwo\nthree"),
        ("one\r\ntwo\r\nthree\x1b[1;1H\x1b[M", "two\nthree"),
        ("one\r\ntwo\x1b[D\x1b[1J", ""),
        ("one\r\ntwo\x1b[2D\x1b[1J", "  o"),
        ("one\r\n\x1b[2Jtwo", "two"),
        ("one\r\n\x1b[H\x1b[Jtwo", "two"),
        ("one\r\n\x1bctwo", "two"),
        ("\x1b7one\x1b8t", "tne"),
        ("\x1b[sone\x1b[ut", "tne"),
        ("a\x1bDb\x1bEc\x1bMd", "a\n d\nc"),
        ("\x1b[1;31mred\x1b[0m\x1b[38:2::1:2:3mx", "redx"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\", "ab"),
        ("\x1bPq#0;sixel\x1b\\a\x1b_app\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"),
        ("\x1b]0;broken off\x1b[1mx", "x"),
        ("\x1b(Ba\x1b)0b\x1b=c\x1b>d\x1b#8e", "abcde"),
        ("\x9b31mred\x9d0;title\x9ca\x90dcs\x9cb\x85c", "redab\nc"),
        ("\x00a\x01\x05\x07\x0e\x0f\x11\x7fb\x80", "ab"),
        ("\x1b[?1049hhidden\x1b[?1049lseen", "seen"),
        ("a\x1b[?47h\x1b[2J\x1b[1;1Hhidden\r\n\x1b[?47lb", "ab"),
        ("a\x1b[?1049hhidden for ever", "a"),
        ("a\x1b[?25l\x1b[>4;1m\x1b[!pb", "ab"),
        # Cut off at the end.
        ("a\x1b", "a"),
        ("a\x1b[", "a"),
        ("a\x1b[3;", "a"),
        ("a\x1b]0;tit", "a"),
        ("a\x1bPdcs", "a"),
        ("a\x1b(", "a"),
        ("", ""),
    ],
)
def test_sequences_do_what_a_terminal_does(written: str, seen: str) -> None:
    assert shown(written) == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("日本\x1b[2Dx", "日x "),
        ("日本\x1b[3Dx", " x本"),
        ("日本\rx", "x 本"),
        ("日本\r\x1b[Cx\x1b[K", " x"),
        ("日本\r\x1b[P", " 本"),
        ("日本\r\x1b[C\x1b[@", "   本"),
        ("e\u0301a\u0301\r\x1b[Cx", "e\u0301x"),
        ("\u0301a", "\u0301a"),
        ("👩\u200d💻|\rx", "x 💻|"),
        ("a\t日\r\x1b[3C!", "a  !    日"),
    ],
)
def test_wide_and_combining_characters_take_their_cells(written: str, seen: str) -> None:
    assert shown(written) == seen


def test_half_of_a_wide_character_is_no_character() -> None:
    for column in range(1, 5):
        assert len(shown(f"日本\x1b[{column}Gx").encode("utf-16-le")) // 2 in (3, 4)


def test_many_marks_on_one_character_are_not_all_kept() -> None:
    assert len(shown("a" + "\u0301" * 100_000)) < 20


def test_lines_that_wrapped_are_one_line_again() -> None:
    text = "".join(str(number % 10) for number in range(25))
    assert shown(text, 10) == text
    assert shown(f"{text}\r\nx", 10) == f"{text}\nx"
    # What was written over at the beginning of the last row is that, and not the beginning of the line.
    assert shown(f"{text}\rXY", 10) == f"{text[:20]}XY{text[22:]}"
    assert shown("123456789日b", 10) == "123456789日b"
    # A full row wraps only when something more comes.
    assert shown("1234567890\r\nx", 10) == "1234567890\nx"
    assert shown("1234567890\bX", 10) == "12345678X0"


def test_a_row_that_was_erased_does_not_wrap_any_more() -> None:
    assert shown("123456789012\x1b[A\x1b[K", 10) == "12\n12"


def test_only_what_is_told_to_scrolls() -> None:
    assert shown("head\r\n\x1b[2;3r\x1b[2;1Ha\r\nb\r\nc", 80, 3) == "head\nb\nc"
    assert shown("a\r\n\x1b[1;2r\x1b[3;1Hfoot\x1b[2;1Hb\r\nc\r\nd", 80, 3) == "a\nb\nc\nd\nfoot"


def test_what_has_scrolled_away_is_changed_by_nothing() -> None:
    text = "".join(f"{number}\r\n" for number in range(10))
    assert shown(f"{text}\x1b[99Ax", 80, 3) == "0\n1\n2\n3\n4\n5\n6\n7\nx\n9\n"


def test_bytes_that_are_no_characters_are_replaced() -> None:
    assert plain(b"a\xff\xfeb\xe6\x97") == "a\ufffd\ufffdb\ufffd"


def test_long_lines_are_kept_whole_and_far_columns_are_bounded() -> None:
    assert shown("x" * 25_000) == "x" * 25_000
    assert shown("a\x1b[999999999C\x1b[999999999Gb") == "a" + " " * 9_998 + "b"
    assert shown("a\x1b[999999999B\x1b[999999999;1Hb") == "a" + "\n" * 99 + "b"


@pytest.mark.parametrize(
    "piece",
    [
        "\x1b[9999Cx\r\n",
        "\x1b[9999b",
        "x\x1b[9999b\r\n",
        "\x1b[9999@",
        "x\x1b[9999G\x1b[1K\x1b[9999@\x1b[9999P\x1b[9999X",
        "\x1b[2J\x1b[9999;9999Hx",
        "\x1b[9999L",
        "\x1b[9999H\x1b[J\x1b[H\x1b[J",
        "a",
        "\x1b[9999M\n",
        "\t",
        "\t\n",
        "\n",
        "日\u0301\b",
        "\x1b[99999999999999999999;1;1;1;1;1;1;1;1;1;1;1;1;1;1H",
        "\x1b]",
        "\x1b[",
        "\x1b7\x1b8",
        "\x1b[3;5r\n\n\n",
    ],
)
@pytest.mark.parametrize("size", [(0, 0), (1, 1000)], ids=str)
def test_no_sequence_costs_much_time_or_space(piece: str, size: tuple[int, int]) -> None:
    text = piece * (200_000 // len(piece))
    began = time.perf_counter()
    seen = shown(text, *size)
    assert time.perf_counter() - began < 8
    assert len(seen) <= 8 * len(text) + (2 << 20)


SEQUENCES = (
    "\x1b[1;31m", "\x1b[?25l", "\x1b[0 q", "\x9b0m", "\x1b]0;title\x07", "\x1b]8;;x\x1b\\", "\x9dé\x1b\\",
    "\x1bPq#1\x1b\\", "\x1b(B", "\x1b=",
)  # fmt: skip


@pytest.mark.parametrize("sequence", SEQUENCES, ids=repr)
def test_a_sequence_that_is_cut_is_known_by_its_beginning(sequence: str) -> None:
    whole = sequence.encode()
    assert first_sequence(whole + b"text") == len(whole)
    assert before_open_sequence(b"text" + whole) == len(b"text" + whole)
    for length in range(1, len(whole)):
        assert before_open_sequence(b"text" + whole[:length]) == 4, whole[:length]
    assert before_open_sequence(whole[:1] + b"\n" + whole[:1]) == 2


def test_what_is_no_sequence_is_not_waited_for() -> None:
    assert first_sequence(b"text") == first_sequence(b"") == 0
    for data in (b"", b"text", b"a\r", b"\x1b[1\n", "é".encode()):
        assert before_open_sequence(data) == len(data)
    assert before_open_sequence(b"\x1b]" + b"x" * SEQUENCE_BYTES) == SEQUENCE_BYTES + 2


def test_a_sequence_of_many_megabytes_is_left_out() -> None:
    assert shown("a\x1b[" + "1;" * (1 << 20) + "mb") == "ab"
    assert shown("a\x1b]" + "x" * (1 << 21) + "\x07b") == "ab"


PIECES = st.lists(
    st.one_of(
        st.text(max_size=10),
        st.binary(max_size=6).map(lambda data: data.decode("latin-1")),
        st.tuples(
            st.sampled_from(["\x1b[", "\x9b"]),
            st.sampled_from(["", "0", "1", "2", "3", "7;3", "99999", "?1049", "?", ">1", "4", ";"]),
            st.sampled_from([*"ABCDEFGHJKLMPXbdfghlmrsu@`", " q", "!p", ""]),
        ).map("".join),
        st.sampled_from(["\x1b]0;t\x07", "\x1b]", "\x1bP", "\x1b\\", "\x1b7", "\x1b8", "\x1bc", "\x1bD", "\x1bM"]),
        st.sampled_from(["日本", "e\u0301", "\t", "\b", "\r", "\n", "\r\n", "x" * 30]),
    ),
    max_size=30,
)


@given(PIECES.map("".join), st.integers(0, 12), st.integers(0, 5))
@settings(max_examples=500)
@example("\x1b[r\n\n", 1, 1)
def test_nothing_fails_and_no_control_character_is_left(text: str, columns: int, rows: int) -> None:
    seen = plain(text.encode("utf-8", "surrogatepass"), columns, rows)
    assert not [character for character in seen if character < " " and character not in "\n\t"]
    assert not [character for character in seen if "\x7f" <= character < "\xa0"]
    seen.encode()


@given(st.binary(max_size=300), st.integers(0, 12), st.integers(0, 5))
def test_any_bytes_can_be_shown(data: bytes, columns: int, rows: int) -> None:
    seen = plain(data, columns, rows)
    assert all(character in "\n\t" or character.isprintable() or ord(character) >= 0xA0 for character in seen)


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=40), max_size=6))
def test_text_without_control_characters_stays_as_it_is(lines: list[str]) -> None:
    text = "\r\n".join(lines)
    for columns in (0, 2, 7, 40):
        assert shown(text, columns) == "\n".join(lines)
