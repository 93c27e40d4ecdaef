"""Where things are in the store, and who may touch what when.

    lock                          held for moments: whoever adds, removes or claims a name below
    locks/NAME                    held by the process that builds NAME, so that a second one waits and finds it done
    environments/VERSION/NAME.json, kernels/DIGEST.json      records; what they do not name is rubbish
    initramfs/KERNEL.DIGEST.cpio  made when needed
    vmlinux/KERNEL.elf            made when needed; KERNEL.json beside it has its digest
    objects/DIGEST/               files that never change again, and `lease`, locked (shared) by their users
    templates/KEY/                saved machines (`templates.py`): made when needed, read whole before they are used
    work/RANDOM/                  a build under way; `lease` in it is locked by the builder and all its tools

A killed process leaves its directory in `work/` with nobody holding the lock: that is how a sweep knows it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.environments.manifest import EnvironmentRecord, KernelRecord, write
from pyro_mcp.errors import HostError
from pyro_mcp.host import files, subids
from pyro_mcp.host.locks import Lock, exclusive

LEASE = "lease"

# No file here takes a minute to write.
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Workspace:
    """A private directory in the store; `lock` keeps others from taking it for a leftover."""

    path: Path
    lock: Lock


class Layout:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "objects"
        self.kernels = root / "kernels"
        self.environments = root / "environments"
        self.templates = root / "templates"
        self._work = root / "work"
        self._locks = root / "locks"
        self._initramfs = root / "initramfs"
        self._vmlinux = root / "vmlinux"

    def create(self) -> None:
        """Make the directories. Raises HostError (`cache-not-writable`, `cache-path`)."""
        if ":" in str(self.root):
            raise HostError(
                f"environments cannot be built below {self.root}: the tools that do so take a colon for a separator",
                code="cache-path",
                hint="set PYRO_ENVIRONMENT_CACHE_DIR to a path without one",
            )
        try:
            for directory in (self.objects, self.kernels, self.environments, self.templates, self._work, self._locks):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_writable(error.strerror or str(error)) from error
        self.require_writable()

    def require_writable(self) -> None:
        """Raises HostError `cache-not-writable` for a cache of somebody else: running from it needs locks in it."""
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise self._not_writable("permission denied")

    def _not_writable(self, reason: str) -> HostError:
        return HostError(
            f"the environment cache {self.root} cannot be written: {reason}",
            code="cache-not-writable",
            hint="set PYRO_ENVIRONMENT_CACHE_DIR to a directory of yours",
        )

    def environment(self, version: str, name: str) -> Path:
        return self.environments / version / f"{name}.json"

    def kernel(self, digest: str) -> Path:
        return self.kernels / f"{digest}.json"

    def object(self, digest: str) -> Path:
        return self.objects / digest

    def initramfs(self, kernel_digest: str, digest: str) -> Path:
        return self._initramfs / f"{kernel_digest.removeprefix('sha256:')}.{digest[:16]}.cpio"

    def vmlinux(self, kernel_digest: str) -> Path:
        return self._vmlinux / f"{kernel_digest.removeprefix('sha256:')}.elf"

    def derived(self) -> list[Path]:
        """What can be made again from a kernel (`kernel_of`) at any time."""
        return sorted([*self._initramfs.glob("*.cpio"), *self._vmlinux.glob("*.elf"), *self._vmlinux.glob("*.json")])

    def partials(self) -> list[Path]:
        """Files whose writer was killed before it gave them their name: they begin with a dot and are old."""
        places = (self.root, self.kernels, self._initramfs, self._vmlinux, *self.environments.glob("*"))
        found = (path for place in places for path in place.glob(".*") if path.is_file())
        return [path for path in found if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS]

    @staticmethod
    def kernel_of(derived: Path) -> str:
        return derived.name.partition(".")[0]

    def lock(self, name: str) -> Lock:
        return Lock(self._locks / name)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone among all processes while names change; nothing slow in here."""
        with exclusive(self.root / "lock"):
            yield

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A fresh directory, removed at the end with all that is in it."""
        path = self._work / secrets.token_hex(8)
        with self.changing():
            path.mkdir(mode=0o755)
            lock = Lock(path / LEASE)
            lock.try_exclusive()
        try:
            yield Workspace(path, lock)
        finally:
            # While the lock is held: a sweep in another process must not remove under our feet.
            with lock:
                subids.remove_tree(path)

    def rewrite(self, path: Path, record: EnvironmentRecord | KernelRecord) -> None:
        """Replace a record by a fresher one, unless it was removed meanwhile or the store is not ours to write."""
        with suppress(OSError), self.changing():
            if path.exists():
                write(path, record)

    def seal(self, directory: Path) -> None:
        """Make a directory fit to become an object: readable for all, whatever the umask, and on the disk.

        Do this before its files are recorded: their change times move.
        """
        (directory / LEASE).touch()
        for path in [directory, *directory.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
            files.sync(path)

    def publish(self, directory: Path, digest: str, record: Callable[[], None]) -> None:
        """Make a sealed directory the object `digest` and write its record."""
        place = self.object(digest)
        with self.changing():
            if place.exists():
                # The damaged one that this repairs. Machines that run from it keep its files open.
                self._discard(place)
            directory.rename(place)
            files.sync(self.objects)
            record()

    def put_away(self, place: Path) -> None:
        """Move a directory to the leftovers, for the next sweep, if it is there. Only while `changing`."""
        with suppress(FileNotFoundError):
            self._discard(place)

    def in_use(self, digest: str) -> bool:
        """Whether anybody leases this object. Ask while `changing`: then nobody can begin to."""
        try:
            with Lock(self.object(digest) / LEASE, create=False) as lease:
                return not lease.try_exclusive()
        except FileNotFoundError:
            return False

    def discard(self, digest: str) -> int:
        """Move an object to the leftovers, for the next sweep; how many bytes that will free. Only while `changing`."""
        place = self.object(digest)
        size = sum(files.allocated_bytes(path) for path in place.rglob("*"))
        self._discard(place)
        return size

    def sweep(self) -> int:
        """Remove what killed builds and interrupted removals have left; how many. A leftover that resists stays."""
        removed = 0
        for path in sorted(self._work.iterdir()) if self._work.is_dir() else ():
            with self.changing():
                claimed = self._claim(path)
            if claimed is None:
                continue
            with claimed:
                try:
                    subids.remove_tree(path)
                    removed += 1
                except HostError:
                    continue
        return removed

    def _claim(self, path: Path) -> Lock | None:
        """The lock of a leftover, or None if someone works there (or it is gone by now)."""
        try:
            lock = Lock(path / LEASE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if lock.try_exclusive():
            return lock
        lock.close()
        return None

    def _discard(self, place: Path) -> None:
        place.rename(self._work / secrets.token_hex(8))
