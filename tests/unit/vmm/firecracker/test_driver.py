"""Driving a Firecracker, played by a process that does nothing beside a socket that answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pyro_mcp.errors import HostError, PyroError, VmmError
from pyro_mcp.host import process, sockets
from pyro_mcp.model.machine import Disk, MachineSpec, ProcessIdentity
from pyro_mcp.vmm.driver import Saved, VmmPlan
from pyro_mcp.vmm.firecracker import driver
from pyro_mcp.vmm.firecracker.driver import FirecrackerDriver, FirecrackerVmm

SPEC = MachineSpec(1, 256, Path("/k"), Path("/i"), (Disk("base", Path("/b"), True), Disk("x", Path("/x"), False)), 1)
LISTENING = '2026-01-01T00:00:00.0 [anonymous-instance:main] Listening on API socket ("room/api.sock").\n'


class FakeFirecracker:
    """A launcher; `refuses` is the path of a request that is answered with a fault."""

    def __init__(self, directory: Path, *, refuses: str = "", silent: bool = False) -> None:
        self._directory = directory
        self._refuses = refuses
        self._silent = silent
        self._server: asyncio.Server | None = None
        self.identity: ProcessIdentity | None = None
        self.log = ""
        self.requests: list[tuple[str, object]] = []
        self.room_modes: list[int] = []

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        self.inherited = tuple(inherited)
        self.plan = plan
        listener = sockets.listen(self._directory / "room/api.sock")
        self._server = await asyncio.start_server(self._answer, sock=listener)
        with (self._directory / "vmm.log").open("wb") as log:
            process.spawn_detached(("sleep", "1000"), output=log.fileno())
        (self.identity,) = process.with_output_beneath(self._directory)
        self.log = "" if self._silent else LISTENING
        return self.identity

    async def attached(self) -> ProcessIdentity:
        """As an earlier daemon has left it."""
        (self._directory / "room").mkdir()
        identity = await self(VmmPlan((), (), 0, 0), ())
        (self._directory / "room").chmod(0o500)
        return identity

    def explain(self, failure: VmmError) -> PyroError:
        return VmmError(f"{failure.message}, explained", code=failure.code)

    def process_log(self) -> str:
        return self.log

    async def printed(self, text: str) -> None:
        if text not in self.log:
            await asyncio.Event().wait()

    async def close(self) -> None:
        if self.identity is not None:
            await process.kill_and_wait(self.identity)
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        body = await reader.readexactly(int(head.lower().split("content-length:")[1].split()[0]))
        self.requests.append((f"{method} {path}", json.loads(body or b"null")))
        self.room_modes.append((self._directory / "room").stat().st_mode & 0o777)
        status, answer = (400, {"fault_message": "no"}) if path == self._refuses else (200, {"state": "Paused"})
        payload = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {status} \r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def firecracker(tmp_path: Path) -> AsyncIterator[FakeFirecracker]:
    fake = FakeFirecracker(tmp_path)
    yield fake
    await fake.close()


@pytest.fixture
async def vmm(firecracker: FakeFirecracker, tmp_path: Path) -> AsyncIterator[FirecrackerVmm]:
    booted = await FirecrackerDriver(Path("/bin/sh")).boot(SPEC, tmp_path, firecracker)
    yield booted
    await booted.stop()


async def test_it_is_configured_then_its_room_closed_then_started(
    vmm: FirecrackerVmm, firecracker: FakeFirecracker
) -> None:
    assert [path for path, _ in firecracker.requests] == [
        "PUT /machine-config",
        "PUT /boot-source",
        "PUT /drives/disk0",
        "PUT /drives/disk1",
        "PUT /vsock",
        "PUT /actions",
    ]
    assert firecracker.requests[-1][1] == {"action_type": "InstanceStart"}
    assert set(firecracker.room_modes[:-1]) == {0o700}
    assert firecracker.room_modes[-1] == 0o500
    assert vmm.endpoint.devices == {"base": "/dev/vda", "x": "/dev/vdb"}


async def test_the_guest_can_ring_from_the_start(vmm: FirecrackerVmm, tmp_path: Path) -> None:
    assert (vmm.endpoint.carrier, vmm.endpoint.path) == ("vsock", tmp_path / "room/vsock.sock")
    assert vmm.endpoint.doorbell is not None
    (await sockets.connect(tmp_path / "room/vsock.sock_5006")).close()
    async with asyncio.timeout(10):
        ring, _ = await asyncio.get_running_loop().sock_accept(vmm.endpoint.doorbell)
    ring.close()


async def test_a_stop_ends_the_process_and_removes_the_room(vmm: FirecrackerVmm, tmp_path: Path) -> None:
    for _ in range(2):
        await vmm.stop()
    assert not (tmp_path / "room").exists()
    assert process.open_pidfd(vmm.identity) is None
    assert await vmm.wait() == "vmm-exit"


@pytest.mark.parametrize(
    ("said", "how"),
    [
        ("... [anonymous-instance:main] Firecracker exiting successfully. exit_code=0\n", "guest-reset"),
        ("... [anonymous-instance:main] Firecracker exiting with error. exit_code=1\n", "vmm-exit"),
        ("Firecracker exiting successfully, says the guest\n" + "x" * 1000, "vmm-exit"),
    ],
)
async def test_an_end_is_told_as_far_as_it_is_known(
    said: str, how: str, vmm: FirecrackerVmm, firecracker: FakeFirecracker
) -> None:
    firecracker.log += said
    await process.kill_and_wait(vmm.identity)
    async with asyncio.timeout(10):
        assert await vmm.wait() == how


async def test_the_console_is_the_guests_alone(vmm: FirecrackerVmm, firecracker: FakeFirecracker) -> None:
    firecracker.log = LISTENING + "[0.1] Linux\n" + LISTENING + "[0.2] panic"
    assert await vmm.console() == "[0.1] Linux\n[0.2] panic"


async def test_pausing_and_resuming_twice_asks_once(vmm: FirecrackerVmm, firecracker: FakeFirecracker) -> None:
    firecracker.requests.clear()
    for verb in (vmm.pause, vmm.pause, vmm.resume, vmm.resume):
        await verb()
    assert firecracker.requests == [("PATCH /vm", {"state": "Paused"}), ("PATCH /vm", {"state": "Resumed"})]


async def test_a_savable_machine_is_paused_then_saved_to_files_of_its_directory(
    firecracker: FakeFirecracker, tmp_path: Path
) -> None:
    vmm = await FirecrackerDriver(Path("/bin/sh")).boot(SPEC, tmp_path, firecracker, savable=True)
    await vmm.save()
    assert firecracker.requests[-2:] == [
        ("PATCH /vm", {"state": "Paused"}),
        ("PUT /snapshot/create", {"snapshot_type": "Full", "snapshot_path": "state", "mem_file_path": "memory"}),
    ]
    written = {bind.target for bind in firecracker.plan.binds if not bind.read_only}
    assert written == {"/vm/disk1", "/vm/room", "/vm/memory", "/vm/state"}
    assert (tmp_path / "memory").exists()
    assert (tmp_path / "state").exists()
    await vmm.stop()


async def test_a_restored_machine_is_loaded_from_descriptors_and_runs_once_its_room_is_closed(
    firecracker: FakeFirecracker, tmp_path: Path
) -> None:
    vmm = await FirecrackerDriver(Path("/bin/sh")).restore(SPEC, tmp_path, firecracker, Saved(memory=4, state=5))
    assert firecracker.inherited == (4, 5)
    load = {
        "snapshot_path": "/proc/self/fd/5",
        "mem_backend": {"backend_type": "File", "backend_path": "/proc/self/fd/4"},
        "resume_vm": False,
    }
    assert firecracker.requests == [("PUT /snapshot/load", load), ("PATCH /vm", {"state": "Resumed"})]
    assert firecracker.room_modes == [0o700, 0o500]
    assert vmm.endpoint.doorbell is not None, "the guest rings again when it goes on"
    await vmm.stop()


async def test_a_refusal_ends_it_and_is_explained(tmp_path: Path) -> None:
    fake = FakeFirecracker(tmp_path, refuses="/boot-source")
    with pytest.raises(VmmError, match="refused /boot-source: no, explained"):
        await FirecrackerDriver(Path("/bin/sh")).boot(SPEC, tmp_path, fake)
    assert fake.identity is not None
    assert process.open_pidfd(fake.identity) is None
    assert not (tmp_path / "room").exists()
    await fake.close()


async def test_one_that_never_listens_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_START_SECONDS", 0.05)
    fake = FakeFirecracker(tmp_path, silent=True)
    with pytest.raises(VmmError) as raised:
        await FirecrackerDriver(Path("/bin/sh")).boot(SPEC, tmp_path, fake)
    assert raised.value.code == "vmm-silent"
    assert not (tmp_path / "room").exists()
    await fake.close()


async def test_a_machine_of_an_earlier_daemon_is_taken_over_as_it_is(
    firecracker: FakeFirecracker, tmp_path: Path
) -> None:
    identity = await firecracker.attached()
    vmm = await FirecrackerDriver(Path("/bin/sh")).attach(SPEC, tmp_path, identity, firecracker)
    assert vmm.endpoint.doorbell is None
    await vmm.pause()  # it is
    await vmm.resume()
    assert [path for path, _ in firecracker.requests] == ["GET /", "PATCH /vm"]
    await vmm.stop()
    assert not (tmp_path / "room").exists()


async def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="none is not there"):
        await FirecrackerDriver(tmp_path / "none").boot(SPEC, tmp_path, FakeFirecracker(tmp_path))
    assert not (tmp_path / "room").exists()
