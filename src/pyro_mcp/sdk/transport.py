"""One operation over the daemon's unix socket: an HTTP request out, frames in.

HTTP/1.0 without keep-alive: the answer ends where the connection does, so its body needs no further framing.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from pyro_mcp import errors
from pyro_mcp._version import __version__
from pyro_mcp.errors import DaemonError, PyroError, UsageError
from pyro_mcp.host.paths import short_path
from pyro_mcp.model.frames import HEADER_BYTES, MAX_REQUEST_BYTES, Kind, decode_header

OnEvent = Callable[[Mapping[str, object]], None]
OnOutput = Callable[[str, bytes], None]

_MAX_HEAD_BYTES = 16 << 10
_RECEIVE_BYTES = 256 << 10
_CANCEL_SECONDS = 30.0
# Python acts on a signal between two steps of its own. One that comes right before a step that blocks is noted, and
# waits for the end of that (docs.python.org/3/library/signal.html): so there is one at least every second.
_BLOCKED_MS = 1000


class NobodyThereError(DaemonError):
    """No daemon answered; nothing was done."""


class InterruptedExchange(BaseException):
    """Another thread broke the exchange off (`Interruption`).

    Not an Exception, like KeyboardInterrupt: only those who undo things look at it on its way out.
    """


class Interruption:
    """Lets another thread break an exchange off: what a signal does to the main thread, for all the others."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._event

    def set(self) -> None:
        os.eventfd_write(self._event, 1)

    def close(self) -> None:
        os.close(self._event)


class Exchange:
    """One request and its answer."""

    def __init__(self, path: Path, fingerprint: str, interruption: Interruption | None = None) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._interruption = interruption
        self._request_id = secrets.token_hex(8)

    def call(
        self, name: str, document: Mapping[str, object], on_event: OnEvent, on_output: OnOutput
    ) -> dict[str, object]:
        """Send, pass on what comes, return the RESULT. Raises the daemon's error, or NobodyThereError.

        An exception in a callback, from a signal (KeyboardInterrupt) or from another thread (InterruptedExchange)
        breaks the operation off at the daemon, waits until all of it is undone there, and goes on its way.
        """
        body = _encoded(document)
        if len(body) > MAX_REQUEST_BYTES:
            raise UsageError(f"the request has {len(body)} bytes; at most {MAX_REQUEST_BYTES} can be sent")
        with _connect(self._path) as connection:
            _send(connection, self._request(name, body))
            answer = _Answer(connection)
            _read_head(answer)
            try:
                # Not earlier: there is nothing to undo before the head, and it comes at once.
                answer.watch(self._interruption)
                kind, last = _read_frames(answer, on_event, on_output)
            except PyroError:
                raise
            except BaseException:
                self._cancel()
                raise
        if kind is Kind.ERROR:
            raise errors.from_wire(last)
        return last

    def send_input(self, piece: bytes) -> bool:
        """Give the operation that `call` is waiting for more input, from another thread; empty is its end.

        Waits until the operation has read what was sent before. False once it reads no more.
        """
        try:
            with _connect(self._path) as connection:
                _send(connection, self._request("stdin", piece))
                answer = _Answer(connection)
                _read_head(answer)
                kind, last = _read_frames(answer, _ignore, _ignore)
        except (DaemonError, OSError):
            return False
        return kind is Kind.RESULT and last.get("taken") is True

    def _cancel(self) -> None:
        document = {"arguments": {"request_id": self._request_id}, "context": {}}
        try:
            with _connect(self._path) as connection:
                connection.settimeout(_CANCEL_SECONDS)
                _send(connection, self._request("cancel", json.dumps(document).encode()))
                while connection.recv(4096):
                    pass
        except (DaemonError, OSError):
            return  # the daemon is gone or very slow; our hanging up cancels the operation just as well

    def _request(self, name: str, body: bytes) -> bytes:
        head = (
            f"POST /v1/{name} HTTP/1.0\r\n"
            f"Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Pyro-Version: {__version__}\r\n"
            f"Pyro-Settings: {self._fingerprint}\r\n"
            f"Pyro-Request: {self._request_id}\r\n\r\n"
        )
        return head.encode() + body


def _encoded(document: Mapping[str, object]) -> bytes:
    """Not escaped: an escaped lone surrogate would pass here, and be another character where it arrives."""
    try:
        return json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UsageError("an argument has text that is not UTF-8") from error


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with short_path(path) as address:
            connection.connect(address)
    except OSError as error:
        connection.close()
        raise _nobody() from error
    return connection


def _send(connection: socket.socket, request: bytes) -> None:
    try:
        connection.sendall(request)
    except OSError as error:
        raise _nobody() from error


class _Answer:
    """The bytes of an answer as they come, until an Interruption that is watched says to stop."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._interruption: int | None = None

    def watch(self, interruption: Interruption | None) -> None:
        if interruption is not None:
            self._poll.register(interruption, select.POLLIN)
            self._interruption = interruption.fileno()

    def line(self) -> bytes:
        """Up to a newline; what there is at the end of the answer or at the limit."""
        while (end := self._received.find(b"\n")) < 0 and len(self._received) < _MAX_HEAD_BYTES:
            if not self._receive():
                return self._take(len(self._received))
        return self._take(end + 1 or len(self._received))

    def exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            if not self._receive():
                raise DaemonError(
                    "the daemon ended before it had answered",
                    code="daemon-lost",
                    hint="see `pyro daemon logs` for the reason",
                )
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _receive(self) -> bool:
        """More bytes; False at the end, also when the daemon was killed and the connection broke."""
        while not (ready := self._poll.poll(_BLOCKED_MS)):
            pass
        if any(descriptor == self._interruption for descriptor, _ in ready):
            raise InterruptedExchange
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except OSError:
            return False
        self._received += data
        return bool(data)


def _read_head(answer: _Answer) -> None:
    """Skip the HTTP head. The daemon sends it before it begins to work: without it, nothing was done."""
    status = answer.line()
    while answer.line().strip():
        pass
    if not status:
        raise _nobody()
    if b" 200 " not in status:
        raise DaemonError(f"the daemon answered {status.decode('latin-1').strip()!r}", code="daemon-protocol")


def _read_frames(answer: _Answer, on_event: OnEvent, on_output: OnOutput) -> tuple[Kind, dict[str, object]]:
    """Pass on events and output; return the last frame."""
    while True:
        try:
            kind, length = decode_header(answer.exactly(HEADER_BYTES))
        except ValueError as error:
            raise DaemonError(f"the daemon sent something else than frames: {error}", code="daemon-protocol") from error
        payload = answer.exactly(length)
        match kind:
            case Kind.STDOUT:
                on_output("stdout", payload)
            case Kind.STDERR:
                on_output("stderr", payload)
            case Kind.EVENT:
                on_event(json.loads(payload))
            case Kind.RESULT | Kind.ERROR:
                return kind, json.loads(payload)


def _ignore(*_: object) -> None:
    pass


def _nobody() -> NobodyThereError:
    return NobodyThereError("no daemon answers", hint="see `pyro daemon logs`")
