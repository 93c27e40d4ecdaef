"""What a machine is to be, before anything of it exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from pyro_mcp.environments.templates import Template
from pyro_mcp.machines.directory import HOST_WORKSPACE
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import Disk, MachineSpec, ProcessIdentity
from pyro_mcp.model.network import Allowed
from pyro_mcp.vmm.driver import Driver

SCRATCH = "scratch.ext4"
WORKSPACE_DISK = "workspace.ext4"
LASTING = frozenset({SCRATCH, WORKSPACE_DISK})
"""What of a machine's directory stays when it stops."""


@dataclass(frozen=True, slots=True)
class WorkspaceDisks:
    """What a machine's /workspace is made of: a `baseline` that nobody changes, and a disk of its own.

    That disk begins as a copy of `blank`, unless one stands in the machine's directory already. `empty` is a baseline
    without anything, as large as any other: machines are saved with it, and restored with another in its place.
    """

    baseline: Path
    blank: Path
    empty: Path


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What a machine's network lets through; `host` are this host's addresses, which it does not.

    One that is not `connected` leads nowhere: for a machine to be saved.
    """

    allowed: tuple[Allowed, ...] = ()
    host: frozenset[IPv4Network] = frozenset()
    connected: bool = True


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """Everything a start needs to know.

    `uid` is the unprivileged user the VMM becomes where pyro runs as root, else None. `on_process` is told of the
    process as soon as it exists, so that a record can be kept of what must be ended. `running` is that process where an
    earlier daemon started it.

    Where the driver runs commands on the host itself, there is no `environment`, no `blank_scratch`, and the agent's
    program stands in the place of the `initramfs`.
    """

    vm_id: str
    directory: Path
    uid: int | None
    driver: Driver
    environment: InstalledEnvironment | None
    initramfs: Path
    blank_scratch: Path | None
    vcpu_count: int
    mem_mib: int
    tsc_khz: int
    boot_timeout_seconds: float
    on_process: Callable[[ProcessIdentity], None]
    running: ProcessIdentity | None = None
    template: Template | None = None
    """What it is restored from, instead of booting."""
    kept: bool = False
    """Whether a stopped machine left its disks: then what it is restored from has not mounted any yet."""
    workspace: WorkspaceDisks | None = None
    """Where it has a /workspace that outlives it; else that is a directory of its root."""
    network: NetworkPlan | None = None
    """What it can reach; without one it has no interface."""
    secrets: Callable[[], Mapping[str, str]] | None = None
    """Gives the values that it is told once it runs, by their names; None where there are none. Never is one saved."""
    image: Path | None = None
    """One more disk to write to, for who wants something of the machine as an image."""

    @property
    def scratch(self) -> Path:
        return self.directory / SCRATCH

    @property
    def cwd(self) -> Path:
        """Where commands begin: /workspace in a guest, a directory of the machine's own on the host."""
        return self.directory / HOST_WORKSPACE if self.environment is None else Path("/workspace")

    @property
    def spec(self) -> MachineSpec:
        return MachineSpec(
            vcpu_count=self.vcpu_count,
            mem_mib=self.mem_mib,
            kernel=self.initramfs if self.environment is None else self.environment.kernel,
            initramfs=self.initramfs,
            disks=self._disks(),
            tsc_khz=self.tsc_khz,
            network=self.network is not None,
        )

    def _disks(self) -> tuple[Disk, ...]:
        if self.environment is None:
            return ()
        base = Disk("base", self.environment.rootfs, read_only=True)
        root = (base, Disk("scratch", self.scratch, read_only=False))
        if self.workspace is None:
            return root
        baseline = Disk("baseline", self.workspace.baseline, read_only=True)
        disks = (*root, baseline, Disk("workspace", self.directory / WORKSPACE_DISK, read_only=False))
        return (*disks, Disk("image", self.image, read_only=False)) if self.image is not None else disks
