"""Removing what nobody needs: names first, under the store's lock; bytes after, at leisure."""

from __future__ import annotations

from pathlib import Path

from pyro_mcp.environments import catalog, manifest
from pyro_mcp.environments.install import BUILDING
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.manifest import EnvironmentRecord
from pyro_mcp.model.environment import PruneResult


def prune(layout: Layout) -> PruneResult:
    """See Store.prune. Raises HostError."""
    layout.create()
    with layout.changing():
        kept: list[EnvironmentRecord] = []
        deleted: list[str] = []
        in_use: list[str] = []
        for path in sorted(layout.environments.glob("*/*.json")):
            record = manifest.read_environment(path)
            label = f"{path.stem} {path.parent.name}"
            if record is not None and record.version == catalog.VERSION:
                kept.append(record)
            elif record is not None and layout.in_use(record.rootfs.sha256):
                kept.append(record)
                in_use.append(label)
            else:
                path.unlink()
                deleted.append(label)
        freed = _drop_unnamed(layout, kept) + sum(_unlink(path) for path in layout.partials())
    layout.sweep()
    return PruneResult(tuple(deleted), tuple(in_use), freed)


def _drop_unnamed(layout: Layout, kept: list[EnvironmentRecord]) -> int:
    """Remove kernels, what is made of them and objects that nothing in `kept` needs; how many bytes that frees."""
    kernels = {record.kernel for record in kept}
    with layout.lock(BUILDING) as building:
        if not building.try_exclusive():
            kernels |= {path.stem for path in layout.kernels.glob("*.json")}
    for path in layout.kernels.glob("*.json"):
        if path.stem not in kernels:
            path.unlink()
    needed = kernels | {record.rootfs.sha256 for record in kept}
    unnamed = [path.name for path in layout.objects.iterdir() if path.name not in needed]
    freed = sum(layout.discard(digest) for digest in unnamed if not layout.in_use(digest))
    return freed + sum(_unlink(path) for path in layout.derived() if layout.kernel_of(path) not in kernels)


def _unlink(path: Path) -> int:
    size = path.stat().st_size
    path.unlink()
    return size
