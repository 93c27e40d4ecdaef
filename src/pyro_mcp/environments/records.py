"""An installed environment as a whole: its own record and its kernel's, found, verified and described."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyro_mcp.environments import catalog, manifest
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.manifest import EnvironmentRecord, KernelRecord, StoredFile
from pyro_mcp.errors import IntegrityError
from pyro_mcp.host import files
from pyro_mcp.model.environment import InstalledEnvironment


@dataclass(frozen=True, slots=True)
class Installed:
    environment: EnvironmentRecord
    kernel: KernelRecord


def find(layout: Layout, name: str) -> Installed | None:
    """The records of `name` in the current catalog; None if one is missing, unreadable, or its files are gone."""
    environment = manifest.read_environment(layout.environment(catalog.VERSION, name))
    if environment is None or not _present(layout, environment.rootfs.sha256, environment.rootfs):
        return None
    kernel = manifest.read_kernel(layout.kernel(environment.kernel))
    if kernel is None or not _present(layout, kernel.digest, kernel.image):
        return None
    return Installed(environment, kernel)


def _present(layout: Layout, digest: str, file: StoredFile) -> bool:
    return (layout.object(digest) / file.path).is_file()


def find_whole(layout: Layout, name: str) -> Installed | None:
    """As `find`, but damaged counts as not installed."""
    found = find(layout, name)
    try:
        return verify(layout, found) if found is not None else None
    except IntegrityError:
        return None


def verify(layout: Layout, installed: Installed) -> Installed:
    """Compare the files with their records. Raises IntegrityError."""
    environment, kernel = installed.environment, installed.kernel
    rootfs = manifest.verify(layout.object(environment.rootfs.sha256), environment.rootfs)
    verified = Installed(replace(environment, rootfs=rootfs), verify_kernel(layout, kernel))
    if rootfs != environment.rootfs:
        layout.rewrite(layout.environment(environment.version, environment.name), verified.environment)
    return verified


def verify_kernel(layout: Layout, kernel: KernelRecord) -> KernelRecord:
    """Raises IntegrityError. The archive of modules is left out: only a build reads it, and verifies it then."""
    directory = layout.object(kernel.digest)
    boot_modules = tuple(manifest.verify(directory, module) for module in kernel.boot_modules)
    verified = replace(kernel, image=manifest.verify(directory, kernel.image), boot_modules=boot_modules)
    if verified != kernel:
        layout.rewrite(layout.kernel(kernel.digest), verified)
    return verified


def describe(layout: Layout, installed: Installed) -> InstalledEnvironment:
    environment, kernel = installed.environment, installed.kernel
    kernels = layout.object(kernel.digest)
    rootfs = layout.object(environment.rootfs.sha256) / environment.rootfs.path
    return InstalledEnvironment(
        name=environment.name,
        version=environment.version,
        digest=f"sha256:{environment.rootfs.sha256}",
        rootfs=rootfs,
        kernel=kernels / kernel.image.path,
        kernel_version=kernel.version,
        kernel_digest=f"sha256:{kernel.digest}",
        boot_modules=tuple(kernels / module.path for module in kernel.boot_modules),
        variables=environment.variables,
        installed_at=environment.installed_at,
        size_bytes=environment.rootfs.fingerprint.size,
        disk_bytes=files.allocated_bytes(rootfs),
    )
