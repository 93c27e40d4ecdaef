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
from pyro_mcp.host import sockets
from pyro_mcp.model.machine import ExecutionMode, Isolation, KernelFormat, MachineSpec, ProcessIdentity
from pyro_mcp.vmm import drives
from pyro_mcp.vmm.driver import (
    SAVED_MEMORY,
    SAVED_STATE,
    DriverInfo,
    GuestEndpoint,
    Launcher,
    Saved,
    Start,
    VmmPlan,
)
from pyro_mcp.vmm.process import GUEST_RESET, GUEST_SHUTDOWN, VMM_EXIT, VmmProcess, or_stopped
from pyro_mcp.vmm.qemu.plan import BINARY, CONSOLE, CONSOLE_BYTES, FIRMWARE, KERNEL_HEAD, KERNEL_HEAD_BYTES, plan_qemu
from pyro_mcp.vmm.qemu.qmp import QmpClient

_START_SECONDS = 30.0
_MIGRATION_SECONDS = 120.0
_MIB = 1 << 20
# Reasons of QMP's SHUTDOWN event; every other one means that somebody ended QEMU from outside.
_ENDS = {"guest-shutdown": GUEST_SHUTDOWN, "guest-reset": GUEST_RESET, "guest-panic": GUEST_RESET}
# Run states of QMP in which a guest has come to its end.
_ENDED_STATES = {"shutdown", "guest-panicked", "internal-error", "io-error"}
# Memory that is a file is not part of the device state; the end of a migration is announced, not asked for.
_MIGRATION = {"capabilities": [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]}


class QemuDriver:
    """Software emulation, on any host."""

    info = DriverInfo(
        name="qemu",
        isolation=Isolation.EMULATED,
        execution_mode=ExecutionMode.GUEST_SERIAL,
        kernel_format=KernelFormat.BZIMAGE,
    )

    @property
    def files(self) -> tuple[Path, ...]:
        return BINARY, *FIRMWARE

    def plan(self, spec: MachineSpec, directory: Path, descriptors: Mapping[str, int], start: Start) -> VmmPlan:
        return plan_qemu(spec, directory, descriptors, start)

    async def boot(self, spec: MachineSpec, directory: Path, launch: Launcher, *, savable: bool = False) -> QemuVmm:
        if not savable:
            return await self._start(spec, directory, launch, Start.COLD, {})
        _make_file(directory / SAVED_MEMORY, spec.mem_mib * _MIB)
        vmm = await self._start(spec, directory, launch, Start.SAVABLE, {})
        vmm.saved_state = directory / SAVED_STATE
        return vmm

    async def restore(self, spec: MachineSpec, directory: Path, launch: Launcher, saved: Saved) -> QemuVmm:
        head = directory / KERNEL_HEAD
        try:
            _write_head(spec.kernel, head)
            vmm = await self._start(spec, directory, launch, Start.RESTORED, {"memory": saved.memory})
        finally:
            head.unlink(missing_ok=True)  # what answers at its monitor has read it
        async with or_stopped(vmm, launch):
            await vmm.load(saved.state)
        return vmm

    async def attach(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, launcher: Launcher
    ) -> QemuVmm:
        paths = ExitStack()
        for path in _sockets(directory).values():
            paths.callback(path.unlink, missing_ok=True)
        vmm = await self._control(spec, directory, identity, paths, launcher)
        await vmm.notice_end()
        return vmm

    async def _start(
        self, spec: MachineSpec, directory: Path, launch: Launcher, start: Start, files: Mapping[str, int]
    ) -> QemuVmm:
        if not BINARY.exists():
            raise HostError(f"{BINARY} is not there", code="qemu-missing", hint="sudo apt-get install qemu-system-x86")
        with ExitStack() as paths, ExitStack() as listening:
            listeners: dict[str, socket.socket] = {}
            for name, path in _sockets(directory).items():
                listeners[name] = listening.enter_context(sockets.listen(path))
                paths.callback(path.unlink, missing_ok=True)
            descriptors = {name: listener.fileno() for name, listener in listeners.items()} | dict(files)
            identity = await launch(self.plan(spec, directory, descriptors, start), tuple(descriptors.values()))
            listening.close()
            return await self._control(spec, directory, identity, paths.pop_all(), launch)

    async def _control(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, paths: ExitStack, launcher: Launcher
    ) -> QemuVmm:
        """The process as a machine, once its monitor answers; if that fails it is ended."""
        endpoints = _sockets(directory)
        vmm = QemuVmm(identity, GuestEndpoint("serial", endpoints["agent"], drives.devices(spec)), paths)
        async with or_stopped(vmm, launcher):
            await vmm.take_control(endpoints["qmp"])
        return vmm


