"""The store's promises, on environments put there by hand."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pyro_mcp.environments import catalog
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.store import Store
from pyro_mcp.errors import BuildError, IntegrityError, NotFoundError
from pyro_mcp.host import files
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.locks import Lock
from pyro_mcp.model.environment import InstalledEnvironment, Progress
from tests.unit.environments import shelf


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def installed(store: Store) -> InstalledEnvironment:
    shelf.put(store.root)
    found = store.resolve("debian:12")
    assert found is not None
    return found


def test_an_empty_store_lists_the_whole_catalog_and_makes_no_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert store.list() == [(entry, None) for entry in catalog.entries()]
    assert store.resolve("debian:12") is None
    assert not store.root.exists()


def test_an_installed_environment_is_described(store: Store, installed: InstalledEnvironment) -> None:
    assert installed.name == "debian:12"
    assert installed.version == catalog.VERSION
    assert installed.digest == f"sha256:{files.sha256(installed.rootfs)}"
    assert installed.kernel.read_bytes() == b"kernel 6.1.0-1-cloud-amd64"
    assert installed.kernel_version == "6.1.0-1-cloud-amd64"
    assert [path.stem for path in installed.boot_modules] == ["virtio", "virtio_blk"]
    assert installed.size_bytes == 1 << 20
    assert installed.disk_bytes == files.allocated_bytes(installed.rootfs) < installed.size_bytes
    assert {entry.name: found for entry, found in store.list()}["debian:12"] == installed


def test_an_unknown_name_is_not_found(store: Store) -> None:
    for ask in (store.resolve, store.pull):
        with pytest.raises(NotFoundError):
            ask("debian:13")


def test_pulling_what_is_installed_does_nothing(store: Store, installed: InstalledEnvironment) -> None:
    seen: list[Progress] = []
    assert store.pull("debian:12", progress=seen.append) == installed
    assert seen == []


@pytest.mark.parametrize("part", ["rootfs", "kernel", "module"])
def test_damage_is_found_and_the_remedy_named(store: Store, installed: InstalledEnvironment, part: str) -> None:
    path = {"rootfs": installed.rootfs, "kernel": installed.kernel, "module": installed.boot_modules[0]}[part]
    with path.open("r+b") as file:
        file.write(b"!")
    with pytest.raises(IntegrityError) as failure:
        store.resolve("debian:12")
    assert "pyro env pull debian:12" in failure.value.hint


def test_a_copied_store_is_read_once_and_then_trusted(
    store: Store,
    installed: InstalledEnvironment,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied = Store(tmp_path_factory.mktemp("copy") / "store")
    shutil.copytree(store.root, copied.root)
    found = copied.resolve("debian:12")
    assert found is not None
    assert found.digest == installed.digest
    monkeypatch.setattr(files, "sha256", None)
    assert copied.resolve("debian:12") == found


@pytest.mark.parametrize("lost", ["environments", "kernels", "objects"])
def test_what_is_lost_is_not_installed(store: Store, installed: InstalledEnvironment, lost: str) -> None:
    assert installed.rootfs.exists()
    shutil.rmtree(store.root / lost)
    assert store.resolve("debian:12") is None
    assert all(found is None for _, found in store.list())


def test_another_catalog_version_is_not_installed(store: Store) -> None:
    shelf.put(store.root, version="3.9.0")
    assert store.resolve("debian:12") is None


def test_a_second_pull_waits_and_takes_what_the_first_has_made(store: Store) -> None:
    kernel = shelf.put_kernel(store.root)
    waiting = threading.Event()
    result: list[InstalledEnvironment] = []

    def second() -> None:
        result.append(Store(store.root).pull("debian:12", progress=lambda _: waiting.set()))

    thread = threading.Thread(target=second)
    with Lock(store.root / "locks" / "debian:12") as first:
        assert first.try_exclusive()
        thread.start()
        assert waiting.wait(30)
        shelf.put(store.root, kernel=kernel)
    thread.join(30)
    assert result == [store.resolve("debian:12")]


def test_waiting_for_another_pull_can_be_cancelled(store: Store) -> None:
    shelf.put_kernel(store.root)
    cancel = Cancellation()
    with Lock(store.root / "locks" / "debian:12") as first:
        assert first.try_exclusive()
        with pytest.raises(BuildError) as failure:
            store.pull("debian:12", progress=lambda _: cancel.set(), cancel=cancel)
    assert failure.value.code == "cancelled"


def test_an_initramfs_is_made_once_per_guest_binary(
    store: Store, installed: InstalledEnvironment, tmp_path: Path
) -> None:
    guest = tmp_path / "guest"
    guest.write_bytes(b"one")
    first = store.initramfs(installed, guest)
    before = files.fingerprint(first)
    assert store.initramfs(installed, guest) == first
    assert Store(store.root).initramfs(installed, guest) == first
    assert files.fingerprint(first) == before
    guest.write_bytes(b"two")
    assert store.initramfs(installed, guest) != first


def test_a_damaged_initramfs_is_made_again(store: Store, installed: InstalledEnvironment, tmp_path: Path) -> None:
    guest = tmp_path / "guest"
    guest.write_bytes(b"one")
    path = store.initramfs(installed, guest)
    whole = path.read_bytes()
    for asked in (store, Store(store.root)):
        path.write_bytes(whole[:-1] + b"!")
        assert asked.initramfs(installed, guest) == path
        assert path.read_bytes() == whole
    path.unlink()
    assert store.initramfs(installed, guest).read_bytes() == whole


def test_a_lease_of_what_was_pruned_is_refused(store: Store, installed: InstalledEnvironment) -> None:
    shutil.rmtree(installed.rootfs.parent)
    with pytest.raises(NotFoundError) as failure, store.lease(installed):
        pass
    assert failure.value.code == "environment-not-installed"


def test_a_lease_ends_with_its_holder(store: Store, installed: InstalledEnvironment) -> None:
    layout = Layout(store.root)
    digest = installed.rootfs.parent.name
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with store.lease(installed), store.lease(installed):
        assert layout.in_use(digest)
    assert not layout.in_use(digest)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
