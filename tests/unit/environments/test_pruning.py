"""A prune removes what nobody needs, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyro_mcp.environments import catalog, manifest, records
from pyro_mcp.environments.install import BUILDING
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.store import Store
from pyro_mcp.host.locks import Lock
from pyro_mcp.model.environment import InstalledEnvironment
from tests.unit.environments import shelf
from tests.unit.environments.shelf import names


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def described(root: Path, name: str, version: str) -> InstalledEnvironment:
    """An environment of any catalog version, as the machine that runs from it knows it."""
    layout = Layout(root)
    environment = manifest.read_environment(layout.environment(version, name))
    assert environment is not None
    kernel = manifest.read_kernel(layout.kernel(environment.kernel))
    assert kernel is not None
    return records.describe(layout, records.Installed(environment, kernel))


def test_pruning_nothing_deletes_nothing(store: Store) -> None:
    result = store.prune()
    assert (result.deleted, result.kept, result.freed_bytes) == ((), (), 0)


def test_other_versions_and_what_only_they_used_go(store: Store, tmp_path: Path) -> None:
    old_kernel = shelf.put_kernel(store.root, "5.10.0", catalog_version="3.9.0")
    old = shelf.put(store.root, version="3.9.0", kernel=old_kernel)
    new = shelf.put(store.root)
    guest = tmp_path / "guest"
    guest.write_bytes(b"guest")
    stale = store.initramfs(described(store.root, "debian:12", "3.9.0"), guest)
    current = store.resolve("debian:12")
    assert current is not None
    fresh = store.initramfs(current, guest)

    result = store.prune()
    assert result.deleted == ("debian:12 3.9.0",)
    assert result.freed_bytes > 0
    assert names(store.root / "objects") == {new.rootfs.sha256, new.kernel}
    assert names(store.root / "kernels") == {f"{new.kernel}.json"}
    assert names(store.root / "work") == set()
    assert old.rootfs.sha256 not in names(store.root / "objects")
    assert not stale.exists()
    assert fresh.exists()
    assert store.resolve("debian:12") == current


def test_what_a_machine_leases_stays_until_it_ends(store: Store) -> None:
    old_kernel = shelf.put_kernel(store.root, "5.10.0", catalog_version="3.9.0")
    shelf.put(store.root, version="3.9.0", kernel=old_kernel)
    running = described(store.root, "debian:12", "3.9.0")
    with store.lease(running):
        result = store.prune()
        assert (result.deleted, result.kept) == ((), ("debian:12 3.9.0",))
        assert running.rootfs.exists()
        assert running.kernel.exists()
    assert store.prune().deleted == ("debian:12 3.9.0",)
    assert names(store.root / "objects") == set()


def test_a_leased_object_whose_record_was_lost_stays(store: Store) -> None:
    shelf.put(store.root)
    running = store.resolve("debian:12")
    assert running is not None
    Layout(store.root).environment(catalog.VERSION, "debian:12").unlink()
    with store.lease(running):
        store.prune()
        assert running.rootfs.exists()
        assert running.kernel.exists()
    store.prune()
    assert names(store.root / "objects") == set()


def test_unreadable_records_and_unnamed_objects_go(store: Store) -> None:
    record = shelf.put(store.root)
    Layout(store.root).environment(catalog.VERSION, "debian:12").write_text("{")
    assert store.prune().deleted == (f"debian:12 {catalog.VERSION}",)
    assert record.rootfs.sha256 not in names(store.root / "objects")


def test_an_unused_kernel_stays_while_something_is_built(store: Store) -> None:
    kernel = shelf.put_kernel(store.root)
    with Lock(store.root / "locks" / BUILDING) as building:
        building.wait_shared()
        store.prune()
        assert names(store.root / "objects") == {kernel.digest}
    store.prune()
    assert names(store.root / "objects") == set()
    assert names(store.root / "kernels") == set()


def test_a_record_that_two_versions_share_an_image_with_keeps_it(store: Store) -> None:
    kernel = shelf.put_kernel(store.root)
    shelf.put(store.root, version="3.9.0", kernel=kernel, contents=b"same")
    shelf.put(store.root, kernel=kernel, contents=b"same")
    assert store.prune().deleted == ("debian:12 3.9.0",)
    assert store.resolve("debian:12") is not None


def test_files_of_killed_writers_go_and_those_of_living_ones_stay(store: Store, tmp_path: Path) -> None:
    store.prune()
    layout = Layout(tmp_path)
    old, fresh = layout.kernels / ".one.json.0123", layout.kernels / ".two.json.4567"
    for path in (old, fresh):
        path.write_text("half a rec")
    os.utime(old, (0, 0))

    assert store.prune().freed_bytes == len("half a rec")
    assert not old.exists()
    assert fresh.exists()
