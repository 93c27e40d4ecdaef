"""What tests of published ports talk to: run in a guest by Python. Uses the standard library only.

Each port behaves in one way. What it learns that its peer cannot know is a line on stdout, the service's log.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import sys
import threading
from collections.abc import Callable

ECHO, SPEAKS_FIRST, RESETS, NOTICES, GATHERS, IPV6 = range(9001, 9007)
FULL = 256

_arrived = 0
_changed = threading.Condition()


def echo(connection: socket.socket) -> None:
    """Sends everything back, and after the end of that a digest of it."""
    digest = hashlib.sha256()
    while data := connection.recv(65536):
        digest.update(data)
        connection.sendall(data)
    connection.sendall(digest.hexdigest().encode())


def speaks_first(connection: socket.socket) -> None:
    """Ends its own direction at once, and listens on."""
    connection.sendall(b"all that I have to say")
    connection.shutdown(socket.SHUT_WR)
    total = 0
    while data := connection.recv(65536):
        total += len(data)
    say(f"heard {total}")


def resets(connection: socket.socket) -> None:
    """Breaks off as soon as it is spoken to."""
    connection.sendall(b"hello")
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def notices(connection: socket.socket) -> None:
    """Says how its peer has ended."""
    connection.sendall(b"hello")
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        say("reset")
    else:
        say("end")


def gathers(connection: socket.socket) -> None:
    """Answers when as many are there as the first line of each wants, with the second and how many there were."""
    global _arrived
    with connection.makefile("rb") as lines:
        wanted, name = int(lines.readline()), lines.readline().strip()
    with _changed:
        _arrived += 1
        _changed.notify_all()
        _changed.wait_for(lambda: _arrived >= wanted)
    connection.sendall(name)


def serve(port: int, talk: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)

    def one(connection: socket.socket) -> None:
        with connection:
            talk(connection)

    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    threading.stack_size(256 << 10)
    talks = ((ECHO, echo), (SPEAKS_FIRST, speaks_first), (RESETS, resets), (NOTICES, notices), (GATHERS, gathers))
    for port, talk in talks:
        threading.Thread(target=serve, args=(port, talk), daemon=True).start()
    serve(IPV6, echo, "::1")


if __name__ == "__main__":
    main()
