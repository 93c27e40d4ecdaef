"""`AsyncPyro`: the same methods as `Pyro`, and how a call is broken off. The daemon is a script on a socket."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp import AsyncPyro, Pyro
from pyro_mcp.config import Settings
from pyro_mcp.errors import NotFoundError
from pyro_mcp.model.frames import Kind, encode_frame

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
RESULT = HEAD + encode_frame(Kind.RESULT, b'{"vm_id":"vm-1"}')


class Daemon:
    """Answers connections as a test tells it to; what is cancelled is undone when `may_undo` says so."""

    def __init__(self, directory: Path) -> None:
        self.settings = Settings(state_dir=directory, environment_cache_dir=directory, bundle_dir=directory)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.settings.daemon_socket))
        self.listener.listen()
        self.cancelled = threading.Event()
        self.may_undo = threading.Event()

    def answer(self, answer: bytes, *, until_cancelled: bool = False) -> None:
        threading.Thread(target=self._run, args=(answer, until_cancelled), daemon=True).start()

    def hold(self, count: int) -> None:
        """Answer nothing to the first `count` connections until one more has been answered."""
        threading.Thread(target=self._hold, args=(count,), daemon=True).start()

    def _hold(self, count: int) -> None:
        held = [self.listener.accept()[0] for _ in range(count + 1)]
        for connection in reversed(held):
            with connection:
                connection.recv(65536)
                connection.sendall(RESULT)

    def _run(self, answer: bytes, until_cancelled: bool) -> None:
        operation, _ = self.listener.accept()
        with operation:
            operation.recv(65536)
            operation.sendall(answer)
            if until_cancelled:
                cancel, _ = self.listener.accept()
                with cancel:
                    assert cancel.recv(65536).startswith(b"POST /v1/cancel ")
                    self.cancelled.set()
                    self.may_undo.wait(10)
                    cancel.sendall(RESULT)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    script = Daemon(tmp_path)
    yield script
    script.listener.close()


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(method) for name, method in found if not name.startswith("_")}


def test_both_faces_have_the_same_methods_with_the_same_parameters_and_descriptions() -> None:
    assert public_methods(AsyncPyro) == public_methods(Pyro)
    for name in public_methods(Pyro):
        assert inspect.getdoc(getattr(AsyncPyro, name)) == inspect.getdoc(getattr(Pyro, name))
        assert inspect.iscoroutinefunction(getattr(AsyncPyro, name))


async def test_callbacks_run_in_the_loops_thread_in_order_and_before_the_result(daemon: Daemon) -> None:
    frames = [encode_frame(Kind.STDOUT, b"%d" % number) for number in range(100)]
    daemon.answer(HEAD + b"".join(frames) + encode_frame(Kind.RESULT, b'{"x":1}'))
    seen: list[bytes] = []
    threads = set()

    def on_output(_stream: str, data: bytes) -> None:
        threads.add(threading.get_ident())
        seen.append(data)

    result = await AsyncPyro(daemon.settings).run_in_vm(environment="e", command="c", on_output=on_output)

    assert dict(result) == {"x": 1}
    assert seen == [b"%d" % number for number in range(100)]
    assert threads == {threading.get_ident()}


async def test_calls_under_way_hold_up_no_other_however_many_they_are(daemon: Daemon) -> None:
    daemon.hold(100)
    pyro = AsyncPyro(daemon.settings)

    answers = await asyncio.gather(*(pyro.status_vm("vm-1") for _ in range(101)))

    assert len(answers) == 101


async def test_an_error_of_the_daemon_is_raised(daemon: Daemon) -> None:
    error = NotFoundError("no", code="vm-not-found")
    daemon.answer(HEAD + encode_frame(Kind.ERROR, b'{"type":"NotFoundError","error":"no","code":"vm-not-found"}'))

    with pytest.raises(NotFoundError) as raised:
        await AsyncPyro(daemon.settings).status_vm("vm-1")
    assert raised.value.to_payload() == error.to_payload()


async def test_a_cancelled_call_is_broken_off_at_the_daemon_and_ends_when_that_is_undone(daemon: Daemon) -> None:
    daemon.answer(HEAD + encode_frame(Kind.STDOUT, b"started"), until_cancelled=True)
    started = asyncio.Event()
    call = asyncio.create_task(
        AsyncPyro(daemon.settings).run_in_vm(environment="e", command="c", on_output=lambda *_: started.set())
    )
    await started.wait()

    call.cancel()
    assert await asyncio.to_thread(daemon.cancelled.wait, 10)
    call.cancel()  # does not make it leave any earlier
    ended, _ = await asyncio.wait({call}, timeout=0.05)
    assert not ended
    daemon.may_undo.set()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_an_exception_in_a_callback_breaks_the_call_off_and_is_raised(daemon: Daemon) -> None:
    daemon.answer(HEAD + encode_frame(Kind.EVENT, b"{}"), until_cancelled=True)
    daemon.may_undo.set()

    def on_event(_event: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await AsyncPyro(daemon.settings).pull_environment("e", on_event=on_event)
    assert daemon.cancelled.is_set()


async def test_no_callback_is_called_after_a_cancellation(daemon: Daemon) -> None:
    daemon.answer(HEAD + encode_frame(Kind.STDOUT, b"x") * 1000, until_cancelled=True)
    daemon.may_undo.set()
    seen: list[bytes] = []

    def on_output(_stream: str, data: bytes) -> None:
        seen.append(data)
        call.cancel()

    call = asyncio.create_task(AsyncPyro(daemon.settings).run_in_vm(environment="e", command="c", on_output=on_output))
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(seen) <= 2  # the second may be on its way before the cancellation reaches the call
