"""A store filled by hand: what an installation would leave, without the half minute it takes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pyro_mcp.environments import catalog, manifest
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.manifest import EnvironmentRecord, KernelRecord
from tests.unit.environments.modules import module


def put_kernel(
    root: Path, version: str = "6.1.0-1-cloud-amd64", catalog_version: str = catalog.VERSION
) -> KernelRecord:
    layout = Layout(root)
    layout.create()
    with layout.workspace() as work:
        out = work.path / "out"
        (out / "boot").mkdir(parents=True)
        (out / "vmlinuz").write_bytes(b"kernel " + version.encode())
        (out / "modules.tar").write_bytes(b"modules " + version.encode())
        (out / "boot" / "virtio.ko").write_bytes(module())
        (out / "boot" / "virtio_blk.ko").write_bytes(module("virtio"))
        layout.seal(out)
        record = KernelRecord(
            digest=hashlib.sha256(version.encode()).hexdigest(),
            catalog_version=catalog_version,
            version=version,
            image=manifest.record_file(out, "vmlinuz"),
            modules=manifest.record_file(out, "modules.tar"),
            boot_modules=tuple(manifest.record_file(out, f"boot/{name}.ko") for name in ("virtio", "virtio_blk")),
        )
        layout.publish(out, record.digest, lambda: manifest.write(layout.kernel(record.digest), record))
    return record


def put(
    root: Path,
    name: str = "debian:12",
    version: str = catalog.VERSION,
    kernel: KernelRecord | None = None,
    contents: bytes = b"",
) -> EnvironmentRecord:
    """Install `name`; its rootfs is a sparse file that begins with `contents` (its name and version if empty)."""
    kernel = kernel or put_kernel(root)
    layout = Layout(root)
    with layout.workspace() as work:
        out = work.path / "out"
        out.mkdir()
        with (out / "rootfs.ext4").open("wb") as rootfs:
            rootfs.write(contents or f"{name} {version}".encode())
            rootfs.truncate(1 << 20)
        layout.seal(out)
        record = EnvironmentRecord(
            name=name,
            version=version,
            kernel=kernel.digest,
            rootfs=manifest.record_file(out, "rootfs.ext4"),
            variables={"PATH": "/bin"},
            installed_at="2026-01-01T00:00:00+00:00",
        )
        place = layout.environment(version, name)
        layout.publish(out, record.rootfs.sha256, lambda: manifest.write(place, record))
    return record


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}
