"""`pyro workspace shell attach`: this terminal and a shell's, connected.

Three threads, so that nothing waits for anything else: the main one reads keys and signals, one stays with the shell
and prints, one tells it the terminal's size.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, BinaryIO, cast

from pyro_mcp.cli import output, terminal
from pyro_mcp.cli.terminal import DetachKeys, LentTerminal
from pyro_mcp.errors import DaemonError, HostError, PyroError
from pyro_mcp.sdk.client import InterruptiblePyro, Pyro
from pyro_mcp.sdk.transport import Interruption

if TYPE_CHECKING:
    from pyro_mcp.model.living_payloads import ShellPayload

_KEY_BYTES = 64 << 10
_LEAVE_SECONDS = 5.0
_PASS_ON_SECONDS = 2.0
_PRINT_SECONDS = 1.0


def attach(workspace_id: str, shell_id: str | None) -> dict[str, object]:
    """Until the shell ends or is left; the payload says `detached`, and its `exit_code` if it ended.

    Without `shell_id` a shell is opened, and forgotten again if it ends. Raises UsageError `not-a-terminal`.
    """
    descriptor = terminal.our_terminal()
    columns, rows = terminal.size(descriptor)
    if shell_id is None:
        opened = Pyro().open_shell(workspace_id, cols=columns, rows=rows)["shell_id"]
        ended = _connect(descriptor, Attachment(workspace_id, opened, cursor=0))
        if not ended["detached"]:
            with contextlib.suppress(PyroError):
                Pyro().close_shell(workspace_id, opened)
        return ended
    return _connect(descriptor, Attachment(workspace_id, shell_id, redraw=(columns, rows)))


class Attachment:
    """The shell's side: what is typed goes there, what it writes is printed, from now on or from `cursor` on.

    `ended` is readable once it is over. `redraw` is the terminal's size, given to a shell that was there before in such
    a way that a program that fills the screen draws it anew.
    """

    def __init__(
        self, workspace_id: str, shell_id: str, *, cursor: int | None = None, redraw: tuple[int, int] | None = None
    ) -> None:
        self.workspace_id = workspace_id
        self.shell_id = shell_id
        self.ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._cursor = cursor
        self._keys = _Keys()
        self._sizes: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._outcome: Future[ShellPayload] = Future()
        self._interruption = Interruption()
        self._left = False
        self._printing = threading.Lock()
        if redraw is not None:
            columns, rows = redraw
            # A size that is new is what programs act upon, so it is made so.
            self._sizes.put((columns - 1 or 2, rows))
            self._sizes.put((columns, rows))

    def start(self) -> None:
        for work in (self._stay, self._tell_sizes):
            threading.Thread(target=work, name="pyro-attach", daemon=True).start()

    def type(self, data: bytes) -> None:
        self._keys.put(data)

    def resize(self, columns: int, rows: int) -> None:
        self._sizes.put((columns, rows))

    def pass_on(self) -> None:
        """Wait until what was typed has arrived. Neither a shell that takes nothing in nor a guest that does not answer
        is waited for: the terminal is raw as long.
        """
        self._keys.put(b"")
        arrived = threading.Event()

        def ask() -> None:
            self._keys.passed_on.wait()
            # The daemon has it. What is asked of it now comes to the guest behind that.
            with contextlib.suppress(PyroError):
                Pyro().read_shell(self.workspace_id, self.shell_id, max_chars=1)
            arrived.set()

        threading.Thread(target=ask, name="pyro-attach", daemon=True).start()
        arrived.wait(_PASS_ON_SECONDS)

    def leave(self) -> None:
        """Print nothing more and break off; does not wait for it."""
        self._left = True
        # What is being printed comes before the terminal's restoration, unless the terminal takes nothing.
        if self._printing.acquire(timeout=_PRINT_SECONDS):
            self._printing.release()
        self._interruption.set()
        self._keys.put(b"")
        self._sizes.put(None)

    def wait(self) -> None:
        """Until the shell was told that we left. It need not be: that our connection ends tells it as well."""
        over, _, _ = select.select([self.ended], [], [], _LEAVE_SECONDS)
        if over:
            os.close(self.ended)
            self._interruption.close()

    def result(self) -> ShellPayload:
        return self._outcome.result()

    def _stay(self) -> None:
        try:
            ended = InterruptiblePyro(self._interruption).attach_shell(
                self.workspace_id,
                self.shell_id,
                cursor=self._cursor,
                stdin=cast(BinaryIO, self._keys),
                on_output=self._print,
            )
        except BaseException as error:  # noqa: BLE001 - raised again where the outcome is asked for
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(ended)
        os.eventfd_write(self.ended, 1)

    def _print(self, stream: str, data: bytes) -> None:
        with self._printing:
            if not self._left:
                output.guest_bytes(stream, data)

    def _tell_sizes(self) -> None:
        """One after the other: the shell's last size is the terminal's last."""
        self._keys.wanted.wait()  # from here on what it writes reaches us
        while (size := self._sizes.get()) is not None:
            columns, rows = size
            with contextlib.suppress(PyroError):  # if it has ended, the other thread knows
                Pyro().resize_shell(self.workspace_id, self.shell_id, cols=columns, rows=rows)


class _Keys:
    """What was typed, for the SDK to read. Without a bound: a person has typed or pasted it here."""

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self.passed_on = threading.Event()
        self._typed: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def put(self, data: bytes) -> None:
        self._typed.put(data)

    def read(self, _count: int) -> bytes:
        """A piece at a time, as soon as there is one."""
        self.wanted.set()
        if not (typed := self._typed.get()):
            self.passed_on.set()
        return typed


def _connect(descriptor: int, shell: Attachment) -> dict[str, object]:
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(shell.wait)
            lent = undo.enter_context(LentTerminal(descriptor))
            undo.callback(shell.leave)
            shell.start()
            detached = _pass_on(lent, shell)
            if detached:
                shell.pass_on()
        if not detached:
            return {**shell.result(), "detached": False}
    except (output.Terminated, DaemonError):
        with contextlib.suppress(HostError, output.Terminated):  # our terminal is gone, too
            _say_how_to_return(shell)
        raise
    _say_how_to_return(shell)
    return {"workspace_id": shell.workspace_id, "shell_id": shell.shell_id, "detached": True, "exit_code": None}


def _pass_on(lent: LentTerminal, shell: Attachment) -> bool:
    """Keys and signals, until the shell ends (False) or is left (True)."""
    keys = DetachKeys()
    poll = select.poll()
    for readable in (lent.descriptor, lent.wake, shell.ended):
        poll.register(readable, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if shell.ended in ready:
            return False
        if lent.wake in ready:
            _act_on(lent.signals(), lent, shell)
        if lent.descriptor in ready:
            typed, left = keys.pass_on(_typed(lent.descriptor))
            if typed:
                shell.type(typed)
            if left:
                return True


def _act_on(signals: list[int], lent: LentTerminal, shell: Attachment) -> None:
    for number in signals:
        if number == signal.SIGCONT:
            lent.take()
        elif number != signal.SIGWINCH:
            raise output.Terminated(number)
    with contextlib.suppress(OSError):  # it is gone: another signal will say so
        shell.resize(*terminal.size(lent.descriptor))


def _typed(descriptor: int) -> bytes:
    """What was typed. Raises Terminated where nothing can be any more."""
    try:
        typed = os.read(descriptor, _KEY_BYTES)
    except OSError:
        typed = b""
    if not typed:
        raise output.Terminated(signal.SIGHUP)
    return typed


def _say_how_to_return(shell: Attachment) -> None:
    output.note(
        f"[shell] detached from {shell.shell_id}; `pyro workspace shell attach {shell.workspace_id} {shell.shell_id}` "
        "joins it again"
    )
