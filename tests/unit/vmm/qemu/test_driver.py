"""The driver and a process that plays QEMU: what it leaves, what it says, how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError, PyroError, VmmError
from pyro_mcp.host import process
from pyro_mcp.model.machine import Disk, MachineSpec, ProcessIdentity
from pyro_mcp.vmm.driver import Saved, VmmPlan
from pyro_mcp.vmm.qemu import driver
from pyro_mcp.vmm.qemu.driver import QemuDriver, QemuVmm

SPEC = MachineSpec(1, 256, Path("/k"), Path("/i"), (Disk("base", Path("/b"), True), Disk("x", Path("/x"), False)), 1)


class FakeQemu:
    """A launcher of a process that does nothing, with a monitor that answers what a test tells it to."""

    def __init__(self, directory: Path, *, answers: bool = True) -> None:
        self._directory = directory
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._monitor: asyncio.StreamWriter | None = None
        self.identity: ProcessIdentity | None = None
        self.console: list[bytes] = []
        self.commands: list[str] = []
        self.migration = "completed"
        self.head = b""

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        self.plan = plan
        self.head = head.read_bytes() if (head := self._directory / "kernel.head").exists() else b""
        (chardev,) = [word for word in plan.argv if word.startswith("socket,id=qmp,fd=")]
        listener = int(chardev.split("fd=")[1].split(",")[0])
        assert listener in inherited
        if self._answers:
            self._server = await asyncio.start_server(self._play, sock=socket.socket(fileno=os.dup(listener)))
        with (self._directory / "log").open("wb") as log:
            process.spawn_detached(("sleep", "1000"), output=log.fileno())
        (self.identity,) = process.with_output_beneath(self._directory)
        return self.identity

    def explain(self, failure: VmmError) -> PyroError:
        return VmmError(f"{failure.message}, explained", code=failure.code)

    def process_log(self) -> str:
        return ""

    async def printed(self, text: str) -> None:
        raise AssertionError(f"nobody waits for {text!r} of this one")

    def say(self, message: dict[str, object]) -> None:
        assert self._monitor is not None
        self._monitor.write(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._monitor is not None:
            self._monitor.close()
            with suppress(OSError):
                await self._monitor.wait_closed()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._monitor = writer
        self.say({"QMP": {}})
        while line := await reader.readline():
            request = json.loads(line)
            self.commands.append(request["execute"])
            answer: object = {}
            if request["execute"] == "ringbuf-read":
                answer = base64.b64encode(self.console.pop(0)).decode()
            self.say({"return": answer, "id": request["id"]})
            if request["execute"].startswith("migrate") and "uri" in request["arguments"]:
                for status in ("setup", "active", self.migration):
                    self.say({"event": "MIGRATION", "data": {"status": status}})


@pytest.fixture
async def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeQemu]:
    monkeypatch.setattr(driver, "BINARY", Path("/bin/sh"))
    fake = FakeQemu(tmp_path)
    yield fake
    if fake.identity is not None:
        await process.kill_and_wait(fake.identity)
    await fake.close()


@pytest.fixture
async def vmm(qemu: FakeQemu, tmp_path: Path) -> AsyncIterator[QemuVmm]:
    booted = await QemuDriver().boot(SPEC, tmp_path, qemu)
    yield booted
    await booted.stop()


@pytest.fixture
def saved() -> Iterator[Saved]:
    with tempfile.TemporaryFile() as memory, tempfile.TemporaryFile() as state:
        yield Saved(memory.fileno(), state.fileno())


def restorable(directory: Path) -> MachineSpec:
    """A machine with a kernel whose beginning can be read."""
    kernel = directory / "vmlinuz"
    kernel.write_bytes(b"MZ" * 100_000)
    return replace(SPEC, kernel=kernel)


def sockets_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_socket()}


async def test_the_endpoint_tells_how_to_reach_the_guest(vmm: QemuVmm, tmp_path: Path) -> None:
    assert (vmm.endpoint.carrier, vmm.endpoint.path) == ("serial", tmp_path / "agent.sock")
    assert vmm.endpoint.devices == {"base": "/dev/vda", "x": "/dev/vdb"}


async def test_a_stop_ends_the_process_and_removes_the_sockets(vmm: QemuVmm, tmp_path: Path) -> None:
    assert sockets_in(tmp_path) == {"agent.sock", "qmp.sock"}
    for _ in range(2):
        await vmm.stop()
    assert sockets_in(tmp_path) == set()
    assert process.open_pidfd(vmm.identity) is None
    assert await vmm.wait() == "vmm-exit"


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("guest-shutdown", "guest-shutdown"),
        ("guest-reset", "guest-reset"),
        ("guest-panic", "guest-reset"),
        ("host-qmp-quit", "vmm-exit"),
        (None, "vmm-exit"),
    ],
)
async def test_the_guests_end_is_told(reason: str | None, how: str, vmm: QemuVmm, qemu: FakeQemu) -> None:
    qemu.say({"event": "RTC_CHANGE"})
    qemu.say({"event": "SHUTDOWN", "data": {"reason": reason}})
    async with asyncio.timeout(10):
        assert await vmm.wait() == how
        await process.kill_and_wait(vmm.identity)
        assert await vmm.wait() == how


async def test_a_process_that_dies_is_the_machines_end(vmm: QemuVmm) -> None:
    await process.kill_and_wait(vmm.identity)
    async with asyncio.timeout(10):
        assert await vmm.wait() == "vmm-exit"


async def test_a_cancelled_wait_changes_nothing(vmm: QemuVmm, qemu: FakeQemu) -> None:
    waiting = asyncio.create_task(vmm.wait())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0.01)
    qemu.say({"event": "SHUTDOWN", "data": {"reason": "guest-reset"}})
    async with asyncio.timeout(10):
        assert await vmm.wait() == "guest-reset"


async def test_the_console_keeps_its_last_64_kib(vmm: QemuVmm, qemu: FakeQemu) -> None:
    qemu.console = [b"one\n", b"\xfftwo\n", b"", b"x" * 65536]
    assert await vmm.console() == "one\n"
    assert await vmm.console() == "one\n\N{REPLACEMENT CHARACTER}two\n"
    assert await vmm.console() == "one\n\N{REPLACEMENT CHARACTER}two\n"
    assert await vmm.console() == "x" * 65536


async def test_pausing_and_resuming_ask_qemu(vmm: QemuVmm, qemu: FakeQemu) -> None:
    await vmm.pause()
    await vmm.resume()
    assert qemu.commands == ["qmp_capabilities", "stop", "cont"]


async def test_a_savable_machine_is_paused_then_saved_to_files_of_its_directory(qemu: FakeQemu, tmp_path: Path) -> None:
    vmm = await QemuDriver().boot(SPEC, tmp_path, qemu, savable=True)
    await vmm.save()
    assert qemu.commands[1:] == ["stop", "migrate-set-capabilities", "getfd", "migrate"]
    assert (tmp_path / "memory").stat().st_size == 256 << 20
    assert (tmp_path / "state").exists()
    await vmm.stop()


async def test_a_restored_machine_gets_its_memory_and_runs_once_its_state_is_there(
    qemu: FakeQemu, saved: Saved, tmp_path: Path
) -> None:
    vmm = await QemuDriver().restore(restorable(tmp_path), tmp_path, qemu, saved)
    assert qemu.head == b"MZ" * 32_768
    assert not (tmp_path / "kernel.head").exists()
    assert f"mem-path=/proc/self/fd/{saved.memory}," in " ".join(qemu.plan.argv)
    assert qemu.commands[1:] == ["migrate-set-capabilities", "getfd", "migrate-incoming", "cont"]
    await vmm.stop()


async def test_a_state_that_qemu_does_not_understand_ends_it(qemu: FakeQemu, saved: Saved, tmp_path: Path) -> None:
    qemu.migration = "failed"
    with pytest.raises(VmmError, match="failed to migrate-incoming, explained"):
        await QemuDriver().restore(restorable(tmp_path), tmp_path, qemu, saved)
    assert qemu.identity is not None
    assert process.open_pidfd(qemu.identity) is None
    assert sockets_in(tmp_path) == set()


async def test_a_qemu_that_dies_while_it_is_restored_is_noticed(qemu: FakeQemu, saved: Saved, tmp_path: Path) -> None:
    qemu.migration = "active"
    restoring = asyncio.create_task(QemuDriver().restore(restorable(tmp_path), tmp_path, qemu, saved))
    while "migrate-incoming" not in qemu.commands and not restoring.done():
        await asyncio.wait({restoring}, timeout=0.01)
    assert qemu.identity is not None
    await process.kill_and_wait(qemu.identity)
    with pytest.raises(VmmError) as raised:
        await restoring
    assert raised.value.code == "vmm-gone"


async def test_a_qemu_that_cannot_be_driven_is_ended_and_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "BINARY", Path("/bin/sh"))
    mute = FakeQemu(tmp_path, answers=False)
    with pytest.raises(VmmError, match="explained"):
        await QemuDriver().boot(SPEC, tmp_path, mute)
    assert mute.identity is not None
    assert process.open_pidfd(mute.identity) is None
    assert sockets_in(tmp_path) == set()


async def test_a_launch_that_fails_leaves_no_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(FakeQemu):
        async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
            raise HostError(f"not here, with {len(inherited)} sockets for {plan.argv[0]}")

    monkeypatch.setattr(driver, "BINARY", Path("/bin/sh"))
    with pytest.raises(HostError, match="not here, with 2 sockets"):
        await QemuDriver().boot(SPEC, tmp_path, Refusing(tmp_path))
    assert sockets_in(tmp_path) == set()


async def test_a_missing_qemu_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BINARY", tmp_path / "none")
    with pytest.raises(HostError) as raised:
        await QemuDriver().boot(SPEC, tmp_path, FakeQemu(tmp_path))
    assert raised.value.code == "qemu-missing"
    assert "qemu-system-x86" in raised.value.hint


async def test_a_deep_directory_is_no_obstacle(qemu: FakeQemu, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    booted = await QemuDriver().boot(SPEC, deep, qemu)
    assert sockets_in(deep) == {"agent.sock", "qmp.sock"}
    await booted.stop()
    assert sockets_in(deep) == set()
