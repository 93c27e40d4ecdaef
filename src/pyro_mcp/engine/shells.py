"""Shells of a workspace: opened, read by cursor, written to, attached to. The guest keeps them, and what they wrote."""

from __future__ import annotations

import re
import secrets as randomness
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.agent.wire import BodyKind, violation
from pyro_mcp.engine.refusals import Refusals, explained
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.shell_view import Reading, ShellState, parse_state, shell_payload, view
from pyro_mcp.engine.sink import Sink
from pyro_mcp.engine.streams import Redacted
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.undoing import undo
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError, UsageError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.living_payloads import ShellPayload, ShellWritePayload
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.terminal import plain

RING_BYTES = 1 << 20
"""Of each shell the guest keeps so much of what it wrote."""

SIGNALS: Mapping[str, int] = {name: signal.Signals[f"SIG{name}"].value for name in ("INT", "TERM", "KILL", "HUP")}

_SHELLS = (("bash", "-l"), ("sh", "-l"))
"""The first that the environment has."""
_BUSY_MS = 30_000
"""So long is waited at most for a shell that is never idle."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATIENCE_SECONDS = 60.0
_OUTPUT = (BodyKind.STDOUT,)


@dataclass(frozen=True, slots=True)
class Opening:
    """A shell to be: where it begins, and its terminal's size."""

    cwd: str
    cols: int
    rows: int
    secret_env: Mapping[str, str] = field(default_factory=dict)


class Shells:
    def __init__(self, workspaces: Workspaces, secrets: Secrets) -> None:
        self._workspaces = workspaces
        self._secrets = secrets

    async def open(self, workspace_id: object, opening: Opening) -> ShellPayload:
        """A login shell on a terminal of its own."""
        shell_id = f"sh-{randomness.token_hex(6)}"
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            parameters: dict[str, object] = {
                "shell": shell_id,
                "cwd": opening.cwd,
                "cols": opening.cols,
                "rows": opening.rows,
                "env": dict(self._secrets.environment(record.workspace_id, opening.secret_env)),
            }
            with explained(f"a shell in {opening.cwd}", _REFUSALS):
                try:
                    await _open_first(machine, parameters)
                except BaseException:
                    await undo(machine, "shell/close", {"shell": shell_id})
                    raise
            state = ShellState(opening.cwd, opening.cols, opening.rows, False, 0, 0, 0, 0, 0)
            return shell_payload(record.workspace_id, shell_id, state)

    async def read(self, workspace_id: object, shell_id: object, reading: Reading) -> ShellPayload:
        """What was written from a cursor on, and the cursor for the next read.

        It ends before what may be the beginning of a secret, unless the shell has ended or was quiet for 250 ms.
        """
        async with self._workspaces.working(workspace_id) as (record, machine):
            redactor = self._secrets.redactor(record.workspace_id)
            name = _name(shell_id)
            # What stands before the cursor tells whether a secret reaches over it.
            begin = max(0, reading.cursor - redactor.context_bytes)
            wanted = reading.cursor - begin + reading.max_chars + redactor.context_bytes + reading.rest_bytes
            parameters = {
                "shell": name,
                "cursor": begin,
                "max_bytes": min(wanted, RING_BYTES),
                "idle_ms": reading.idle_ms or 0,
                "wait_ms": _BUSY_MS if reading.idle_ms else 0,
            }
            with explained(f"the shell {name}", _REFUSALS):
                data, shell = await _read(machine, parameters)
        if reading.cursor > shell.end:
            raise _ahead(f"the shell {name}", {"end": shell.end})
        cursor = max(reading.cursor, shell.start)
        shown, length, more = view(redactor, data, shell, reading, begin)
        if reading.plain:
            # Once more: what control characters stood in the middle of is in one piece only when they are gone.
            text = await in_thread(lambda: redactor.redact_text(plain(shown, shell.cols, shell.rows)))
        else:
            text = shown.decode("utf-8", "replace")
        return {
            **shell_payload(record.workspace_id, name, shell),
            "cursor": cursor,
            "next_cursor": cursor + length,
            "output": text,
            "truncated": more,
            "lost_bytes": cursor - reading.cursor,
        }

    async def write(
        self, workspace_id: object, shell_id: object, text: str, *, append_newline: bool
    ) -> ShellWritePayload:
        """Type `text`. Raises ConflictError `shell-not-reading` if the program does not take it within 5 s."""
        name = _name(shell_id)
        data = text.encode() + (b"\n" if append_newline else b"")
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained(f"the shell {name}", _REFUSALS):
                async with machine.ask("shell/write", {"shell": name}, _once(data)) as work:
                    await work.result()
        return {
            "workspace_id": record.workspace_id,
            "shell_id": name,
            "input_length": len(text),
            "append_newline": append_newline,
        }

    async def signal(self, workspace_id: object, shell_id: object, signal_name: str) -> ShellPayload:
        """Send a signal to the program in the foreground of the shell's terminal, the shell itself if there is none."""
        return await self._do(workspace_id, shell_id, "shell/signal", {"signal": SIGNALS[signal_name]})

    async def resize(self, workspace_id: object, shell_id: object, *, cols: int, rows: int) -> ShellPayload:
        return await self._do(workspace_id, shell_id, "shell/resize", {"cols": cols, "rows": rows})

    async def close(self, workspace_id: object, shell_id: object) -> ShellPayload:
        """End the shell with all that it started; what it wrote is gone."""
        name = _name(shell_id)
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained(f"the shell {name}", _REFUSALS):
                async with machine.ask("shell/close", {"shell": name}) as work:
                    shell = parse_state(await work.result())
        return shell_payload(record.workspace_id, name, shell)

    async def attach(
        self, workspace_id: object, shell_id: object, cursor: int | None, stdin: AsyncIterator[bytes] | None, sink: Sink
    ) -> ShellPayload:
        """Everything from `cursor` on (None: from now on) to the sink, and `stdin` to the terminal, until it ends."""
        name = _name(shell_id)

        async def emit(stream: OutputStream, data: bytes) -> None:
            await sink.output(stream, data)

        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained(f"the shell {name}", _REFUSALS):
                redactor = self._secrets.redactor(record.workspace_id)
                begin, before, cut = await _before(machine, name, cursor, redactor)
                await sink.event({"event": "stdin"})  # from here on it can be sent
                parameters = {"shell": name, "cursor": begin}
                asked = machine.ask("shell/attach", parameters, stdin, answers=_OUTPUT, patience_seconds=None)
                async with asked as work, Redacted(redactor, emit) as output:
                    if cut:
                        await output.gap(OutputStream.STDOUT)
                    if before:
                        output.pass_over(OutputStream.STDOUT, before)
                    received = 0
                    while (frame := await work.frame()) is not None:
                        await output.frame(OutputStream.STDOUT, frame[1])
                        received += len(frame[1])
                    shell = parse_state(await work.result())
        lost = max(0, shell.next - begin - received)
        return {**shell_payload(record.workspace_id, name, shell), "lost_bytes": lost}

    async def _do(
        self, workspace_id: object, shell_id: object, request: str, parameters: Mapping[str, object]
    ) -> ShellPayload:
        name = _name(shell_id)
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained(f"the shell {name}", _REFUSALS):
                async with machine.ask(request, {"shell": name, **parameters}) as work:
                    await work.result()
                shell = await _state(machine, name)
        return shell_payload(record.workspace_id, name, shell)


