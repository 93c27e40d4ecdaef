"""What guests run in: an entry of the catalog, what is installed of it, and how its installation gets on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """An environment that can be installed. `suite` and `packages` are what its distribution's archive is asked for.

    `build_bytes` is the free disk space an installation needs at its fullest, kernel included.
    """

    name: str
    description: str
    distribution: str
    distribution_version: str
    suite: str
    packages: tuple[str, ...]
    build_bytes: int


@dataclass(frozen=True, slots=True)
class InstalledEnvironment:
    """An environment on disk, its files compared with their digests.

    `rootfs` is a raw ext4 image and `kernel` a bzImage (`Store.with_kernel` has it in other formats); neither is ever
    written again. `boot_modules` are the kernel modules an initramfs needs before it can mount the rootfs. Digests read
    `sha256:<hex>`. `variables` are what every command in there gets. `size_bytes` is the virtual size of the rootfs,
    `disk_bytes` what rootfs and kernel take.
    """

    name: str
    version: str
    digest: str
    rootfs: Path
    kernel: Path
    kernel_version: str
    kernel_digest: str
    boot_modules: tuple[Path, ...]
    variables: Mapping[str, str]
    installed_at: str
    size_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an installation is: `current` of `total` `unit`s in `phase`; `total` is 0 while it is not known.

    `detail` is one line, safe to print.
    """

    phase: str
    current: int
    total: int
    unit: str
    detail: str = ""


ProgressSink = Callable[[Progress], None]
"""Called from the thread that installs; must not block for long."""


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What a prune did. `deleted` and `kept` (in use by running machines) are `name version` pairs in words."""

    deleted: tuple[str, ...]
    kept: tuple[str, ...]
    freed_bytes: int
