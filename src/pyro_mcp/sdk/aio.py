"""`AsyncPyro`: every method of `Pyro`, awaited.

Nothing is declared twice: a method here is the one of `Pyro`, run in a thread of its own. A thread per call and no
pool, because a pool's threads run out: a question about a VM must not wait for five long commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from pyro_mcp.config import Settings
from pyro_mcp.sdk.client import InterruptiblePyro, Pyro
from pyro_mcp.sdk.transport import InterruptedExchange, Interruption

P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    method: Callable[Concatenate[Pyro, P], R],
) -> Callable[Concatenate[AsyncPyro, P], Coroutine[Any, Any, R]]:
    """The method of `Pyro` as one of `AsyncPyro`: same name, parameters and description."""

    @functools.wraps(method)
    async def call(self: AsyncPyro, /, *args: P.args, **kwargs: P.kwargs) -> R:
        in_thread = _ThreadedCall(self._settings)
        # Whatever can be called among the arguments is a callback.
        arguments = {name: in_thread.in_loop(value) if callable(value) else value for name, value in kwargs.items()}
        bound = functools.partial(cast(Callable[..., R], method), in_thread.client, *args, **arguments)
        return await in_thread.run(bound)

    return call


class AsyncPyro:
    """`Pyro` for asyncio. Holds no connection and needs no closing; calls run side by side.

    Cancelling a call breaks the operation off at the daemon; the cancellation is over when all of it is undone there.
    `on_output` and `on_event` are called in the event loop's thread, in order; the next piece is not fetched before
    they return.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` default to the environment variables (see `Settings.from_environment`)."""
        self._settings = settings or Settings.from_environment()

    run_in_vm = _awaited(Pyro.run_in_vm)
    create_vm = _awaited(Pyro.create_vm)
    start_vm = _awaited(Pyro.start_vm)
    exec_vm = _awaited(Pyro.exec_vm)
    stop_vm = _awaited(Pyro.stop_vm)
    delete_vm = _awaited(Pyro.delete_vm)
    status_vm = _awaited(Pyro.status_vm)
    network_info_vm = _awaited(Pyro.network_info_vm)
    reap_expired = _awaited(Pyro.reap_expired)
    list_environments = _awaited(Pyro.list_environments)
    pull_environment = _awaited(Pyro.pull_environment)
    inspect_environment = _awaited(Pyro.inspect_environment)
    prune_environments = _awaited(Pyro.prune_environments)
    create_workspace = _awaited(Pyro.create_workspace)
    list_workspaces = _awaited(Pyro.list_workspaces)
    status_workspace = _awaited(Pyro.status_workspace)
    update_workspace = _awaited(Pyro.update_workspace)
    delete_workspace = _awaited(Pyro.delete_workspace)
    start_workspace = _awaited(Pyro.start_workspace)
    stop_workspace = _awaited(Pyro.stop_workspace)
    reset_workspace = _awaited(Pyro.reset_workspace)
    exec_workspace = _awaited(Pyro.exec_workspace)
    logs_workspace = _awaited(Pyro.logs_workspace)
    push_workspace_sync = _awaited(Pyro.push_workspace_sync)
    export_workspace = _awaited(Pyro.export_workspace)
    diff_workspace = _awaited(Pyro.diff_workspace)
    list_workspace_files = _awaited(Pyro.list_workspace_files)
    read_workspace_file = _awaited(Pyro.read_workspace_file)
    write_workspace_file = _awaited(Pyro.write_workspace_file)
    apply_workspace_patch = _awaited(Pyro.apply_workspace_patch)
    list_workspace_disk = _awaited(Pyro.list_workspace_disk)
    read_workspace_disk = _awaited(Pyro.read_workspace_disk)
    export_workspace_disk = _awaited(Pyro.export_workspace_disk)
    create_snapshot = _awaited(Pyro.create_snapshot)
    list_snapshots = _awaited(Pyro.list_snapshots)
    delete_snapshot = _awaited(Pyro.delete_snapshot)
    open_shell = _awaited(Pyro.open_shell)
    read_shell = _awaited(Pyro.read_shell)
    write_shell = _awaited(Pyro.write_shell)
    signal_shell = _awaited(Pyro.signal_shell)
    resize_shell = _awaited(Pyro.resize_shell)
    attach_shell = _awaited(Pyro.attach_shell)
    close_shell = _awaited(Pyro.close_shell)
    start_service = _awaited(Pyro.start_service)
    list_services = _awaited(Pyro.list_services)
    status_service = _awaited(Pyro.status_service)
    logs_service = _awaited(Pyro.logs_service)
    stop_service = _awaited(Pyro.stop_service)
    daemon_status = _awaited(Pyro.daemon_status)
    stop_daemon = _awaited(Pyro.stop_daemon)


class _ThreadedCall:
    """One call: its thread, the way to break it off, and its callbacks' way back into the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._interruption = Interruption()
        self._interrupted = False
        self.client: Pyro = InterruptiblePyro(self._interruption, settings)

    async def run(self, work: Callable[[], R]) -> R:
        """The result of `work`. A cancellation interrupts it, and goes on when its thread has ended."""
        outcome: Future[R] = Future()
        ended = asyncio.Event()

        def thread() -> None:
            _settle(outcome, work)
            with contextlib.suppress(RuntimeError):  # the loop was closed over our head: nobody waits any more
                self._loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=thread, name="pyro-call", daemon=True).start()
        try:
            await ended.wait()
        except asyncio.CancelledError:
            self._interrupted = True
            self._interruption.set()
            await _in_any_case(ended)
            raise
        finally:
            if ended.is_set():  # else the thread still looks at it
                self._interruption.close()
        return outcome.result()

    def in_loop(self, callback: Callable[..., object]) -> Callable[..., None]:
        """`callback` for use by the thread: called in the loop, waited for, its exception raised in the thread."""

        def called_in_loop(*arguments: object) -> None:
            if self._interrupted:
                raise InterruptedExchange
            callback(*arguments)

        def called_in_thread(*arguments: object) -> None:
            returned: Future[None] = Future()
            self._loop.call_soon_threadsafe(_settle, returned, functools.partial(called_in_loop, *arguments))
            returned.result()

        return called_in_thread


def _settle(future: Future[R], work: Callable[[], R]) -> None:
    """Do `work` and let the future say how it went, to whichever thread asks."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - raised again where the future is asked
        future.set_exception(error)
    else:
        future.set_result(result)


async def _in_any_case(ended: asyncio.Event) -> None:
    """Until the event, however often that is cancelled: the transport bounds how long it takes."""
    while not ended.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await ended.wait()
