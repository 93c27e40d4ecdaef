"""What makes a template fit, and what becomes of one that does not; no machine is started here."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp.engine import templates as module
from pyro_mcp.engine.templates import LARGEST_MIB, Templates
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.templates import Shelf, Template
from pyro_mcp.errors import VmmError
from pyro_mcp.host import probe
from pyro_mcp.host.sealed import seal
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.model.environment import InstalledEnvironment
from pyro_mcp.vmm.firecracker.driver import FirecrackerDriver
from pyro_mcp.vmm.qemu.driver import QemuDriver


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachinePlan:
    for name in ("vmm", "kernel", "rootfs", "initramfs", "blank"):
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.setattr(QemuDriver, "files", (tmp_path / "vmm",))
    environment = InstalledEnvironment(
        name="debian:12",
        version="1",
        digest="sha256:base",
        rootfs=tmp_path / "rootfs",
        kernel=tmp_path / "kernel",
        kernel_version="6.1",
        kernel_digest="sha256:kernel",
        boot_modules=(),
        variables={"PATH": "/bin"},
        installed_at="",
        size_bytes=0,
        disk_bytes=0,
    )
    return MachinePlan(
        vm_id="vm-1",
        directory=tmp_path / "vm-1",
        uid=None,
        driver=QemuDriver(),
        environment=environment,
        initramfs=tmp_path / "initramfs",
        blank_scratch=tmp_path / "blank",
        vcpu_count=1,
        mem_mib=1024,
        tsc_khz=2_000_000,
        boot_timeout_seconds=1,
        on_process=lambda _: None,
    )


class Maker:
    """Stands in the place of a machine that is booted and saved."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.made: list[MachinePlan] = []
        self.failure: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, plan: MachinePlan) -> Template:
        self.made.append(plan)
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        file = self._directory / "saved"
        file.write_bytes(f"{len(self.made)}".encode())
        return Template(seal(file), seal(file), seal(file))


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    maker = Maker(tmp_path)
    monkeypatch.setattr(module, "make_template", maker)
    return maker


@pytest.fixture
def templates(tmp_path: Path, maker: Maker) -> Templates:  # noqa: ARG001 - nothing is to be booted
    return fresh(tmp_path)


def fresh(directory: Path) -> Templates:
    """As a daemon has it that has only just started."""
    return Templates(Shelf(Layout(directory / "cache")), directory / "machines", uid=None)


async def test_it_is_made_once_as_nobodys_machine(templates: Templates, maker: Maker, plan: MachinePlan) -> None:
    first = await templates.get(plan)
    assert first is not None
    assert await templates.get(replace(plan, vm_id="vm-2", directory=plan.directory / "2")) is first
    (made,) = maker.made
    assert made.vm_id == "pyro"
    assert made.directory.name.startswith("template-")


async def test_all_who_come_meanwhile_wait_for_the_same(templates: Templates, maker: Maker, plan: MachinePlan) -> None:
    maker.go.clear()
    waiting = [asyncio.create_task(templates.get(plan)) for _ in range(5)]
    waiting[0].cancel()
    while not maker.made:
        await asyncio.wait(waiting[1:], timeout=0.01)
    maker.go.set()
    found = await asyncio.gather(*waiting[1:])
    assert len(maker.made) == 1
    assert {id(template) for template in found} == {id(found[0])}


async def test_the_next_daemon_finds_it(templates: Templates, maker: Maker, plan: MachinePlan, tmp_path: Path) -> None:
    first = await templates.get(plan)
    found = await fresh(tmp_path).get(plan)
    assert first is not None
    assert found is not None
    assert found.memory.digest == first.memory.digest
    assert len(maker.made) == 1


def rewritten(file: str) -> Callable[[MachinePlan], MachinePlan]:
    def change(plan: MachinePlan) -> MachinePlan:
        (plan.initramfs.parent / file).write_bytes(b"another build")
        return plan

    return change


def with_environment(**changes: Any) -> Callable[[MachinePlan], MachinePlan]:
    def change(plan: MachinePlan) -> MachinePlan:
        assert plan.environment is not None
        return replace(plan, environment=replace(plan.environment, **changes))

    return change


OTHERS: dict[str, Callable[[MachinePlan], MachinePlan]] = {
    "another VMM": lambda plan: replace(plan, driver=FirecrackerDriver(plan.initramfs.parent / "vmm")),
    "another build of the VMM": rewritten("vmm"),
    "another guest binary": rewritten("initramfs"),
    "more processors": lambda plan: replace(plan, vcpu_count=2),
    "more memory": lambda plan: replace(plan, mem_mib=2048),
    "another clock": lambda plan: replace(plan, tsc_khz=2_000_001),
    "another image": with_environment(digest="sha256:other"),
    "another kernel": with_environment(kernel_digest="sha256:other"),
    "other variables": with_environment(variables={"PATH": "/usr/bin"}),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
async def test_other_ingredients_make_another_one(
    change: Callable[[MachinePlan], MachinePlan], templates: Templates, maker: Maker, plan: MachinePlan
) -> None:
    first = await templates.get(plan)
    assert await templates.get(change(plan)) is not first
    assert len(maker.made) == 2


async def test_another_processor_or_host_kernel_makes_another_one(
    templates: Templates, maker: Maker, plan: MachinePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    await templates.get(plan)
    monkeypatch.setattr(probe, "processor", lambda: "another")
    await templates.get(plan)
    monkeypatch.setattr(platform, "release", lambda: "another")
    await templates.get(plan)
    assert len(maker.made) == 3


async def test_much_memory_is_not_saved(templates: Templates, maker: Maker, plan: MachinePlan) -> None:
    assert await templates.get(replace(plan, mem_mib=LARGEST_MIB + 1)) is None
    assert await templates.get(replace(plan, mem_mib=LARGEST_MIB)) is not None
    assert len(maker.made) == 1


async def test_a_failure_means_none_and_is_not_tried_at_every_start(
    templates: Templates, maker: Maker, plan: MachinePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker.failure = VmmError("no")
    assert [await templates.get(plan) for _ in range(3)] == [None] * 3
    assert len(maker.made) == 1
    maker.failure = None
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    again = fresh(plan.initramfs.parent)
    assert await again.get(plan) is not None


async def test_one_from_which_nothing_can_be_restored_twice_in_a_row_is_forgotten(
    templates: Templates, maker: Maker, plan: MachinePlan, tmp_path: Path
) -> None:
    first = await templates.get(plan)
    assert first is not None
    await templates.failed(first)
    templates.worked(first)
    await templates.failed(first)
    assert await templates.get(plan) is first
    await templates.failed(first)
    assert await templates.get(plan) is not first
    assert len(maker.made) == 2
    assert len(list((tmp_path / "cache/templates").iterdir())) == 1


async def test_a_cache_that_cannot_keep_it_is_no_reason_not_to_use_it(
    templates: Templates, maker: Maker, plan: MachinePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Shelf, "put", full)
    assert await templates.get(plan) is not None
    assert await templates.get(plan) is not None
    assert len(maker.made) == 1


async def test_leaving_ends_what_is_under_way(templates: Templates, maker: Maker, plan: MachinePlan) -> None:
    maker.go.clear()
    waiting = asyncio.create_task(templates.get(plan))
    while not maker.made:
        await asyncio.wait({waiting}, timeout=0.01)
    await templates.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
