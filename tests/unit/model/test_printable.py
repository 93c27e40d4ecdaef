"""Hostile text, and what may reach a terminal of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.model.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, grüß 日本", "plain, grüß 日本"),
        ("two\nlines", "two | lines"),
        ("\x1b]52;c;x\x07", "\\x1b]52;c;x\\x07"),
        ("a\rb\tc\x9bd", "a\\rb\\tc\\x9bd"),
        ("\u202etxt.exe\u200b", "\\u202etxt.exe\\u200b"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
        ("12345678", "12345…"),
    ],
)
def test_what_a_terminal_would_act_upon_is_escaped(text: str, shown: str) -> None:
    assert printable(text, 5 if text == "12345678" else 500) == shown


@given(st.text())
def test_the_result_can_be_printed_and_encoded(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert shown.isprintable() or any(not c.isprintable() and c.isspace() for c in shown)
