"""The store of environments: one directory, safe to share between processes and to lose at any moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from pyro_mcp.environments import catalog, install, pruning, records, vmlinux
from pyro_mcp.environments.initramfs import build_initramfs
from pyro_mcp.environments.layout import LEASE, Layout
from pyro_mcp.environments.templates import Shelf
from pyro_mcp.errors import IntegrityError, NotFoundError
from pyro_mcp.host import files
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.locks import Lock
from pyro_mcp.model.environment import CatalogEntry, InstalledEnvironment, Progress, ProgressSink, PruneResult
from pyro_mcp.model.machine import KernelFormat


def _ignore(_: Progress) -> None:
    pass


class Store:
    """Everything below `root`. All methods may be called from any thread, and by several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._layout = Layout(root)
        self.shelf = Shelf(self._layout)
        self._initramfs: dict[tuple[str, Path, files.Fingerprint], tuple[Path, files.Fingerprint]] = {}

    def list(self) -> list[tuple[CatalogEntry, InstalledEnvironment | None]]:
        """The catalog, and what is installed of it going by the records; only `resolve` looks at the bytes."""
        return [(entry, self._recorded(entry.name)) for entry in catalog.entries()]

    def resolve(self, name: str) -> InstalledEnvironment | None:
        """The installed environment, its files known to be intact; None if it is not installed.

        Raises NotFoundError (`environment-not-found`) for a name the catalog lacks, IntegrityError for damaged files.
        """
        catalog.find(name)
        found = records.find(self._layout, name)
        if found is None:
            return None
        try:
            return records.describe(self._layout, records.verify(self._layout, found))
        except IntegrityError as error:
            error.hint = f"pyro env pull {name} builds it anew"
            raise

    def pull(
        self, name: str, *, progress: ProgressSink = _ignore, cancel: Cancellation | None = None
    ) -> InstalledEnvironment:
        """Install an environment unless it is there and intact; a damaged one is built anew.

        Blocks, for about half a minute where it must build; a pull of the same name elsewhere is waited for. Raises
        NotFoundError, HostError (`tool-missing`, `no-subordinate-ids`, `no-space`, …), BuildError (`cancelled` if
        `cancel` was set); nothing half-made is left then.
        """
        entry = catalog.find(name)
        self._layout.create()
        found = records.find_whole(self._layout, name)
        return records.describe(self._layout, found or install.install(self._layout, entry, progress, cancel))

    def _recorded(self, name: str) -> InstalledEnvironment | None:
        found = records.find(self._layout, name)
        return records.describe(self._layout, found) if found is not None else None

    @contextmanager
    def lease(self, environment: InstalledEnvironment) -> Iterator[None]:
        """Keep an environment's files in place; hold it while a machine runs from them.

        Raises NotFoundError (`environment-not-installed`) if they were pruned since they were resolved.
        """
        self._layout.require_writable()
        with ExitStack() as held:
            # Inside: a prune that is looking for unused objects would meet our lock, or we its.
            with self._layout.changing():
                for directory in (environment.rootfs.parent, environment.kernel.parent):
                    if not _lease(directory, held):
                        raise NotFoundError(
                            f"the environment {environment.name} was removed from the cache",
                            code="environment-not-installed",
                            hint=f"pyro env pull {environment.name}",
                        )
            yield

    def with_kernel(self, environment: InstalledEnvironment, form: KernelFormat) -> InstalledEnvironment:
        """The environment with its kernel in the format `form`, made now if need be. Raises OSError, BuildError."""
        if form is KernelFormat.BZIMAGE:
            return environment
        return replace(environment, kernel=vmlinux.provide(self._layout, environment))

    def initramfs(self, environment: InstalledEnvironment, guest_binary: Path) -> Path:
        """The file a guest boots into first, for this kernel and this `guest_binary`. Raises OSError, BuildError."""
        key = (environment.kernel_digest, guest_binary, files.fingerprint(guest_binary))
        known = self._initramfs.get(key)
        if known is not None and known[0].exists() and files.fingerprint(known[0]) == known[1]:
            return known[0]
        modules = {path.stem: path.read_bytes() for path in environment.boot_modules}
        data = build_initramfs(modules, guest_binary.read_bytes())
        digest = hashlib.sha256(data).hexdigest()
        path = self._layout.initramfs(environment.kernel_digest, digest)
        if not path.exists() or files.sha256(path) != digest:
            path.parent.mkdir(exist_ok=True)
            files.write_atomically(path, data)
        self._initramfs[key] = (path, files.fingerprint(path))
        return path

    def prune(self) -> PruneResult:
        """Remove environments of other catalog versions, what no record names, and what killed builds left.

        Whatever a running machine leases stays.
        """
        return pruning.prune(self._layout)

    def sweep(self) -> int:
        """Remove what killed builds left; how many leftovers there were."""
        return self._layout.sweep()


def _lease(directory: Path, held: ExitStack) -> bool:
    """Lock the object in `directory` for the life of `held`; False if it is gone."""
    try:
        # Read-only: in a shared cache an object may be somebody else's.
        lock = held.enter_context(Lock(directory / LEASE, create=False))
    except FileNotFoundError:
        return False
    return lock.try_shared()
