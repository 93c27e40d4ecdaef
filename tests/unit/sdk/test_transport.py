"""One exchange with a daemon, also with one that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from pyro_mcp.errors import DaemonError, NotFoundError
from pyro_mcp.model.frames import Kind, encode_frame
from pyro_mcp.sdk.transport import Exchange, NobodyThereError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-pyro-frames\r\n\r\n"
RESULT = encode_frame(Kind.RESULT, b'{"x":1}')

Serve = Callable[..., Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A server that answers each connection in turn with the bytes given for it, whatever it is asked."""
    threads = []
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "daemon.sock"
    listener.bind(str(path))
    listener.listen()
    received: list[bytes] = []

    def start(*answers: bytes) -> Path:
        def run() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return path

    start.received = received  # type: ignore[attr-defined]
    yield start
    for thread in threads:
        thread.join(10)
    listener.close()


def call(path: Path) -> tuple[dict[str, object], list[object]]:
    seen: list[object] = []
    result = Exchange(path, "fp").call("x", {"a": 1}, seen.append, lambda stream, data: seen.append((stream, data)))
    return result, seen


def test_output_and_events_arrive_in_order_before_the_result(serve: Serve) -> None:
    body = encode_frame(Kind.EVENT, b'{"e":1}') + encode_frame(Kind.STDOUT, b"\xff") + encode_frame(Kind.STDERR, b"")
    result, seen = call(serve(HEAD + body + RESULT))

    assert result == {"x": 1}
    assert seen == [{"e": 1}, ("stdout", b"\xff"), ("stderr", b"")]


def test_an_error_frame_is_raised_as_the_error_it_was(serve: Serve) -> None:
    error = NotFoundError("no", code="vm-not-found", hint="h")
    with pytest.raises(NotFoundError) as raised:
        call(serve(HEAD + encode_frame(Kind.ERROR, json.dumps(error.to_wire()).encode())))
    assert raised.value.to_payload() == error.to_payload()


def test_an_answer_without_a_head_means_that_nothing_was_done(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(NobodyThereError):
        call(serve(b""))
    with pytest.raises(NobodyThereError):
        call(tmp_path / "nobody.sock")
    with pytest.raises(NobodyThereError):
        call(tmp_path / "nowhere" / "daemon.sock")


@pytest.mark.parametrize("cut", [0, 3, len(RESULT) - 1])
def test_an_answer_that_ends_early_is_a_lost_daemon(serve: Serve, cut: int) -> None:
    with pytest.raises(DaemonError) as raised:
        call(serve(HEAD + RESULT[:cut]))
    assert raised.value.code == "daemon-lost"
    assert not isinstance(raised.value, NobodyThereError)


@pytest.mark.parametrize("answer", [HEAD + b"\x63\0\0\0\0", HEAD + b"\x01\xff\xff\xff\xff", b"HTTP/1.1 500 No\r\n\r\n"])
def test_something_else_than_frames_is_named(serve: Serve, answer: bytes) -> None:
    with pytest.raises(DaemonError) as raised:
        call(serve(answer))
    assert raised.value.code == "daemon-protocol"


def test_an_interruption_cancels_the_very_request_at_the_daemon(serve: Serve) -> None:
    path = serve(HEAD + encode_frame(Kind.EVENT, b"{}"), HEAD + RESULT)

    def interrupt(_event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Exchange(path, "fp").call("run_in_vm", {}, interrupt, lambda *_: None)

    first, cancel = serve.received  # type: ignore[attr-defined]
    identifier = next(line for line in first.decode().splitlines() if line.startswith("Pyro-Request")).split()[1]
    assert cancel.startswith(b"POST /v1/cancel ")
    assert json.loads(cancel.split(b"\r\n\r\n")[1])["arguments"] == {"request_id": identifier}


class Ended(BaseException):
    pass


def test_a_signal_that_does_not_break_into_a_wait_is_acted_upon_all_the_same(tmp_path: Path) -> None:
    """As one does that comes between Python's last look and the wait: here another thread is who gets it."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Ended

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(HEAD + encode_frame(Kind.STDOUT, b"begun"))
            begun.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
            listener.accept()[0].close()  # the cancellation

    begun = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "daemon.sock"))
        listener.listen()
        known = signal.signal(signal.SIGUSR1, end)
        thread = threading.Thread(target=answer)
        thread.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        try:
            with pytest.raises(Ended):
                Exchange(tmp_path / "daemon.sock", "fp").call("x", {}, print, lambda *_: begun.set())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
            signal.signal(signal.SIGUSR1, known)
        thread.join()
