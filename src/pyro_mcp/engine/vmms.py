"""Which VMM runs a machine on this host: the strongest that was seen to run a guest here."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from dataclasses import dataclass

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from pyro_mcp.engine.launchpad import TRIAL_UID
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import GuestError, HostError, IntegrityError, VmmError
from pyro_mcp.host import bundle, probe
from pyro_mcp.machines.jail import require_tools
from pyro_mcp.machines.trial import try_boot
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.model.machine import Isolation, MachineSpec
from pyro_mcp.model.printable import printable
from pyro_mcp.vmm import registry
from pyro_mcp.vmm.driver import Driver
from pyro_mcp.vmm.qemu.plan import BINARY as QEMU

_FIRECRACKER = "bin/firecracker"
_TRIAL_MIB = 256

_REASON_CHARACTERS = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a VMM cannot be used here, and what would help."""

    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The driver to use and, if that is none with a VMM, why not."""

    driver: Driver
    no_vmm: str = ""


class Vmms:
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._trying = asyncio.Lock()

    async def choose(
        self,
        setting: str,
        required: Isolation | None,
        environment: InstalledEnvironment | None,
        *,
        allow_host_compat: bool = False,
    ) -> Choice:
        """The driver for the setting PYRO_VMM and the `required` isolation.

        Without an `environment` nothing is booted: then the answer is only preliminary, and its errors come early.
        With `allow_host_compat` it is looked closer whether a VMM can work here, and where none can and no isolation is
        required, the host itself is the answer. Raises UsageError, HostError `vmm-unavailable` or
        `isolation-unavailable`.
        """
        obstacle: Obstacle | None = None
        for driver in registry.candidates(setting, required, self._settings.firecracker_binary):
            obstacle = await self._obstacle(driver, environment)
            if obstacle is None and allow_host_compat:
                obstacle = await asyncio.to_thread(jail_obstacle, driver)
            if obstacle is None:
                return Choice(driver)
            _log.info("%s is not used: %s", driver.info.name, obstacle.reason)
        assert obstacle is not None, "there is always a candidate"
        if allow_host_compat and required is None:
            return Choice(registry.on_host(), f"{driver.info.name} cannot run guests here: {obstacle.reason}")
        code = "vmm-unavailable" if required is None or setting == driver.info.name else "isolation-unavailable"
        raise HostError(f"{driver.info.name} cannot run guests here: {obstacle.reason}", code=code, hint=obstacle.hint)

    async def _obstacle(self, driver: Driver, environment: InstalledEnvironment | None) -> Obstacle | None:
        if driver.info.isolation is not Isolation.KVM:
            return None
        try:
            vmm = await asyncio.to_thread(bundle.verify, self._settings.bundle_dir / BUNDLE_PLATFORM, _FIRECRACKER)
        except IntegrityError as error:
            return Obstacle(error.message, error.hint)
        if (obstacle := kvm_obstacle(probe.kvm_access())) is not None or environment is None:
            return obstacle
        return await self._trial(driver, environment, vmm)

    async def _trial(self, driver: Driver, environment: InstalledEnvironment, vmm: str) -> Obstacle | None:
        """What a guest says to it: booted once per boot of the host, kernel and VMM."""
        cache = probe.kvm_cache(self._settings.state_dir)
        async with self._trying:
            known = probe.known_trial(cache)
            if known is None or (known.kernel, known.vmm) != (environment.kernel_digest, vmm):
                try:
                    reason = await self._try(driver, environment)
                except HostError as error:
                    return Obstacle(error.message, error.hint)  # no word about KVM: to be tried again
                known = probe.KvmTrial(environment.kernel_digest, vmm, reason)
                probe.remember_trial(cache, known)
        if not known.reason:
            return None
        return Obstacle(f"KVM is there but ran no guest ({known.reason})", "`pyro doctor --boot` tries it again")

    async def _try(self, driver: Driver, environment: InstalledEnvironment) -> str:
        """Why no guest runs; empty if one did. Raises HostError."""
        spec = await asyncio.to_thread(self._spec, driver, environment)
        directory = self._settings.state_dir / "machines" / f"trial-{secrets.token_hex(6)}"
        try:
            uid = TRIAL_UID if os.geteuid() == 0 else None
            patience = self._settings.boot_timeout_seconds
            await try_boot(driver, spec, directory, uid=uid, patience_seconds=patience)
        except (VmmError, GuestError) as error:
            _log.warning("KVM runs no guest here: %s", error.message)
            return printable(error.message, _REASON_CHARACTERS)
        return ""

    def _spec(self, driver: Driver, environment: InstalledEnvironment) -> MachineSpec:
        guest = self._settings.guest_binary
        return MachineSpec(
            vcpu_count=1,
            mem_mib=_TRIAL_MIB,
            kernel=self._store.with_kernel(environment, driver.info.kernel_format).kernel,
            initramfs=self._store.initramfs(environment, guest),
            disks=(),
            tsc_khz=probe.tsc_khz(guest, cache=self._settings.environment_cache_dir / "tsc.json"),
        )


def kvm_obstacle(kvm: probe.KvmAccess) -> Obstacle | None:
    """What can be told without booting anything."""
    if not kvm.exists:
        return Obstacle(
            "there is no /dev/kvm",
            "switch virtualisation on in the firmware or, in a cloud, nested virtualisation; PYRO_VMM=auto emulates",
        )
    if not (kvm.readable and kvm.writable):
        return Obstacle("this user may not open /dev/kvm", f"{probe.kvm_remedy()}; PYRO_VMM=auto emulates")
    return None


def jail_obstacle(driver: Driver) -> Obstacle | None:
    """What keeps a VMM or its jail from starting; no guest is booted for this."""
    if driver.info.isolation is Isolation.EMULATED and not QEMU.exists():
        return Obstacle(f"{QEMU} is not there", "sudo apt-get install qemu-system-x86")
    try:
        require_tools()
    except HostError as error:
        return Obstacle(error.message, error.hint)
    if not probe.user_namespaces_allowed():
        return Obstacle("this host does not allow user namespaces", probe.user_namespaces_remedy())
    return None
