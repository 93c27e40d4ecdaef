"""What a build leaves: the right things in the image, nothing of this host in it, and nothing beside it."""

from __future__ import annotations

import socket
from itertools import groupby
from pathlib import Path

import pytest

from pyro_mcp.environments.store import Store
from pyro_mcp.errors import IntegrityError
from pyro_mcp.host import files
from pyro_mcp.model.environment import InstalledEnvironment, Progress
from tests.environments.image import Image
from tests.environments.puller import ordinary_user, pulling


def found(store: Store, name: str = "debian:12") -> InstalledEnvironment:
    environment = store.resolve(name)
    assert environment is not None
    return environment


def test_progress_names_every_phase_in_order_and_each_reaches_its_total(built: tuple[Store, list[Progress]]) -> None:
    phases = [(phase, list(events)) for phase, events in groupby(built[1], lambda event: event.phase)]
    assert [phase for phase, _ in phases] == [
        "kernel", "download", "essential", "install", "modules", "image", "digest",
    ]  # fmt: skip
    for phase, events in phases:
        steps = [event.current for event in events]
        assert steps == sorted(steps), phase
        if phase != "download":
            assert events[-1].current == events[-1].total > 0, phase


def test_the_image_is_sound_sparse_and_holds_what_the_catalog_says(store: Store) -> None:
    environment = found(store)
    image = Image(environment.rootfs)
    image.check()
    assert environment.disk_bytes < environment.size_bytes < 500 << 20
    programs = set(image.directory("/usr/bin")) | set(image.directory("/usr/sbin"))
    assert {"git", "python3", "curl", "ps", "ip", "less", "rg", "modprobe", "apt-get", "bash"} <= programs
    assert "ca-certificates.crt" in image.directory("/etc/ssl/certs")
    assert image.read("/etc/debian_version").startswith("12.")


def test_the_modules_of_its_kernel_are_in_it_for_all_to_read(store: Store) -> None:
    environment = found(store)
    modules = Image(environment.rootfs).directory(f"/usr/lib/modules/{environment.kernel_version}")
    assert {"kernel", "modules.dep", "modules.dep.bin", "modules.alias.bin"} <= set(modules)
    assert all(node.mode & 0o444 == 0o444 for node in modules.values())
    assert "/overlay.ko" in Image(environment.rootfs).read(f"/usr/lib/modules/{environment.kernel_version}/modules.dep")
    assert b"HdrS" in environment.kernel.read_bytes()[:1024]


def test_nothing_of_this_host_is_in_the_image(store: Store) -> None:
    image = Image(found(store).rootfs)
    assert image.read("/etc/hostname") == "debian\n"
    assert socket.gethostname() not in image.read("/etc/hosts")
    assert image.read("/etc/resolv.conf") == ""
    assert image.read("/etc/machine-id") == ""
    for directory in ("/dev", "/run", "/tmp", "/var/log", "/var/lib/apt/lists"):
        assert set(image.directory(directory)) == {".", ".."}, directory


def test_a_second_environment_shares_the_kernel(store: Store) -> None:
    before = files.fingerprint(found(store).kernel)
    heard: list[Progress] = []
    base = store.pull("debian:12-base", progress=heard.append)
    assert "kernel" not in {event.phase for event in heard}
    assert base.kernel == found(store).kernel
    assert files.fingerprint(base.kernel) == before
    assert base.disk_bytes < found(store).disk_bytes
    assert len(list((store.root / "kernels").iterdir())) == 1


def test_an_ordinary_user_builds_the_same_with_all_owners_kept(user: tuple[str, Path]) -> None:
    name, home = user
    root = home / ".cache" / "store"
    with pulling(root, "debian:12-base", name) as puller:
        result = puller.result()
    assert "installed" in result, result
    # The files are that user's, so seen from here they are elsewhere: a copy by content is what root trusts.
    environment = found(Store(root), "debian:12-base")
    assert environment.rootfs.owner() == name
    image = Image(environment.rootfs)
    image.check()
    chage, mount = (image.directory("/usr/bin")[tool] for tool in ("chage", "mount"))
    assert (chage.mode, chage.user, chage.group) == (0o102755, 0, 42)
    assert (mount.mode, mount.user, mount.group) == (0o104755, 0, 0)
    assert image.directory("/var/cache/apt/archives").get("partial") is None
    assert all(node.mode & 0o444 for node in image.directory("/etc/apt/apt.conf.d").values())
    assert list((root / "work").iterdir()) == []
    assert [path.name for path in home.iterdir()] == [".cache"]


def test_a_user_without_subordinate_ids_is_told_the_remedy() -> None:
    with ordinary_user("pyro-no-ids", subordinate_ids=False) as home:
        with pulling(home / "store", "debian:12-base", "pyro-no-ids") as puller:
            error = puller.result()["error"]
        assert error["code"] == "no-subordinate-ids"
        assert error["hint"].startswith("sudo usermod --add-subuids ")
        assert error["hint"].endswith(" pyro-no-ids")


def test_two_pulls_at_once_build_once(tmp_path: Path) -> None:
    with pulling(tmp_path / "store", "debian:12-base") as first:
        first.wait_for("kernel")
        with pulling(tmp_path / "store", "debian:12-base") as second:
            second.wait_for("wait")
            installed = first.result()
            assert second.result() == installed
    assert len(list((tmp_path / "store" / "objects").iterdir())) == 2


def test_a_damaged_image_is_refused_and_a_pull_repairs_it(store: Store) -> None:
    damaged = store.pull("debian:12-base")
    with damaged.rootfs.open("r+b") as file:
        file.seek(100 << 20)
        file.write(b"!")
    with pytest.raises(IntegrityError) as failure:
        store.resolve("debian:12-base")
    assert failure.value.code == "digest-mismatch"
    repaired = store.pull("debian:12-base")
    Image(repaired.rootfs).check()
    assert store.resolve("debian:12-base") == repaired
    # Its bytes differ (times of the build): the damaged object is now without a record.
    with store.lease(repaired):
        store.prune()
    assert damaged.rootfs.exists() == (damaged.rootfs == repaired.rootfs)
    assert repaired.rootfs.exists()
