"""A person at a real terminal, and a daemon on a real socket that has one shell and does what a test says."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import queue
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

from pyro_mcp.model.frames import Kind, encode_frame

ID = "ws-0123456789ab"
SHELL = "sh-0123456789ab"
SHELL_PAYLOAD = {
    "workspace_id": ID, "shell_id": SHELL, "cwd": "/workspace", "cols": 100, "rows": 40, "state": "running",
    "cursor": 0, "next_cursor": 0, "output": "", "truncated": False, "lost_bytes": 0, "exit_code": None,
}  # fmt: skip
DEADLINE = 30.0

_HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class ShellDaemon:
    """Notes what it is asked in `asked`, what is typed in `typed`. One shell is attached to at a time."""

    def __init__(self, directory: Path) -> None:
        self.asked: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.typed: queue.Queue[bytes] = queue.Queue()
        self.takes_input = threading.Event()
        self.takes_input.set()
        self.silent: set[str] = set()
        """What is heard and never answered."""
        self._attached: queue.Queue[socket.socket] = queue.Queue()
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "daemon.sock"))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.takes_input.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def attached(self) -> dict[str, Any]:
        """The arguments of the attachment, once it is there."""
        self._shell = self._attached.get(timeout=DEADLINE)
        name, arguments = self.asked.get(timeout=DEADLINE)
        while name != "attach_shell":
            name, arguments = self.asked.get(timeout=DEADLINE)
        return arguments

    def write(self, data: bytes) -> None:
        self._shell.sendall(encode_frame(Kind.STDOUT, data))

    def end(self, exit_code: int) -> None:
        payload = SHELL_PAYLOAD | {"state": "exited", "exit_code": exit_code}
        self._shell.sendall(encode_frame(Kind.RESULT, json.dumps(payload).encode()))
        self.die()

    def die(self) -> None:
        self._shell.close()

    def next(self) -> tuple[str, dict[str, Any]]:
        return self.asked.get(timeout=DEADLINE)

    def input(self, count: int) -> bytes:
        """That many bytes of what is typed."""
        typed = b""
        while len(typed) < count:
            typed += self.typed.get(timeout=DEADLINE)
        return typed

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):  # they left in the middle of it
            self._do(connection, *_read_request(connection))

    def _do(self, connection: socket.socket, name: str, body: bytes) -> None:
        connection.sendall(_HEAD)
        if name == "stdin":
            self.takes_input.wait(DEADLINE)
            self.typed.put(body)
            self._result(connection, {"taken": True})
            return
        arguments = json.loads(body)["arguments"]
        if name == "attach_shell":
            connection.sendall(encode_frame(Kind.EVENT, b'{"event":"stdin"}'))
            self._attached.put(connection)
        else:
            self.asked.put((name, arguments))
            if name not in self.silent:
                self._result(connection, SHELL_PAYLOAD)
            return
        self.asked.put((name, arguments))

    def _result(self, connection: socket.socket, payload: dict[str, Any]) -> None:
        connection.sendall(encode_frame(Kind.RESULT, json.dumps(payload).encode()))
        connection.close()


def _read_request(connection: socket.socket) -> tuple[str, bytes]:
    """What is asked for, and the body. Raises EOFError."""
    with connection.makefile("rb") as request:
        first, length = request.readline(), 0
        while line := request.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = request.read(length)
    if not first or len(body) < length:
        raise EOFError
    return first.split()[1].decode().removeprefix("/v1/"), body


class Person:
    """Runs `pyro` in the foreground of a terminal of 100 columns and 40 rows."""

    def __init__(self, state_dir: Path, *arguments: str, stdout: int | None = None) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(100, 40)
        self.before = self.modes()
        self.pyro = subprocess.Popen(
            [sys.executable, "-m", "pyro_mcp", *arguments],
            env={**os.environ, "PYRO_STATE_DIR": str(state_dir)},
            stdin=self.slave,
            stdout=self.slave if stdout is None else stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def close(self) -> None:
        self.pyro.kill()
        self.pyro.communicate()
        for descriptor in {self.master, self.slave} - {-1}:
            os.close(descriptor)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.slave)

    def restore(self) -> None:
        termios.tcsetattr(self.slave, termios.TCSANOW, self.before)

    def is_raw(self) -> bool:
        local = self.modes()[3]
        return not local & (termios.ICANON | termios.ECHO | termios.ISIG)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def see(self, expected: bytes) -> bytes:
        """What the terminal shows, up to and with `expected`."""
        shown = b""
        deadline = time.monotonic() + DEADLINE
        while expected not in shown:
            ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
            assert ready, shown
            shown += os.read(self.master, 4096)
        return shown

    def ended(self) -> tuple[int, str]:
        """Exit status and stderr. When it first says anything there, the terminal is what it was."""
        assert self.pyro.stderr is not None
        said = self.pyro.stderr.read(1)
        if self.slave >= 0:
            assert self.modes() == self.before
        said += self.pyro.stderr.read()
        return self.pyro.wait(DEADLINE), said.decode()
