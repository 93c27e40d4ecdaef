"""This terminal, lent to a program elsewhere: raw for as long as that takes, and as it was again whatever ends it.

While it is lent no signal raises an exception: signals are noted and wake whoever polls. So there is no moment in which
one could come between the terminal and its restoration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from types import FrameType, TracebackType
from typing import Self

from pyro_mcp.cli import output
from pyro_mcp.config import TERMINAL_RANGE
from pyro_mcp.errors import UsageError

_NOTED = (signal.SIGWINCH, signal.SIGCONT, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_WAKE_BYTES = 4096
_CTRL_P, _CTRL_Q = b"\x10", b"\x11"

# What a program that was cut off may have left: the other screen, mouse reports, bracketed paste, arrow keys and keypad
# that send something else, a soft reset of the rest, which not all terminals know. Nothing of it moves the cursor or
# erases anything, and where none of it was on, nothing happens.
_LEAVE_SCREEN = b"\x1b[?1047l\x1b[?1000;1002;1003;1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[!p\x1b[?25h\x1b[0m"


def our_terminal() -> int:
    """The descriptor of the terminal that we are used from. Raises UsageError `not-a-terminal`."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "stdin is not a terminal, and there is nothing else to type on",
            code="not-a-terminal",
            hint="`pyro workspace shell write` and `read` work without one",
        )
    return sys.stdin.fileno()


def size(descriptor: int) -> tuple[int, int]:
    """Columns and rows of a terminal; of one that does not know, 80 and 24."""
    columns, rows = os.get_terminal_size(descriptor)
    low, high = TERMINAL_RANGE
    return min(max(columns or 80, low), high), min(max(rows or 24, low), high)


class LentTerminal:
    """A context in which the terminal passes on every key and byte as it is, Ctrl-C included.

    `wake` is readable when there is something for `signals`. Only the main thread can lend a terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._signals: list[int] = []

    def __enter__(self) -> Self:
        self._attributes = termios.tcgetattr(self.descriptor)
        self.wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers = {number: signal.signal(number, self._note) for number in _NOTED}
        # Stopping would leave the terminal raw to our shell. Typed, Ctrl-Z is the other side's.
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        self._waker = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        self.take()
        return self

    def take(self) -> None:
        """Make it raw; again, where somebody stopped us and our shell took it back meanwhile."""
        with contextlib.suppress(termios.error):  # it is gone, which whoever reads it will see
            tty.setraw(self.descriptor, termios.TCSANOW)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # Also where it is no longer ours to change: what it gets back is no harm to anybody.
        self._handlers[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with contextlib.suppress(termios.error):
            # What was typed for the other side is not for our shell to run.
            termios.tcflush(self.descriptor, termios.TCIFLUSH)
            termios.tcsetattr(self.descriptor, termios.TCSANOW, self._attributes)
        output.to_terminal(_LEAVE_SCREEN)
        signal.set_wakeup_fd(self._waker)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self.wake)
        os.close(self._woken)

    def signals(self) -> list[int]:
        """The signals that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, _WAKE_BYTES)
        noted, self._signals = self._signals, []
        return noted

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)


class DetachKeys:
    """Looks for Ctrl-P Ctrl-Q among what is typed. A Ctrl-P waits for the next key, which shows whether it is meant."""

    def __init__(self) -> None:
        self._held = b""

    def pass_on(self, typed: bytes) -> tuple[bytes, bool]:
        """What is for the other side, and whether the keys were there. What follows them is for nobody."""
        typed = self._held + typed
        before, keys, _ = typed.partition(_CTRL_P + _CTRL_Q)
        if keys:
            return before, True
        self._held = _CTRL_P if typed.endswith(_CTRL_P) else b""
        return typed.removesuffix(self._held), False
