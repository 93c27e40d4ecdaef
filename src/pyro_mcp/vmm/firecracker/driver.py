"""The Firecracker driver: a planned process, configured through its API, watched through its pidfd."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from pyro_mcp.errors import HostError, VmmError
from pyro_mcp.host import process, sockets
from pyro_mcp.model.machine import ExecutionMode, Isolation, KernelFormat, MachineSpec, ProcessIdentity
from pyro_mcp.vmm import drives
from pyro_mcp.vmm.driver import DriverInfo, GuestEndpoint, Launcher, VmmPlan
from pyro_mcp.vmm.firecracker import api
from pyro_mcp.vmm.firecracker.plan import API_SOCKET, DOORBELL, ROOM, VSOCK_SOCKET, configuration, plan_firecracker

_START_SECONDS = 30.0
_KILL_SECONDS = 10.0
# Firecracker says this once its API can be reached, and the other when it ends because its guest did.
_LISTENING = "Listening on API socket"
_ENDED_BY_GUEST = "Firecracker exiting successfully"
_LAST_CHARACTERS = 500
_OWN_WORDS = re.compile(r"^\S+ \[anonymous-instance:\w+\] .*\n?", re.MULTILINE)
_GUEST_RESET = "guest-reset"
_VMM_EXIT = "vmm-exit"


class FirecrackerDriver:
    """Microvms on KVM. `binary` is the Firecracker to run."""

    info = DriverInfo(
        name="firecracker",
        isolation=Isolation.KVM,
        execution_mode=ExecutionMode.GUEST_VSOCK,
        kernel_format=KernelFormat.ELF,
    )

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    def plan(self, spec: MachineSpec, directory: Path, descriptors: Mapping[str, int]) -> VmmPlan:  # noqa: ARG002 - none
        return plan_firecracker(spec, self._binary, directory)

    async def boot(self, spec: MachineSpec, directory: Path, launch: Launcher) -> FirecrackerVmm:
        if not self._binary.exists():
            raise HostError(f"{self._binary} is not there", code="vmm-unavailable", hint="set PYRO_VMM=qemu")
        room = directory / ROOM
        with ExitStack() as made:
            room.mkdir(mode=0o700)
            made.callback(_remove, room)
            doorbell = made.enter_context(_doorbell(room))
            identity = await launch(self.plan(spec, directory, {}), ())
            vmm = FirecrackerVmm(identity, _endpoint(spec, room, doorbell), launch, made.pop_all())
        async with vmm.or_stopped():
            await vmm.wait_for_api()
            for request in configuration(spec):
                await vmm.send(request)
            # Its sockets are made. From here on, and so before its guest runs, it can make nothing anywhere: a VMM that
            # its guest took over could fill the host's disk otherwise. Its system-call filter has no chmod.
            room.chmod(0o500)
            await vmm.send(api.START)
        return vmm

    async def attach(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, launcher: Launcher
    ) -> FirecrackerVmm:
        room = directory / ROOM
        with ExitStack() as made:
            made.callback(_remove, room)
            # Its guest has rung long ago.
            vmm = FirecrackerVmm(identity, _endpoint(spec, room, None), launcher, made.pop_all())
        async with vmm.or_stopped():
            await vmm.notice_state()
        return vmm


def _doorbell(room: Path) -> socket.socket:
    """Where the guest's agent rings once it can be reached: until then Firecracker refuses every connection to it."""
    listener = sockets.listen(room / DOORBELL)
    listener.setblocking(False)
    (room / DOORBELL).chmod(0o666)  # Firecracker connects, as whom it may run; the room keeps all others out
    return listener


def _endpoint(spec: MachineSpec, room: Path, doorbell: socket.socket | None) -> GuestEndpoint:
    return GuestEndpoint("vsock", room / VSOCK_SOCKET, drives.devices(spec), doorbell)


def _remove(room: Path) -> None:
    with suppress(FileNotFoundError):
        room.chmod(0o700)
        shutil.rmtree(room)


class FirecrackerVmm:
    """A Firecracker process. Owns its room in the machine's directory."""

    def __init__(self, identity: ProcessIdentity, endpoint: GuestEndpoint, launcher: Launcher, made: ExitStack) -> None:
        self.identity = identity
        self.endpoint = endpoint
        self._launcher = launcher
        self._made = made
        self._paused = False
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch(), name="vmm-watch")

    async def wait_for_api(self) -> None:
        """Wait until the API can be reached. Raises VmmError, also when Firecracker ended instead."""
        printed = asyncio.ensure_future(self._launcher.printed(_LISTENING))
        waiting = {printed, asyncio.ensure_future(self.wait())}
        try:
            done, _ = await asyncio.wait(waiting, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if not done:
            raise VmmError(f"Firecracker did not start within {_START_SECONDS:g} s", code="vmm-silent")
        if printed not in done:
            raise VmmError("Firecracker ended before it could be configured", code="vmm-gone")

    async def notice_state(self) -> None:
        """Find out how an earlier daemon left the machine. Raises VmmError."""
        self._paused = (await self.send(api.DESCRIBE)).get("state") == "Paused"

    async def send(self, request: api.Request) -> Mapping[str, object]:
        """What Firecracker answers. Raises VmmError."""
        return await api.send(self.endpoint.path.with_name(API_SOCKET), request)

    @asynccontextmanager
    async def or_stopped(self) -> AsyncIterator[None]:
        """If the block fails, the machine is stopped, and a VmmError explained by what Firecracker printed."""
        try:
            yield
        except BaseException as error:
            await self.stop()
            if isinstance(error, VmmError):
                raise self._launcher.explain(error) from error
            raise

    async def pause(self) -> None:
        if not self._paused:
            await self.send(api.PAUSE)
            self._paused = True

    async def resume(self) -> None:
        if self._paused:
            await self.send(api.RESUME)
            self._paused = False

    async def console(self) -> str:
        # The guest's serial port comes out among Firecracker's own words.
        return _OWN_WORDS.sub("", self._launcher.process_log())

    async def wait(self) -> str:
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await process.kill_and_wait(self.identity)
        except TimeoutError as error:
            raise VmmError(f"Firecracker (pid {self.identity.pid}) survives SIGKILL", code="vmm-stuck") from error
        self._ended(_VMM_EXIT)
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
        # A shutdown and a panic are resets as well: Firecracker knows no other end. The line is only its word, and the
        # guest writes to the same place; but nothing is decided by it.
        last = self._launcher.process_log()[-_LAST_CHARACTERS:]
        self._ended(_GUEST_RESET if _ENDED_BY_GUEST in last else _VMM_EXIT)

    def _ended(self, how: str) -> None:
        if not self._end.done():
            self._end.set_result(how)
