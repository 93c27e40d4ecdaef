"""Commands: run one to its end under a deadline, stop it on request, keep the last of what it printed."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.model.printable import printable
from pyro_mcp.model.text import last_lines

OUTPUT_BYTES = 256 << 10
"""How much of a command's output is kept: its end, where the reason for a failure stands."""

_LINE_CHARACTERS = 4096
_PIPE_BYTES = 64 << 10
_DRAIN_SECONDS = 10.0


class Cancellation:
    """A request to stop, made once from any thread. Its descriptor becomes readable then, so waits can include it."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._requested = False
        weakref.finalize(self, os.close, self._descriptor)

    def set(self) -> None:
        self._requested = True
        os.eventfd_write(self._descriptor, 1)

    def is_set(self) -> bool:
        return self._requested

    def fileno(self) -> int:
        return self._descriptor


class Ended(Enum):
    """Why a command is over."""

    BY_ITSELF = auto()
    DEADLINE = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that is over. `status` is negative for a signal; `output` is the end of stdout and stderr together."""

    status: int
    ended: Ended
    output: str

    @property
    def succeeded(self) -> bool:
        return self.status == 0 and self.ended is Ended.BY_ITSELF

    def last_words(self, lines: int = 6) -> str:
        """The last lines that were printed, as one line that is safe to show."""
        return printable(last_lines(self.output, lines), 1000)


def run(
    argv: Sequence[str | Path],
    *,
    deadline_seconds: float,
    cancel: Cancellation | None = None,
    on_line: Callable[[str], None] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Finished:
    """Run `argv` and return when it and all that its session left behind have ended.

    No shell, stdin is /dev/null, umask 022, a session of its own without terminal. At the deadline or on `cancel` the
    whole process group is killed. `on_line` gets each line, cut at 4,096 characters, as it comes; what it raises ends
    the command and comes out here. Raises HostError (`tool-missing`) if there is no such program.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # What tools make must not depend on who starts them.
            umask=0o022,
            pass_fds=pass_fds,
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise HostError(f"the program {argv[0]} is not installed", code="tool-missing") from error
    output = _Output(on_line)
    try:
        ended = _follow(process, output, time.monotonic() + deadline_seconds, cancel)
    finally:
        _end(process, output)
    return Finished(process.returncode, ended, output.text())


def _follow(process: subprocess.Popen[bytes], output: _Output, deadline: float, cancel: Cancellation | None) -> Ended:
    """Pass output on until the process is over, or must be."""
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(pidfd, selectors.EVENT_READ)
            if cancel is not None:
                selector.register(cancel, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fileobj for key, _ in selector.select(left)}
                if cancel in ready:
                    return Ended.CANCELLED
                if process.stdout in ready:
                    # A whole pipe: when the process is seen to be over, its last line has been read here.
                    data = os.read(process.stdout.fileno(), _PIPE_BYTES)
                    output.feed(data)
                    if not data:
                        selector.unregister(process.stdout)
                if pidfd in ready:
                    return Ended.BY_ITSELF
            return Ended.DEADLINE
    finally:
        os.close(pidfd)


def _end(process: subprocess.Popen[bytes], output: _Output) -> None:
    """Kill what is left of the process group, reap, and keep what stands in the pipe: it may say why a command hung."""
    assert process.stdout is not None
    # Not reaped yet, so the number still means this group even if its leader is dead.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Whoever still holds the pipe is on its way out: the group was killed, and a pid namespace dies with its first
    # process. The deadline is for a process that left the group on purpose.
    deadline = time.monotonic() + _DRAIN_SECONDS
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            data = os.read(pipe.fileno(), _PIPE_BYTES)
            if not data:
                break
            output.keep(data)


class _Output:
    """Keeps the end of a stream and hands out its lines."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._kept = bytearray()
        self._on_line = on_line
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._partial = ""

    def feed(self, data: bytes) -> None:
        self.keep(data)
        if self._on_line is not None:
            *lines, self._partial = (self._partial + self._decode(data)).split("\n")
            self._partial = self._partial[:_LINE_CHARACTERS]
            for line in lines:
                self._on_line(line[:_LINE_CHARACTERS])

    def keep(self, data: bytes) -> None:
        self._kept += data
        del self._kept[:-OUTPUT_BYTES]

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
