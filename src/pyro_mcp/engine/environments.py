"""Environments: what the catalog offers, what the cache holds, and getting one into it."""

from __future__ import annotations

import asyncio

from pyro_mcp._version import __version__
from pyro_mcp.engine.sink import Sink
from pyro_mcp.environments import catalog
from pyro_mcp.environments.store import Store
from pyro_mcp.host.command import Cancellation
from pyro_mcp.model.environment import CatalogEntry, InstalledEnvironment, Progress
from pyro_mcp.model.payloads import EnvironmentListPayload, EnvironmentPayload, PrunePayload


class Environments:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def list(self) -> EnvironmentListPayload:
        found = await asyncio.to_thread(self.store.list)
        environments = [_payload(entry, installed) for entry, installed in found]
        return {"catalog_version": __version__, "count": len(environments), "environments": environments}

    async def inspect(self, name: str) -> EnvironmentPayload:
        """Raises NotFoundError for a name the catalog does not have, IntegrityError for a damaged image."""
        return _payload(catalog.find(name), await asyncio.to_thread(self.store.resolve, name))

    @staticmethod
    def payload(installed: InstalledEnvironment) -> EnvironmentPayload:
        return _payload(catalog.find(installed.name), installed)

    async def ensure(self, name: str, sink: Sink) -> InstalledEnvironment:
        """The environment, installed now if it was not. A damaged one is an IntegrityError: it is said, not mended."""
        catalog.find(name)
        installed = await asyncio.to_thread(self.store.resolve, name)
        return installed or await self.install(name, sink)

    @staticmethod
    def require(name: str) -> None:
        """Raises NotFoundError for a name the catalog does not have."""
        catalog.find(name)

    async def prune(self) -> PrunePayload:
        result = await asyncio.to_thread(self.store.prune)
        return {
            "count": len(result.deleted),
            "deleted_environments": list(result.deleted),
            "freed_bytes": result.freed_bytes,
        }

    async def install(self, name: str, sink: Sink) -> InstalledEnvironment:
        """Build or fetch in a thread; its progress reaches the sink in order, and cancelling ends the work first."""
        loop = asyncio.get_running_loop()
        updates: asyncio.Queue[Progress | None] = asyncio.Queue()
        cancel = Cancellation()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(updates.put_nowait, progress)

        def work() -> InstalledEnvironment:
            try:
                return self.store.pull(name, progress=report, cancel=cancel)
            finally:
                loop.call_soon_threadsafe(updates.put_nowait, None)

        worker = asyncio.create_task(asyncio.to_thread(work))
        try:
            while (progress := await updates.get()) is not None:
                await sink.event({"event": "progress", "environment": name, **progress_payload(progress)})
            return await asyncio.shield(worker)
        finally:
            cancel.set()
            # A thread cannot be cancelled: it is told to stop and waited for, so that nothing outlives the call.
            await asyncio.wait([worker])


def progress_payload(progress: Progress) -> dict[str, object]:
    return {
        "phase": progress.phase,
        "current": progress.current,
        "total": progress.total,
        "unit": progress.unit,
        "detail": progress.detail,
    }


def _payload(entry: CatalogEntry, installed: InstalledEnvironment | None) -> EnvironmentPayload:
    payload: EnvironmentPayload = {
        "name": entry.name,
        "version": __version__,
        "description": entry.description,
        "distribution": entry.distribution,
        "distribution_version": entry.distribution_version,
        "installed": installed is not None,
        "source": "debian-archive",
        "source_digest": installed.digest if installed else None,
        "install_dir": str(installed.rootfs.parent) if installed else None,
        "catalog_version": __version__,
        "compatibility": {"platform": "linux-x86_64", "guest_protocol": "1"},
    }
    if installed:
        payload["size_bytes"] = installed.size_bytes
        payload["disk_bytes"] = installed.disk_bytes
        payload["kernel_version"] = installed.kernel_version
        payload["installed_at"] = installed.installed_at
    return payload
