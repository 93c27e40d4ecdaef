"""The guests' kernel: Debian's own for virtual machines, fetched and unpacked once for all environments."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pyro_mcp.environments import catalog, modinfo, recipe
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.manifest import KernelRecord, record_file, write
from pyro_mcp.environments.tools import Tools
from pyro_mcp.errors import BuildError
from pyro_mcp.model.environment import Progress, ProgressSink

STEP = "kernel"

# The same modules give the same archive, and so the same digest.
_TAR = ("--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--format=gnu")


def install(layout: Layout, suite: str, tools: Tools, progress: ProgressSink) -> KernelRecord:
    """Fetch the current kernel of `suite` into the store. Raises BuildError, HostError, OSError."""
    progress(Progress(STEP, 0, 2, "steps", "fetching"))
    variables = {"PYRO_KERNEL_DIRECTORY": str(tools.work.path)}
    tools.run(STEP, recipe.kernel_command(suite, tools.work.path), variables=variables)
    progress(Progress(STEP, 1, 2, "steps", "unpacking"))
    tree = tools.work.path / "kernel"
    tools.run(STEP, ["dpkg-deb", "--extract", _only(tools.work.path, "*.deb"), tree])
    image = _only(tree / "boot", "vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")

    out = tools.work.path / "kernel-object"
    (out / "boot").mkdir(parents=True)
    image.rename(out / "vmlinuz")
    tools.run(STEP, ["tar", *_TAR, "-C", tree / "lib", "-cf", out / "modules.tar", f"modules/{version}"])
    for name, path in _boot_modules(tree / "lib/modules" / version).items():
        path.rename(out / "boot" / f"{name}.ko")
    layout.seal(out)
    record = _record(out, version)
    layout.publish(out, record.digest, lambda: write(layout.kernel(record.digest), record))
    progress(Progress(STEP, 2, 2, "steps", version))
    return record


def _record(out: Path, version: str) -> KernelRecord:
    image, modules = record_file(out, "vmlinuz"), record_file(out, "modules.tar")
    boot_modules = sorted((out / "boot").iterdir())
    return KernelRecord(
        digest=hashlib.sha256(f"{image.sha256} {modules.sha256}".encode()).hexdigest(),
        catalog_version=catalog.VERSION,
        version=version,
        image=image,
        modules=modules,
        boot_modules=tuple(record_file(out, f"boot/{path.name}") for path in boot_modules),
    )


def _boot_modules(directory: Path) -> dict[str, Path]:
    """The modules an initramfs needs, with all they depend on."""
    found = {modinfo.module_name(path.name): path for path in directory.rglob("*.ko")}

    def depends(name: str) -> tuple[str, ...] | None:
        return modinfo.dependencies(found[name].read_bytes()) if name in found else None

    return {name: found[name] for name in modinfo.load_order(modinfo.BOOT_MODULES, depends)}


def _only(directory: Path, pattern: str) -> Path:
    matches = sorted(directory.glob(pattern))
    if len(matches) != 1:
        raise BuildError(f"the kernel package holds {len(matches)} files {pattern}, not one", details={"step": STEP})
    return matches[0]
