"""The process behind a machine: its end, whoever causes it, is seen once and said once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from pyro_mcp.errors import VmmError
from pyro_mcp.host import process
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.vmm.driver import Launcher, Vmm

GUEST_SHUTDOWN = "guest-shutdown"
GUEST_RESET = "guest-reset"
VMM_EXIT = "vmm-exit"

_KILL_SECONDS = 10.0


class VmmProcess:
    """Watches a VMM from now on. Owns what `made` holds: sockets and directories, gone with the process."""

    def __init__(
        self, name: str, identity: ProcessIdentity, made: ExitStack, *, on_exit: Callable[[], str] = lambda: VMM_EXIT
    ) -> None:
        """`name` is for people. `on_exit` tells, of a process that is gone, how its machine ended (`Vmm.wait`)."""
        self.identity = identity
        self._name = name
        self._made = made
        self._on_exit = on_exit
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(), name="vmm-watch")

    def ended(self, how: str) -> None:
        """The machine has come to its end; the first word counts."""
        if not self._end.done():
            self._end.set_result(how)

    async def wait(self) -> str:
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        """Kill it, wait until it is gone, give back what it owned. Idempotent. Raises VmmError `vmm-stuck`."""
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await process.kill_and_wait(self.identity)
        except TimeoutError as error:
            raise VmmError(f"{self._name} (pid {self.identity.pid}) survives SIGKILL", code="vmm-stuck") from error
        self.ended(VMM_EXIT)
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._made.close()

    async def _watch(self) -> None:
        descriptor = process.open_pidfd(self.identity)
        if descriptor is not None:
            try:
                await process.wait_gone(descriptor)
            finally:
                os.close(descriptor)
        self.ended(self._on_exit())


@asynccontextmanager
async def or_stopped(vmm: Vmm, launcher: Launcher) -> AsyncIterator[None]:
    """If the block fails, the machine is stopped, and a VmmError explained by what its process printed."""
    try:
        yield
    except BaseException as error:
        await vmm.stop()
        if isinstance(error, VmmError):
            raise launcher.explain(error) from error
        raise
