"""No VMM: the agent as a process of the host, for hosts where no VMM runs and whoever asks for it.

It gives no isolation at all. It is never chosen by itself (`engine/vmms.py`), and knows one-shot commands only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from resource import RLIM_INFINITY

from pyro_mcp.errors import HostError, VmmError
from pyro_mcp.host import process, sockets, strays
from pyro_mcp.model.machine import ExecutionMode, Isolation, KernelFormat, MachineSpec, ProcessIdentity
from pyro_mcp.vmm.driver import DriverInfo, GuestEndpoint, Launcher, Saved, Start, VmmPlan
from pyro_mcp.vmm.process import VmmProcess

_SOCKET = "agent.sock"
_BACKLOG = 16


class HostcompatDriver:
    """Runs the agent itself, which stands in the kernel's place in the spec."""

    info = DriverInfo(
        name="hostcompat",
        isolation=Isolation.NONE,
        execution_mode=ExecutionMode.HOST_COMPAT,
        kernel_format=KernelFormat.NONE,
    )

    files = ()

    def plan(
        self,
        spec: MachineSpec,
        directory: Path,  # noqa: ARG002 - it is told at launch
        descriptors: Mapping[str, int],
        start: Start,  # noqa: ARG002 - there is one way
    ) -> VmmPlan:
        return VmmPlan(
            argv=(str(spec.kernel), "host", str(descriptors["agent"])),
            binds=(),
            max_file_bytes=RLIM_INFINITY,
            address_space_bytes=RLIM_INFINITY,
        )

    async def boot(self, spec: MachineSpec, directory: Path, launch: Launcher, *, savable: bool = False) -> HostProcess:
        if savable:
            raise _unsupported("saved")
        path = directory / _SOCKET
        try:
            # The socket takes connections before the agent does: there is nothing to wait for.
            with sockets.listen(path, _BACKLOG) as listener:
                plan = self.plan(spec, directory, {"agent": listener.fileno()}, Start.COLD)
                identity = await launch(plan, (listener.fileno(),))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return HostProcess(identity, directory, launch)

    async def restore(self, spec: MachineSpec, directory: Path, launch: Launcher, saved: Saved) -> HostProcess:  # noqa: ARG002
        raise _unsupported("restored")

    async def attach(
        self,
        spec: MachineSpec,  # noqa: ARG002 - the process is all there is
        directory: Path,
        identity: ProcessIdentity,
        launcher: Launcher,
    ) -> HostProcess:
        host = HostProcess(identity, directory, launcher)
        if (descriptor := process.open_pidfd(identity)) is None:
            await host.stop()
            raise VmmError("the agent on this host is gone", code="vmm-gone")
        os.close(descriptor)
        return host


class HostProcess:
    """An agent on the host (`vmm.driver.Vmm`). Owns all that it started, and its socket in the machine's directory."""

    def __init__(self, identity: ProcessIdentity, directory: Path, launcher: Launcher) -> None:
        self.identity = identity
        self.endpoint = GuestEndpoint("unix", directory / _SOCKET, {})
        self._directory = directory
        self._launcher = launcher
        made = ExitStack()
        made.callback(self.endpoint.path.unlink, missing_ok=True)
        self._process = VmmProcess("the agent on this host", identity, made)

    async def pause(self) -> None:
        raise _unsupported("paused")

    async def resume(self) -> None:
        raise _unsupported("resumed")

    async def save(self) -> None:
        raise _unsupported("saved")

    async def console(self) -> str:
        return self._launcher.process_log()

    async def wait(self) -> str:
        return await self._process.wait()

    async def stop(self) -> None:
        try:
            # While the agent lives, all that it started can be found.
            await strays.end_marked(self._directory.parent, lambda name: name == self._directory.name)
        except HostError as error:
            raise VmmError(error.message, code="vmm-stuck") from error
        await self._process.stop()


def _unsupported(what: str) -> VmmError:
    return VmmError(f"what runs on the host itself cannot be {what}", code="vmm-unsupported")
