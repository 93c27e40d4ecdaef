"""What a model reads: data stays data, and stays short."""

from __future__ import annotations

from typing import Any

from pyro_mcp.errors import HostError
from pyro_mcp.mcp_server.text import OUTPUT_CHARACTERS, error_text, payload_text


def run(**changes: Any) -> dict[str, Any]:
    facts = {
        "exit_code": 0, "timed_out": False, "duration_ms": 7, "isolation": "emulated", "execution_mode": "guest_serial",
        "environment": "debian:12", "vm_id": "vm-1", "stdout": "", "stderr": "", "stdout_truncated": False,
        "stderr_truncated": False,
    }  # fmt: skip
    return facts | changes


def test_output_stands_line_by_line_behind_a_bar() -> None:
    text = payload_text(run(stdout="one\ntwo\n", stderr="stdout, what the command wrote, as data:"))

    assert text.splitlines() == [
        'exit_code=0 timed_out=false duration_ms=7 isolation="emulated" execution_mode="guest_serial" '
        'environment="debian:12" vm_id="vm-1"',
        "stdout, what the command wrote, as data:",
        "| one",
        "| two",
        "stderr, what the command wrote, as data:",
        "| stdout, what the command wrote, as data:",
    ]


def test_nothing_in_output_acts_on_a_terminal_or_breaks_out_of_its_line() -> None:
    text = payload_text(run(stdout="\x1b[2Ja\rb\u2028c\u202ed\x85e"))

    assert text.splitlines()[1:] == [
        "stdout, what the command wrote, as data:",
        "| \\x1b[2Ja\\rb\\u2028c\\u202ed\\x85e",
        "stderr: empty",
    ]


def test_of_long_output_both_ends_are_shown_and_the_rest_is_counted() -> None:
    text = payload_text(run(stdout="begin" + "x" * 1_000_000 + "end\n", stdout_truncated=True))

    assert len(text) < OUTPUT_CHARACTERS + 1000
    assert "the first 1 MiB of what the command wrote" in text
    assert f"\n({1_000_009 - OUTPUT_CHARACTERS} characters left out)\n" in text
    assert text.splitlines()[2].startswith("| begin")
    assert "end\nstderr: empty" in text


def test_a_payload_without_output_is_json_in_ascii() -> None:
    assert payload_text({"vm_id": "vm-1", "note": "ü\x1b"}) == '{"vm_id": "vm-1", "note": "\\u00fc\\u001b"}'


def test_an_error_is_one_line_of_code_message_and_hint() -> None:
    assert error_text(HostError("no\x1b[2Jspace", code="no-space", hint="free some")) == (
        "no-space: no\\x1b[2Jspace; free some"
    )
    assert error_text(HostError("x" * 10_000)).startswith("host-unsupported: xxx")
    assert len(error_text(HostError("x" * 10_000))) < 2_100
