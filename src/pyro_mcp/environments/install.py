"""Installing an environment: one builder per name, the kernel shared, the record written last."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pyro_mcp.environments import build, catalog, kernel, manifest, records, tools
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.manifest import EnvironmentRecord, KernelRecord
from pyro_mcp.environments.records import Installed
from pyro_mcp.environments.tools import Tools
from pyro_mcp.errors import BuildError, IntegrityError
from pyro_mcp.host import command
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.locks import Lock
from pyro_mcp.model.environment import CatalogEntry, Progress, ProgressSink

BUILDING = "building"
"""Shared by all builds, so that a prune leaves alone the kernel that one of them is about to use."""

_WAIT_SECONDS = 7200


def install(layout: Layout, entry: CatalogEntry, progress: ProgressSink, cancel: Cancellation | None) -> Installed:
    """Build `entry`, or wait for the process that does and take what it made. Raises HostError, BuildError."""
    layout.create()
    with tools.space_errors(layout.root), layout.lock(entry.name) as mine:
        if not mine.try_exclusive():
            progress(Progress("wait", 0, 0, "steps", "another process is installing it"))
            wait(mine, cancel)
        if (found := records.find_whole(layout, entry.name)) is not None:
            return found
        layout.sweep()
        with layout.lock(BUILDING) as building:
            # Held by a prune for the moment in which it looks whether anybody builds.
            building.wait_shared()
            tools.require(entry.build_bytes, layout.root)
            return _build(layout, entry, progress, cancel)


def _build(layout: Layout, entry: CatalogEntry, progress: ProgressSink, cancel: Cancellation | None) -> Installed:
    with layout.workspace() as work:
        bench = Tools(work, cancel)
        used = _kernel(layout, entry, bench, progress)
        out = work.path / "environment-object"
        out.mkdir()
        build.build_rootfs(entry, used.version, layout.object(used.digest) / used.modules.path, out, bench, progress)
        layout.seal(out)
        record = _record(entry, used, out, progress)
        place = layout.environment(record.version, record.name)
        layout.publish(out, record.rootfs.sha256, lambda: manifest.write(place, record))
        return Installed(record, used)


def _kernel(layout: Layout, entry: CatalogEntry, bench: Tools, progress: ProgressSink) -> KernelRecord:
    """The kernel that is there, if it is whole and of this catalog; else one made now."""
    with layout.lock(kernel.STEP) as alone:
        if not alone.try_exclusive():
            wait(alone, bench.cancel)
        for path in sorted(layout.kernels.glob("*.json")):
            found = manifest.read_kernel(path)
            if found is not None and found.catalog_version == catalog.VERSION and _whole(layout, found):
                return found
        return kernel.install(layout, entry.suite, bench, progress)


def _whole(layout: Layout, found: KernelRecord) -> bool:
    try:
        records.verify_kernel(layout, found)
        manifest.verify(layout.object(found.digest), found.modules)
    except IntegrityError:
        return False
    return True


def _record(entry: CatalogEntry, used: KernelRecord, out: Path, progress: ProgressSink) -> EnvironmentRecord:
    total = (out / build.ROOTFS).stat().st_size

    def on_bytes(done: int) -> None:
        progress(Progress("digest", done, total, "bytes"))

    return EnvironmentRecord(
        name=entry.name,
        version=catalog.VERSION,
        kernel=used.digest,
        rootfs=manifest.record_file(out, build.ROOTFS, on_bytes),
        variables=catalog.VARIABLES,
        installed_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def wait(lock: Lock, cancel: Cancellation | None) -> None:
    """Take a lock that is held for long, in a way that can be cancelled: a child waits for it on our descriptor."""
    argv = ["flock", "--exclusive", str(lock.fileno())]
    waited = command.run(argv, deadline_seconds=_WAIT_SECONDS, cancel=cancel, pass_fds=(lock.fileno(),))
    if waited.ended is command.Ended.CANCELLED:
        raise tools.cancelled()
    if not waited.succeeded:
        raise BuildError(f"the other process that installs it does not end: {waited.last_words()}")