def _sockets(directory: Path) -> dict[str, Path]:
    return {"agent": directory / "agent.sock", "qmp": directory / "qmp.sock"}


def _make_file(path: Path, size: int) -> None:
    with path.open("xb") as file:
        file.truncate(size)


def _write_head(kernel: Path, head: Path) -> None:
    with kernel.open("rb") as file:
        head.write_bytes(file.read(KERNEL_HEAD_BYTES))
    head.chmod(0o644)


def _reopen(file: int, held: ExitStack) -> int:
    """A descriptor with a position of its own, which `held` closes."""
    again = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
    held.callback(os.close, again)
    return again


class QemuVmm:
    """A QEMU process. Owns its monitor session and the sockets in the machine's directory."""

    def __init__(self, identity: ProcessIdentity, endpoint: GuestEndpoint, paths: ExitStack) -> None:
        self.identity = identity
        self.endpoint = endpoint
        self.saved_state: Path | None = None
        """Where it is saved to, if it was booted savable."""
        self._process = VmmProcess("QEMU", identity, paths)
        self._qmp: QmpClient | None = None
        self._console = bytearray()
        self._migrated: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def take_control(self, monitor: Path) -> None:
        """Wait until QEMU's main loop answers at its monitor. Raises VmmError, also when it ended instead."""
        self._qmp = await QmpClient.connect(monitor, self._on_event, deadline=_START_SECONDS)

    async def notice_end(self) -> None:
        """Find out whether the guest ended before we listened for events. Raises VmmError."""
        status = await self._execute("query-status")
        if isinstance(status, dict) and status.get("status") in _ENDED_STATES:
            self._process.ended(GUEST_SHUTDOWN)

    async def load(self, state: int) -> None:
        """Take over the devices' state that the file `state` holds, and run."""
        with ExitStack() as held:
            await self._migrate("migrate-incoming", _reopen(state, held))
        await self.resume()

    async def save(self) -> None:
        assert self.saved_state is not None, "only a machine that was booted savable can be saved"
        await self.pause()
        with self.saved_state.open("xb", buffering=0) as file:
            await self._migrate("migrate", file.fileno())

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
        return await self._process.wait()

    async def stop(self) -> None:
        if self._qmp is not None:
            await self._qmp.close()
        await self._process.stop()

    async def _migrate(self, command: str, descriptor: int) -> None:
        """Move the devices' state through `descriptor`."""
        await self._execute("migrate-set-capabilities", _MIGRATION)
        await self._execute("getfd", {"fdname": SAVED_STATE}, descriptor=descriptor)
        await self._execute(command, {"uri": f"fd:{SAVED_STATE}"})
        outcome = asyncio.create_task(self._outcome())
        ended = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({outcome, ended}, timeout=_MIGRATION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not outcome.done():
                raise VmmError(f"QEMU did not finish {command}", code="vmm-gone" if ended.done() else "vmm-silent")
            if not outcome.result():
                raise VmmError(f"QEMU failed to {command}", code="vmm-failed")
        finally:
            outcome.cancel()
            ended.cancel()

    async def _outcome(self) -> bool:
        return await asyncio.shield(self._migrated)

    async def _execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, descriptor: int | None = None
    ) -> object:
        assert self._qmp is not None, "take_control comes first"
        return await self._qmp.execute(command, arguments, descriptor=descriptor)

    def _on_event(self, name: str, data: Mapping[str, object]) -> None:
        if name == "SHUTDOWN":
            self._process.ended(_ENDS.get(str(data.get("reason")), VMM_EXIT))
        elif name == "MIGRATION" and data.get("status") in ("completed", "failed") and not self._migrated.done():
            self._migrated.set_result(data.get("status") == "completed")
