"""The Firecracker driver: a planned process, configured through its API, watched through its pidfd."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
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
from pyro_mcp.vmm.firecracker import api
from pyro_mcp.vmm.firecracker.plan import API_SOCKET, DOORBELL, ROOM, VSOCK_SOCKET, configuration, plan_firecracker
from pyro_mcp.vmm.process import GUEST_RESET, VMM_EXIT, VmmProcess, or_stopped

_START_SECONDS = 30.0
# Firecracker says this once its API can be reached, and the other when it ends because its guest did.
_LISTENING = "Listening on API socket"
_ENDED_BY_GUEST = "Firecracker exiting successfully"
_LAST_CHARACTERS = 500
_OWN_WORDS = re.compile(r"^\S+ \[anonymous-instance:\w+\] .*\n?", re.MULTILINE)


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

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._binary,)

    def plan(self, spec: MachineSpec, directory: Path, descriptors: Mapping[str, int], start: Start) -> VmmPlan:
        del descriptors  # it finds them by the numbers in its requests
        return plan_firecracker(spec, self._binary, directory, start)

    async def boot(
        self, spec: MachineSpec, directory: Path, launch: Launcher, *, savable: bool = False
    ) -> FirecrackerVmm:
        if savable:
            for name in (SAVED_MEMORY, SAVED_STATE):
                (directory / name).touch(mode=0o600, exist_ok=False)
        start = Start.SAVABLE if savable else Start.COLD
        return await self._start(spec, directory, launch, start, (), (*configuration(spec), api.START))

    async def restore(self, spec: MachineSpec, directory: Path, launch: Launcher, saved: Saved) -> FirecrackerVmm:
        load = api.LOAD(
            snapshot_path=f"/proc/self/fd/{saved.state}",
            mem_backend={"backend_type": "File", "backend_path": f"/proc/self/fd/{saved.memory}"},
            resume_vm=False,
        )
        inherited = (saved.memory, saved.state)
        return await self._start(spec, directory, launch, Start.RESTORED, inherited, (load, api.RESUME))

    async def _start(
        self,
        spec: MachineSpec,
        directory: Path,
        launch: Launcher,
        start: Start,
        inherited: Sequence[int],
        requests: Sequence[api.Request],
    ) -> FirecrackerVmm:
        """A process in a room of its own, and `requests`, the last of which lets its guest run."""
        if not self._binary.exists():
            raise HostError(f"{self._binary} is not there", code="vmm-unavailable", hint="set PYRO_VMM=qemu")
        room = directory / ROOM
        with ExitStack() as made:
            room.mkdir(mode=0o700)
            made.callback(_remove, room)
            doorbell = made.enter_context(_doorbell(room))
            identity = await launch(self.plan(spec, directory, {}, start), inherited)
            vmm = FirecrackerVmm(identity, _endpoint(spec, room, doorbell), launch, made.pop_all())
        async with or_stopped(vmm, launch):
            await vmm.wait_for_api()
            for request in requests[:-1]:
                await vmm.send(request)
            # Its sockets are made. From here on, and so before its guest runs, it can make nothing anywhere: a VMM that
            # its guest took over could fill the host's disk otherwise. Its system-call filter has no chmod.
            room.chmod(0o500)
            await vmm.send(requests[-1])
        return vmm

    async def attach(
        self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, launcher: Launcher
    ) -> FirecrackerVmm:
        room = directory / ROOM
        with ExitStack() as made:
            made.callback(_remove, room)
            # Its guest has rung long ago.
            vmm = FirecrackerVmm(identity, _endpoint(spec, room, None), launcher, made.pop_all())
        async with or_stopped(vmm, launcher):
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
        self._paused = False
        self._process = VmmProcess("Firecracker", identity, made, on_exit=self._how_it_ended)

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

    async def pause(self) -> None:
        if not self._paused:
            await self.send(api.PAUSE)
            self._paused = True

    async def resume(self) -> None:
        if self._paused:
            await self.send(api.RESUME)
            self._paused = False

    async def save(self) -> None:
        await self.pause()
        await self.send(api.SAVE(snapshot_type="Full", snapshot_path=SAVED_STATE, mem_file_path=SAVED_MEMORY))

    async def console(self) -> str:
        # The guest's serial port comes out among Firecracker's own words.
        return _OWN_WORDS.sub("", self._launcher.process_log())

    async def wait(self) -> str:
        return await self._process.wait()

    async def stop(self) -> None:
        await self._process.stop()

    def _how_it_ended(self) -> str:
        """A shutdown and a panic are resets as well: Firecracker knows no other end.

        The line is only its word, and the guest writes to the same place; but nothing is decided by it.
        """
        last = self._launcher.process_log()[-_LAST_CHARACTERS:]
        return GUEST_RESET if _ENDED_BY_GUEST in last else VMM_EXIT
