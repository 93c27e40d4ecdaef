"""Everything the command line writes goes through here: payloads and answers to stdout, the rest to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import TextIO

from pyro_mcp.errors import HostError, PyroError
from pyro_mcp.model.printable import printable


class Terminated(BaseException):
    """A signal ends us: SIGTERM, SIGHUP, or SIGPIPE as a reader that left.

    Not an Exception: only those who undo things look at it on its way out.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


def json_object(payload: Mapping[str, object]) -> None:
    """A payload on stdout. ASCII only: nothing in it can act on a terminal."""
    human(json.dumps(payload, indent=2, ensure_ascii=True))


def human(text: str) -> None:
    """A line (or prepared lines) of an answer, on stdout."""
    _write(sys.stdout, f"{text}\n".encode(errors="replace"))


def text(content: str, *, raw: bool = False) -> None:
    """Text from a guest on stdout, as it is. On a terminal what that would act upon is escaped, unless `raw`.

    There it also ends with a newline: what follows begins a line of its own.
    """
    if not raw and sys.stdout is not None and sys.stdout.isatty():
        content = harmless(content.removesuffix("\n")) + "\n" if content else ""
    _write(sys.stdout, content.encode(errors="replace"))


def terminal_text(content: str) -> None:
    """As `text`, of what a terminal wrote: its lines end with a carriage return, too, which is no news."""
    if sys.stdout is not None and sys.stdout.isatty():
        content = content.replace("\r\n", "\n")
    text(content)


def harmless(content: str) -> str:
    """Text with its lines and tabs, everything else that a terminal would act upon as an escape."""
    return "\n".join(
        "\t".join(printable(cell, limit=len(cell)) for cell in line.split("\t")) for line in content.split("\n")
    )


def note(text: str) -> None:
    """A line about what is going on, on stderr."""
    _write(sys.stderr, f"{printable(text)}\n".encode())


def error(failure: PyroError) -> None:
    """One `[error]` line and, where there is one, a hint."""
    lines = f"[error] {printable(failure.message, limit=2000)}\n"
    if failure.hint:
        lines += f"hint: {printable(failure.hint, limit=2000)}\n"
    _write(sys.stderr, lines.encode())


def guest_bytes(stream: str, data: bytes) -> None:
    """What a command in a guest wrote, as it wrote it, to our stream of the same name."""
    _write(sys.stdout if stream == "stdout" else sys.stderr, data)


def to_terminal(sequence: bytes) -> None:
    """What is for the terminal itself, if our stdout is one; nothing else hears of it."""
    if sys.stdout is not None and sys.stdout.isatty():
        with contextlib.suppress(HostError, Terminated):
            _write(sys.stdout, sequence)


def _write(stream: TextIO | None, data: bytes) -> None:
    if stream is None:
        return  # we were started with it closed: nobody wants to know
    try:
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError as error:
        _abandon(stream)
        if isinstance(error, BrokenPipeError):
            raise Terminated(signal.SIGPIPE) from None
        raise HostError(f"our output cannot be written: {error.strerror}", code="output-failed") from error


def settle() -> None:
    """Write out what others (click's help) have left in our streams, or give it up where that fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            _abandon(stream)


def _abandon(stream: TextIO) -> None:
    """Python flushes once more on exit, and would complain: give it nothing to flush to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
