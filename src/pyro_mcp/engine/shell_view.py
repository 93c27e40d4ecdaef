"""What the guest says of a shell, and what may be shown of what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyro_mcp.agent.messages import integer_of, text_of
from pyro_mcp.agent.wire import violation
from pyro_mcp.config import TERMINAL_RANGE
from pyro_mcp.engine.streams import QUIET_SECONDS
from pyro_mcp.model.living_payloads import ShellPayload
from pyro_mcp.model.printable import printable
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.terminal import SEQUENCE_BYTES, before_open_sequence, first_sequence

_MOST_CURSOR = 2**53
_PART_OF_A_CHARACTER = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read. `idle_ms` None does not wait at all."""

    cursor: int = 0
    max_chars: int = 65_536
    plain: bool = False
    idle_ms: int | None = None

    @property
    def rest_bytes(self) -> int:
        """So much may follow what is to be shown, and belong to its last character or control sequence."""
        return SEQUENCE_BYTES if self.plain else _PART_OF_A_CHARACTER


@dataclass(frozen=True, slots=True)
class ShellState:
    """What the guest says of a shell; `start`, `next` and `end` are cursors."""

    cwd: str
    cols: int
    rows: int
    exited: bool
    exit_code: int
    start: int
    next: int
    end: int
    quiet_ms: int

    @property
    def settled(self) -> bool:
        """Whether nothing is under way: what was read last is not the beginning of anything."""
        return self.next == self.end and (self.exited or self.quiet_ms >= QUIET_SECONDS * 1000)


def view(redactor: Redactor, data: bytes, shell: ShellState, reading: Reading, begin: int) -> tuple[bytes, int, bool]:
    """What may be shown of `data`, for which `begin` was asked, from the cursor on; for how many bytes it stands; and
    whether there is more that only its limit holds back.

    No secret is cut at its end, and, where it is to be plain, no control sequence.
    """
    starts_cut, ends_cut = shell.start > begin, not shell.settled
    start = max(reading.cursor, shell.start) - shell.start
    shown, length = redactor.window(data, start, limit=reading.max_chars, starts_cut=starts_cut, ends_cut=ends_cut)
    _, all_of_it = redactor.window(data, start, starts_cut=starts_cut, ends_cut=ends_cut)
    if reading.plain and not (shell.settled and length == all_of_it):
        shown, length = _whole_sequences(data[start:], shown, length, goes_on=shell.next == shell.end)
        if not shell.settled:
            all_of_it = before_open_sequence(data[start : start + all_of_it])
    return shown, length, length < all_of_it or shell.next < shell.end


def _whole_sequences(data: bytes, shown: bytes, length: int, *, goes_on: bool) -> tuple[bytes, int]:
    """`shown`, which stands for the first `length` bytes of `data`, less a control sequence that is cut there.

    If it is nothing but the beginning of one, all of that is passed over; or, if its rest may come, nothing yet.
    """
    kept = before_open_sequence(data[:length])
    cut = data[kept:length]
    if not cut or not shown.endswith(cut):
        return shown, length
    if kept:
        return shown[: len(shown) - len(cut)], kept
    extent = first_sequence(data)
    if goes_on and extent == len(data) < SEQUENCE_BYTES and not before_open_sequence(data):
        return b"", 0
    return b"", max(extent, length)


def parse_state(members: Mapping[str, object]) -> ShellState:
    """Raises GuestError for what cannot be."""
    state = text_of(members, "state")
    if state not in ("running", "exited"):
        raise violation("sent a state of a shell that has no meaning")
    cursors = {name: integer_of(members, name, largest=_MOST_CURSOR) for name in ("start", "next", "end")}
    if not cursors["start"] <= cursors["next"] <= cursors["end"]:
        raise violation("sent cursors that cannot be")
    return ShellState(
        cwd=printable(text_of(members, "cwd"), 4096),
        cols=integer_of(members, "cols", largest=TERMINAL_RANGE[1]),
        rows=integer_of(members, "rows", largest=TERMINAL_RANGE[1]),
        exited=state == "exited",
        exit_code=integer_of(members, "exit_code", largest=255),
        quiet_ms=integer_of(members, "quiet_ms"),
        **cursors,
    )


def shell_payload(workspace_id: str, shell_id: str, shell: ShellState) -> ShellPayload:
    return {
        "workspace_id": workspace_id,
        "shell_id": shell_id,
        "cwd": shell.cwd,
        "cols": shell.cols,
        "rows": shell.rows,
        "state": "exited" if shell.exited else "running",
        "cursor": shell.end,
        "next_cursor": shell.end,
        "output": "",
        "truncated": False,
        "lost_bytes": 0,
        "exit_code": shell.exit_code if shell.exited else None,
    }
