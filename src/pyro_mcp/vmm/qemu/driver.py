"""The QEMU driver: a planned process, driven through its monitor, watched through its pidfd."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pyro_mcp.errors import HostError, VmmError
from pyro_mcp.host import process, sockets
from pyro_mcp.model.machine import ExecutionMode, Isolation, KernelFormat, MachineSpec, ProcessIdentity
from pyro_mcp.vmm import drives
from pyro_mcp.vmm.driver import DriverInfo, GuestEndpoint, Launcher, VmmPlan
from pyro_mcp.vmm.qemu.plan import BINARY, CONSOLE, CONSOLE_BYTES, plan_qemu
from pyro_mcp.vmm.qemu.qmp import QmpClient

_START_SECONDS = 30.0
_KILL_SECONDS = 10.0
# Reasons of QMP's SHUTDOWN event; every other one means that somebody ended QEMU from outside.
_ENDS = {"guest-shutdown": "guest-shutdown", "guest-reset": "guest-reset", "guest-panic": "guest-reset"}
_VMM_EXIT = "vmm-exit"
# Run states of QMP in which a guest has come to its end.
_ENDED_STATES = {"shutdown", "guest-panicked", "internal-error", "io-error"}


class QemuDriver:
    """Software emulation, on any host."""

    info = DriverInfo(
        name="qemu",
        isolation=Isolation.EMULATED,
        execution_mode=ExecutionMode.GUEST_SERIAL,
        kernel_format=KernelFormat.BZIMAGE,
    )

    def plan(self, spec: MachineSpec, directory: Path, descriptors: Mapping[str, int]) -> VmmPlan:  # noqa: ARG002
        return plan_qemu(spec, descriptors)

    async def boot(self, spec: MachineSpec, directory: Path, launch: Launcher) -> QemuVmm:
        if not BINARY.exists():
            raise HostError(f"{BINARY} is not there", code="qemu-missing", hint="sudo apt-get install qemu-system-x86")
        with ExitStack() as paths:
            identity = await self._launch(spec, directory, paths, launch)
            return await self._control(spec, directory, identity, paths.pop_all(), launch)

    async def attach(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, launcher: Launcher
    ) -> QemuVmm:
        paths = ExitStack()
        for path in _sockets(directory).values():
            paths.callback(path.unlink, missing_ok=True)
        vmm = await self._control(spec, directory, identity, paths, launcher)
        await vmm.notice_end()
        return vmm

    async def _control(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, paths: ExitStack, launcher: Launcher
    ) -> QemuVmm:
        """The process as a machine, once its monitor answers; if that fails it is ended."""
        endpoints = _sockets(directory)
        vmm = QemuVmm(identity, GuestEndpoint("serial", endpoints["agent"], drives.devices(spec)), paths)
        try:
            await vmm.take_control(endpoints["qmp"])
        except BaseException as error:
            await vmm.stop()
            if isinstance(error, VmmError):
                raise launcher.explain(error) from error
            raise
        return vmm

    async def _launch(self, spec: MachineSpec, directory: Path, paths: ExitStack, launch: Launcher) -> ProcessIdentity:
        """Bind the sockets, start QEMU with them; `paths` takes over their removal."""
        with ExitStack() as listening:
            listeners: dict[str, socket.socket] = {}
            for name, path in _sockets(directory).items():
                listeners[name] = listening.enter_context(sockets.listen(path))
                paths.callback(path.unlink, missing_ok=True)
            descriptors = {name: listener.fileno() for name, listener in listeners.items()}
            plan = self.plan(spec, directory, descriptors)
            return await launch(plan, tuple(listeners.values()))


def _sockets(directory: Path) -> dict[str, Path]:
    return {"agent": directory / "agent.sock", "qmp": directory / "qmp.sock"}


class QemuVmm:
    """A QEMU process. Owns its monitor session and the sockets in the machine's directory."""

    def __init__(self, identity: ProcessIdentity, endpoint: GuestEndpoint, paths: ExitStack) -> None:
        self.identity = identity
        self.endpoint = endpoint
        self._paths = paths
        self._qmp: QmpClient | None = None
        self._console = bytearray()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(), name="vmm-watch")

    async def take_control(self, monitor: Path) -> None:
        """Wait until QEMU's main loop answers at its monitor. Raises VmmError, also when it ended instead."""
        self._qmp = await QmpClient.connect(monitor, self._on_event, deadline=_START_SECONDS)

    async def notice_end(self) -> None:
        """Find out whether the guest ended before we listened for events. Raises VmmError."""
        status = await self._execute("query-status")
        if isinstance(status, dict) and status.get("status") in _ENDED_STATES:
            self._ended("guest-shutdown")

    async def pause(self) -> None:
        await self._execute("stop")

    async def resume(self) -> None:
        await self._execute("cont")

    async def console(self) -> str:
        # Reading takes it out of the ring, so what was read is kept here, as long as the ring would have kept it.
        text = await self._execute("ringbuf-read", {"device": CONSOLE, "size": CONSOLE_BYTES, "format": "base64"})
        try:
            self._console += base64.b64decode(str(text), validate=True)
        except ValueError as error:
            raise VmmError("QEMU sent a console that is not base64", code="vmm-protocol") from error
        del self._console[:-CONSOLE_BYTES]
        return self._console.decode("utf-8", "replace")

    async def wait(self) -> str:
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        if self._qmp is not None:
            await self._qmp.close()
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await process.kill_and_wait(self.identity)
        except TimeoutError as error:
            raise VmmError(f"QEMU (pid {self.identity.pid}) survives SIGKILL", code="vmm-stuck") from error
        self._ended(_VMM_EXIT)
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._paths.close()

    async def _execute(self, command: str, arguments: Mapping[str, object] | None = None) -> object:
        assert self._qmp is not None, "take_control comes first"
        return await self._qmp.execute(command, arguments)

    async def _watch(self) -> None:
        descriptor = process.open_pidfd(self.identity)
        if descriptor is not None:
            try:
                await process.wait_gone(descriptor)
            finally:
                os.close(descriptor)
        self._ended(_VMM_EXIT)

    def _on_event(self, name: str, data: Mapping[str, object]) -> None:
        if name == "SHUTDOWN":
            self._ended(_ENDS.get(str(data.get("reason")), _VMM_EXIT))

    def _ended(self, how: str) -> None:
        if not self._end.done():
            self._end.set_result(how)
