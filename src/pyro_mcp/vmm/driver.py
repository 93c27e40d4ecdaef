"""The seam between `machines/` and a VMM: few verbs, and features as data.

Call order: `plan` (pure) → `boot` or `restore` → any of `pause`, `resume`, `save`, `console`, `wait` → `stop`. `stop`
must succeed on a machine that is already gone. Nobody asks for a driver's name to decide anything: ask `info`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from pyro_mcp.errors import PyroError, VmmError
from pyro_mcp.model.machine import (
    Bind,
    ExecutionMode,
    Isolation,
    KernelFormat,
    MachineSpec,
    ProcessIdentity,
)


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """What a driver is and can do."""

    name: str
    isolation: Isolation
    execution_mode: ExecutionMode
    kernel_format: KernelFormat
    """What `MachineSpec.kernel` must be for it."""

    @property
    def on_host(self) -> bool:
        """Whether there is no machine: commands run on the host itself, and need no environment."""
        return self.isolation is Isolation.NONE


@dataclass(frozen=True, slots=True)
class GuestEndpoint:
    """How to reach the guest's agent, and under which device each disk is found in there.

    `carrier` is `"serial"` (one connection to `path` carries the multiplexer of protocol/README.md), `"vsock"` or
    `"unix"` (the agent itself listens at `path`).
    `devices` maps `Disk.name` to a device node such as `/dev/vda`. `doorbell`, where there is one, gets a connection
    once the agent can be reached; before that `path` refuses. It listens, does not block and belongs to the machine.
    """

    carrier: str
    path: Path
    devices: Mapping[str, str]
    doorbell: socket.socket | None = None


class Start(Enum):
    """How a machine comes to life."""

    COLD = auto()
    """By booting its kernel."""
    SAVABLE = auto()
    """By booting its kernel, so that it can be saved later: slower, and its memory is a file."""
    RESTORED = auto()
    """From a `Saved` one."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A machine that was saved from an equal spec: descriptors of its memory and of the state of its devices.

    They stay the caller's and must not change any more; any number of machines may be restored from them, each with a
    private view of the memory.
    """

    memory: int
    state: int


SAVED_MEMORY = "memory"
SAVED_STATE = "state"
"""What `Vmm.save` leaves in the machine's directory."""


@dataclass(frozen=True, slots=True)
class VmmPlan:
    """A VMM process to be. Paths in `argv` are those inside the jail; descriptor numbers are those it inherits."""

    argv: tuple[str, ...]
    binds: tuple[Bind, ...]
    max_file_bytes: int
    """Largest file the process may write (RLIMIT_FSIZE)."""
    address_space_bytes: int
    """Bound on its virtual memory (RLIMIT_AS): guest memory plus what the VMM itself needs, generously."""
    devices: tuple[Path, ...] = ()
    """Device nodes of the host that it opens by their own names. What is bound to be written is made its user's own."""


class Launcher(Protocol):
    """Starts a planned VMM inside the jail. `machines/` supplies it; a driver calls it once per boot or restore."""

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        """Spawn the process; it inherits the descriptors `inherited` under their own numbers.

        Returns the identity of the process whose death is the machine's death (all others go with it). Raises VmmError
        or HostError; nothing is left running then.
        """
        ...

    def explain(self, failure: VmmError) -> PyroError:
        """`failure` with what the process has printed about it, or the HostError behind it."""
        ...

    def process_log(self) -> str:
        """What the VMM (or the jail around it) has printed so far: bounded, decoded with replacement."""
        ...

    async def printed(self, text: str) -> None:
        """Wait until the process has printed `text`. One that ended prints nothing any more: watch for that as well."""
        ...


class Vmm(Protocol):
    """A running (or paused, or just dead) virtual machine. Every verb raises VmmError when the VMM misbehaves."""

    @property
    def endpoint(self) -> GuestEndpoint: ...

    @property
    def identity(self) -> ProcessIdentity: ...

    async def pause(self) -> None:
        """Stop all vCPUs. Idempotent."""
        ...

    async def resume(self) -> None:
        """Let the vCPUs run. Idempotent."""
        ...

    async def save(self) -> None:
        """Pause a machine that was booted savable, then write SAVED_MEMORY and SAVED_STATE into its directory.

        It is fit to be stopped only.
        """
        ...

    async def console(self) -> str:
        """The last lines of the guest's console, bounded and decoded with replacement; works on a halted guest too."""
        ...

    async def wait(self) -> str:
        """Wait until the machine has ended by itself and say how: `guest-shutdown`, `guest-reset`, `vmm-exit`.

        A guest kernel panic is a `guest-reset`. Cancelling the wait does nothing to the machine.
        """
        ...

    async def stop(self) -> None:
        """Kill the VMM and wait until it is gone. Idempotent; never raises for a machine that is already gone."""
        ...


class Driver(Protocol):
    """One way to run virtual machines."""

    @property
    def info(self) -> DriverInfo: ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The programs and firmware behind it: with others, a machine that was saved cannot be trusted to go on."""
        ...

    def plan(self, spec: MachineSpec, directory: Path, descriptors: Mapping[str, int], start: Start) -> VmmPlan:
        """The process for `spec` in `directory`, given the number of each inherited descriptor. Pure."""
        ...

    async def boot(self, spec: MachineSpec, directory: Path, launch: Launcher, *, savable: bool = False) -> Vmm:
        """Bind the control sockets in `directory` (private to this machine), launch, return once the VMM answers.

        Says nothing about the guest: whether that lives is for its agent to show. On failure nothing is left running
        and the sockets are gone. Raises VmmError with the tail of the VMM's own output.
        """
        ...

    async def restore(self, spec: MachineSpec, directory: Path, launch: Launcher, saved: Saved) -> Vmm:
        """As `boot`, but the machine goes on where the saved one was, with the disks of `spec` in the place of its own.

        It runs when this returns. Raises VmmError, also for a `saved` that the VMM does not understand.
        """
        ...

    async def attach(self, spec: MachineSpec, directory: Path, identity: ProcessIdentity, launcher: Launcher) -> Vmm:
        """Take over the machine that a process before us booted from `spec` in `directory`.

        `launcher` only lends its log. On failure the machine is ended, its sockets gone: one that nobody controls must
        not stay. Raises VmmError.
        """
        ...
