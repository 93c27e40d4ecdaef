"""How many forms there are, and which of them are given up where there would be too many."""

from __future__ import annotations

import base64
import random
import time

from pyro_mcp.model.redaction import MARK, Redactor
from pyro_mcp.model.spellings import ALL_FORMS_BYTES, LINES, LINES_IN_ALL_FORMS, forms, spellings

ODD = "'\"\\ $`<>&\x01\x02/%\té"


def test_few_values_have_all_their_forms() -> None:
    values = ["hunter2!", "two lines\nof a key", ODD * 100]
    assert forms(["", *values]) == set().union(*map(spellings, values))


def test_utf_16_of_both_orders_and_hex_with_blanks_are_forms() -> None:
    redactor = Redactor(["hunter2!"])
    for text in ("hunter2!".encode("utf-16-le"), "hunter2!".encode("utf-16-be"), b"hunter2!".hex(" ").encode()):
        assert redactor.redact(b"<" + text + b">") == b"<" + MARK + b">"
    of_od = b" 68 75 6e 74\n 65 72 32 21\n"
    assert redactor.redact(of_od) == b" [REDACTED]\n"


def test_very_many_lines_are_found_too_beyond_a_thousand_as_they_are() -> None:
    lines = [f"line {number:06} of it" for number in range(2500)]
    redactor = Redactor(["\n".join(lines[at : at + 500]) for at in range(0, 2500, 500)])
    for line in (lines[0], lines[1234], lines[-1]):
        assert redactor.redact(f"> {line} <".encode()) == b"> [REDACTED] <"
    for line in (lines[0], lines[LINES_IN_ALL_FORMS - 1]):
        assert redactor.redact(base64.b64encode(line.encode())) == MARK


def test_a_short_secret_keeps_its_forms_beside_the_largest() -> None:
    values = [ODD * 3500 + str(number) for number in range(63)]
    redactor = Redactor([*values, "hunter2!"])
    assert redactor.redact(base64.b64encode(b"hunter2!")) == MARK
    assert redactor.redact(values[-1].encode()) == MARK
    assert redactor.redact(base64.b64encode(b"x" * 3 + values[0].encode())).startswith(b"eHh4" + MARK)


def test_the_largest_secrets_that_there_may_be_are_known_soon() -> None:
    dice = random.Random(3)
    many_lines = ["\n".join(f"{dice.getrandbits(36):09x}" for _ in range(6500)) for _ in range(64)]
    odd = ["".join(dice.choices(ODD, k=45_000)) for _ in range(64)]
    for values in (many_lines, odd):
        began = time.perf_counter()
        found = forms(values)
        assert time.perf_counter() - began < 15
        as_they_are = sum(2 * len(value.encode()) for value in values)
        assert sum(map(len, found)) < ALL_FORMS_BYTES * 1.5 + as_they_are
        assert len(found) < LINES + 40 * LINES_IN_ALL_FORMS + 64 * 150
