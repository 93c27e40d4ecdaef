"""Which VMMs there are, and what there is where none runs."""

from __future__ import annotations

from pathlib import Path

from pyro_mcp.errors import HostError, UsageError
from pyro_mcp.model.machine import Isolation
from pyro_mcp.vmm.driver import Driver
from pyro_mcp.vmm.firecracker.driver import FirecrackerDriver
from pyro_mcp.vmm.hostcompat import HostcompatDriver
from pyro_mcp.vmm.qemu.driver import QemuDriver

SETTINGS = ("auto", "firecracker", "qemu")


def drivers(firecracker: Path) -> tuple[Driver, ...]:
    """All VMMs, those with the stronger isolation first. `firecracker` is the binary to run."""
    return FirecrackerDriver(firecracker), QemuDriver()


def on_host() -> Driver:
    """What runs commands on the host itself: no VMM, and never a candidate."""
    return HostcompatDriver()


def named(name: str, firecracker: Path) -> Driver:
    """The driver with this name, from a record."""
    (driver,) = (known for known in (*drivers(firecracker), on_host()) if known.info.name == name)
    return driver


def candidates(setting: str, required: Isolation | None, firecracker: Path) -> tuple[Driver, ...]:
    """The drivers that the setting PYRO_VMM and the `required` isolation allow, best first; never none.

    Raises UsageError for an unknown setting, HostError `isolation-unavailable` if the two contradict each other.
    """
    if setting not in SETTINGS:
        raise UsageError(f"PYRO_VMM is {setting!r}, it must be one of: {', '.join(SETTINGS)}")
    named = [driver for driver in drivers(firecracker) if setting in ("auto", driver.info.name)]
    fitting = [driver for driver in named if required in (None, driver.info.isolation)]
    if not fitting:
        (other,) = named
        raise HostError(
            f"isolation {required} is required, but {other.info.name}, which PYRO_VMM asks for, "
            f"gives {other.info.isolation}",
            code="isolation-unavailable",
            hint="unset PYRO_VMM, or run without --require-isolation and PYRO_REQUIRE_ISOLATION",
        )
    return tuple(fitting)