async def _open_first(machine: Machine, parameters: Mapping[str, object]) -> None:
    """Open the first of the shells that there is. Raises GuestError."""
    for argv in _SHELLS:
        try:
            async with machine.ask("shell/open", {**parameters, "argv": argv}) as work:
                await work.result()
            return
        except GuestError as error:
            if error.details.get("guest_code") != "not-found" or argv == _SHELLS[-1]:
                raise


async def _before(machine: Machine, name: str, cursor: int | None, redactor: Redactor) -> tuple[int, bytes, bool]:
    """Where to begin, None being the end; what stands before that, which tells whether a secret reaches over it; and
    whether more that stood before is forgotten."""
    begin = (await _state(machine, name)).end if cursor is None else cursor
    length = min(begin, redactor.context_bytes, RING_BYTES)
    if not length:
        return begin, b"", False
    parameters = {"shell": name, "cursor": begin - length, "max_bytes": length, "idle_ms": 0, "wait_ms": 0}
    data, shell = await _read(machine, parameters)
    return begin, data[: max(0, begin - shell.start)], shell.start > begin - length


async def _state(machine: Machine, name: str) -> ShellState:
    parameters = {"shell": name, "cursor": 0, "max_bytes": 1, "idle_ms": 0, "wait_ms": 0}
    return (await _read(machine, parameters))[1]


async def _read(machine: Machine, parameters: Mapping[str, object]) -> tuple[bytes, ShellState]:
    asked = machine.ask("shell/read", parameters, answers=_OUTPUT, patience_seconds=_PATIENCE_SECONDS)
    async with asked as work:
        data = await work.whole(RING_BYTES)
        shell = parse_state(await work.result())
    if shell.start + len(data) != shell.next:
        raise violation("sent another amount of output than it says")
    return data, shell


def _name(shell_id: object) -> str:
    """Something that can be a shell's id; what cannot be one names none: NotFoundError."""
    if isinstance(shell_id, str) and _ID.fullmatch(shell_id):
        return shell_id
    raise _not_found(f"shell {str(shell_id)[:64]!r}")


def _not_found(subject: str) -> NotFoundError:
    return NotFoundError(
        f"there is no {subject}",
        code="shell-not-found",
        hint="`pyro workspace shell open` opens one; shells end with stop and reset",
    )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _ahead(subject: str, details: Mapping[str, object]) -> UsageError:
    return UsageError(
        f"{subject} has written {details.get('end')} bytes, less than the cursor asks for",
        code="cursor-ahead",
        hint="go on with the next_cursor of the last read",
        details=details,
    )


_REFUSALS: Refusals = {
    "not-found": lambda subject, _: _not_found(subject.removeprefix("the ")),
    "not-executable": lambda subject, details: UsageError(
        f"{subject} cannot be opened: {details.get('reason')}", code="shell-not-opened"
    ),
    "too-many": lambda *_: ConflictError(
        "this workspace has 32 shells, and can have no more",
        code="too-many-shells",
        hint="`pyro workspace shell close` closes one; ended ones count until then",
    ),
    "cursor-ahead": _ahead,
    "not-reading": lambda subject, details: ConflictError(
        f"{subject} does not take its input, {details.get('written')} bytes were written: {details['guest_error']}",
        code="shell-not-reading",
        hint="read what it says; a program that is busy or stopped can be sent a signal",
    ),
    "stopping": lambda *_: ConflictError("the workspace is being stopped", code="workspace-stopped"),
    "exists": lambda subject, _: ConflictError(f"{subject} exists already"),
    "io-error": lambda subject, details: ConflictError(f"{subject}: {details['guest_error']}"),
    "bad-request": lambda subject, details: UsageError(f"{subject}: {details['guest_error']}"),
}
