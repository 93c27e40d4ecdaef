"""Commands end when they should, whatever they do, and what they said is kept."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError
from pyro_mcp.host import command
from pyro_mcp.host.command import Cancellation, Ended, run


def test_status_and_both_streams_come_back_in_order() -> None:
    done = run(["sh", "-c", "echo one; echo two >&2; echo three; exit 7"], deadline_seconds=10)
    assert (done.status, done.ended, done.output) == (7, Ended.BY_ITSELF, "one\ntwo\nthree\n")
    assert not done.succeeded


def test_only_the_end_of_a_long_output_is_kept() -> None:
    done = run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end"], deadline_seconds=10)
    assert done.succeeded
    assert len(done.output) == command.OUTPUT_BYTES
    assert done.output.endswith("xend\n")


def test_a_missing_program_is_a_host_error() -> None:
    with pytest.raises(HostError, match="no-such-program is not installed") as failure:
        run(["no-such-program"], deadline_seconds=1)
    assert failure.value.code == "tool-missing"


def test_stdin_is_empty_and_the_umask_fixed() -> None:
    before = os.umask(0o077)
    try:
        done = run(["sh", "-c", "cat; umask"], deadline_seconds=10)
    finally:
        os.umask(before)
    assert done.output == "0022\n"


def test_the_deadline_kills_the_command_and_its_children() -> None:
    started = time.monotonic()
    done = run(["sh", "-c", "sleep 100 & echo $!; wait"], deadline_seconds=0.3)
    assert done.ended is Ended.DEADLINE
    assert time.monotonic() - started < 5
    assert ends(int(done.output))


def test_a_child_left_behind_ends_with_its_command() -> None:
    done = run(["sh", "-c", "sleep 100 & echo $!"], deadline_seconds=30)
    assert done.succeeded
    assert ends(int(done.output))


def test_a_chatty_child_left_behind_does_not_hold_its_command_up() -> None:
    started = time.monotonic()
    done = run(["sh", "-c", "yes & exit 3"], deadline_seconds=60)
    assert (done.status, done.ended) == (3, Ended.BY_ITSELF)
    assert time.monotonic() - started < 5


def test_cancelling_from_another_thread_ends_a_silent_command() -> None:
    cancel = Cancellation()
    threading.Timer(0.2, cancel.set).start()
    started = time.monotonic()
    done = run(["sleep", "100"], deadline_seconds=60, cancel=cancel)
    assert done.ended is Ended.CANCELLED
    assert time.monotonic() - started < 5


def test_a_cancellation_made_before_is_seen_and_stays_seen() -> None:
    cancel = Cancellation()
    cancel.set()
    assert cancel.is_set()
    for _ in range(2):
        assert run(["sleep", "100"], deadline_seconds=60, cancel=cancel).ended is Ended.CANCELLED


def test_each_line_is_reported_even_the_ones_written_just_before_the_end() -> None:
    lines: list[str] = []
    run(["seq", "20000"], deadline_seconds=30, on_line=lines.append)
    assert lines == [str(number) for number in range(1, 20001)]


def test_a_line_is_cut_and_bad_utf_8_replaced() -> None:
    lines: list[str] = []
    script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; printf '\\377\\n'"
    run(["sh", "-c", script], deadline_seconds=30, on_line=lines.append)
    assert lines == ["x" * 4096, "\N{REPLACEMENT CHARACTER}"]


def test_an_error_in_the_listener_ends_the_command() -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    started = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        run(["sh", "-c", "echo first; sleep 100"], deadline_seconds=60, on_line=refuse)
    assert time.monotonic() - started < 5


def test_the_last_words_are_one_printable_line() -> None:
    done = run(["sh", "-c", "printf 'a\\n\\nb\\033[31m\\n'; exit 1"], deadline_seconds=10)
    assert done.last_words() == "a | b\\x1b[31m"


def test_no_descriptor_stays_open() -> None:
    before = open_descriptors()
    cancel = Cancellation()
    run(["true"], deadline_seconds=10, cancel=cancel)
    del cancel
    assert open_descriptors() == before


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def ends(pid: int) -> bool:
    """Whether the process is over, or just about to: a killed one still has some steps of its own end to go."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)
