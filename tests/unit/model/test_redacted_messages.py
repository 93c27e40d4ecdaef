"""What pyro says itself: words of others in it were cut short, or stand in a patch."""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path

import pytest

from pyro_mcp.errors import UsageError
from pyro_mcp.model.printable import printable
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.service import require_readiness

TOKEN = "ghp_x7KqR2mZ"
KEY = (
    "-----BEGIN KEY-----\n" + "\n".join(f"line{number}/+Zz{number * 7919:06}" for number in range(9)) + "\n---END---\n"
)


def test_a_beginning_where_a_text_was_cut_is_redacted() -> None:
    redactor = Redactor([TOKEN])
    for length in range(4, len(TOKEN)):
        short = TOKEN[:length]
        assert redactor.redact_message(f"{short}…") == "[REDACTED]…"
        assert redactor.redact_message(f"no {('x ' + short)!r} here") == "no 'x [REDACTED]' here"
        assert redactor.redact_message(f'a "{short}" b {short}') == 'a "[REDACTED]" b [REDACTED]'
    assert redactor.redact_message(f"{TOKEN[:3]}… {TOKEN[:6]} it {TOKEN}") == f"ghp… {TOKEN[:6]} it [REDACTED]"
    assert redactor.redact_text(f"{TOKEN[:6]}…") == f"{TOKEN[:6]}…"


def test_it_is_found_in_every_form_and_wherever_it_is_cut() -> None:
    redactor = Redactor([TOKEN])
    for form in (base64.b64encode(TOKEN.encode()).decode(), TOKEN.encode().hex()):
        for limit in range(10, 7 + len(form)):
            told = printable(f"it is {form}", limit)
            assert redactor.redact_message(told) == "it is [REDACTED]…" if told.endswith("…") else "it is [REDACTED]"


def test_a_value_of_several_lines_is_known_when_it_was_made_one() -> None:
    value = "ab\ncd\nef\ngh"
    assert Redactor([value]).redact_message(printable(f"no {value} here")) == "no [REDACTED] here"
    assert Redactor([value]).redact_message(printable(f"no {value} here", 12)) == "no [REDACTED]…"


def test_details_are_told_by_the_same_rule_and_their_names_stay() -> None:
    redactor = Redactor(["file://x7KqR2mZ"])
    details = {"details": {"file": "file:", "reason": "of file://x7…", "file://x7…": 1}}
    assert redactor.redact_details(details) == {
        "details": {"file": "[REDACTED]", "reason": "of [REDACTED]…", "[REDACTED]…": 1}
    }


def test_names_that_are_shown_up_to_some_length_show_no_beginning_of_a_value() -> None:
    names = [printable(f"{'x' * 20}{TOKEN}", 28), "ghp_x7…", "a"]
    shown = Redactor([TOKEN]).redact_payload({"workspace_sync": {"skipped": names, "count": 3}, "stdout": "ghp_x7…"})
    assert shown == {
        "workspace_sync": {"skipped": ["x" * 20 + "[REDACTED]…", "[REDACTED]…", "a"], "count": 3},
        "stdout": "ghp_x7…",
    }


def test_an_address_with_a_token_at_the_cut_is_not_told() -> None:
    for before in range(40, 80):
        url = "tcp://" + "x" * before + TOKEN + " and more than can be told of it, more than eighty characters"
        with pytest.raises(UsageError) as refused:
            require_readiness({"type": "tcp", "address": url})
        shown = Redactor([TOKEN]).redact_message(refused.value.message)
        assert TOKEN[:4] not in shown, shown


def test_long_messages_that_repeat_a_beginning_take_no_time() -> None:
    redactor = Redactor(["a" * 60_000 + "b", "'" * 60_000 + "b"])
    began = time.perf_counter()
    redactor.redact_message("a" * 5000 + "c" + "'" * 5000 + ("a" * 5000 + "'c") * 4)
    assert time.perf_counter() - began < 5


def patch_of(directory: Path, old: str | None, new: str | None) -> str:
    for name, text in (("old", old), ("new", new)):
        (directory / name).write_text(text) if text is not None else None
    one, two = (name if text is not None else "/dev/null" for name, text in (("old", old), ("new", new)))
    done = subprocess.run(["diff", "-u", one, two], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stdout


def wrapped(text: str, width: int = 20) -> str:
    coded = base64.b64encode(text.encode()).decode()
    return "".join(coded[at : at + width] + "\n" for at in range(0, len(coded), width))


@pytest.mark.parametrize(("width", "end"), [(20, "\n"), (20, "\r\n"), (1, "\n")])
def test_a_patch_hides_nothing_that_is_wrapped(tmp_path: Path, width: int, end: str) -> None:
    redactor, token = Redactor([TOKEN * 5]), TOKEN * 5
    text = f"before{end}{wrapped(token, width).replace(chr(10), end)}after{end}"
    for old, new in ((None, text), (text, None), ("x\n", text)):
        shown = redactor.redact_patch(patch_of(tmp_path, old, new))
        assert [line[1:].strip() for line in shown.split("\n")[-4:-1]] == ["before", "[REDACTED]", "after"]


def test_a_hunk_that_begins_or_ends_within_a_value_shows_no_part_of_it(tmp_path: Path) -> None:
    token = "".join(f"x{number * 7919}" for number in range(20))
    redactor = Redactor([token])
    text = f"before\n{wrapped(token)}after\n"
    for old, new in ((text, f"{text}x\n"), (text, f"x\n{text}")):
        patch = patch_of(tmp_path, old, new)
        assert len([line for line in wrapped(token).split() if line in patch]) == 2
        shown = redactor.redact_patch(patch)
        assert "[REDACTED]" in shown
        assert not any(line in shown for line in wrapped(token).split())


def test_each_side_of_a_change_is_read_by_itself(tmp_path: Path) -> None:
    token = TOKEN * 5
    lines = wrapped(token).split("\n")
    lines[1] = "x" * 20
    other = "\n".join(lines)
    for old, new in ((wrapped(token), other), (other, wrapped(token))):
        shown = Redactor([token]).redact_patch(patch_of(tmp_path, old, new))
        assert lines[0] not in shown
        assert wrapped(token).split("\n")[1] not in shown
        assert lines[2] not in shown


def test_a_patch_without_a_value_stays_as_it_is(tmp_path: Path) -> None:
    patch = patch_of(tmp_path, "a\nb\nc\n", "a\nx\nc")
    assert Redactor([TOKEN, KEY]).redact_patch(patch) is patch


def test_a_patch_of_very_many_lines_takes_no_time() -> None:
    patch = "@@ -1,2 +0,0 @@\n" + "-x\n" * 500_000
    began = time.perf_counter()
    assert Redactor([TOKEN]).redact_patch(patch + f"+{TOKEN}\n").endswith("+[REDACTED]\n")
    assert time.perf_counter() - began < 10
