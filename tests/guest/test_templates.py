"""Restored machines: they go on where another one was saved, and share nothing with each other that should be secret.

Each test that needs a template of its own asks for an amount of memory that no other test has.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp import Pyro
from pyro_mcp.agent.messages import Output
from pyro_mcp.config import Settings
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.launchpad import SCRATCH_BYTES
from pyro_mcp.environments.templates import Template
from pyro_mcp.host.sealed import seal
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.clock import HostClocks
from pyro_mcp.machines.machine import Machine
from pyro_mcp.machines.steps import RUNNING_PARTS, GiveIdentity, start_steps, template_steps
from pyro_mcp.model.payloads import RunPayload, StartPayload
from tests.guest.test_endings import vmm_pids
from tests.harness import bare
from tests.harness.installation import DEADLINE, Installation, installation, until, wait_gone
from tests.harness.vmm import VMM

RESTORES = 200
on_qemu = pytest.mark.skipif(VMM.name != "qemu", reason="looks at QEMU machines")
_FACTS = (
    "import os, random, uuid; print(os.getrandom(16).hex(), uuid.uuid4(), random.getrandbits(128), "
    "open('/etc/machine-id').read().strip(), os.uname().nodename, open('/etc/hostname').read().strip())"
)


def template_of(mem_mib: int) -> Path | None:
    """Where the template for so much memory is kept."""
    for manifest in (Settings.from_environment().environment_cache_dir / "templates").glob("*/manifest.json"):
        if json.loads(manifest.read_text())["ingredients"]["mem_mib"] == mem_mib:
            return manifest.parent
    return None


def without_template(mem_mib: int) -> int:
    """So much memory, for which there is no template; an earlier session may have left one."""
    if (place := template_of(mem_mib)) is not None:
        shutil.rmtree(place)
    return mem_mib


def age_seconds(pid: int) -> float:
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def uptime_beyond_its_vmm(pyro: Installation) -> float:
    """By how many seconds a fresh machine's guest is older than the process that it runs in."""
    sdk = pyro.sdk()
    before = set(vmm_pids(pyro))
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(vm_id)
    (vmm,) = set(vmm_pids(pyro)) - before
    # Read first: the guest is asked later, so what it says can only be more.
    age = age_seconds(vmm)
    return float(sdk.exec_vm(vm_id, command=["cat", "/proc/uptime"])["stdout"].split()[0]) - age


def test_a_restored_guest_is_older_than_its_vmm_and_a_booted_one_is_not(pyro: Installation) -> None:
    assert pyro.json("run", "--json", "debian:12", "--", "true")["timings_ms"].keys() >= {
        "restore",
        "agent",
        "identity",
    }
    # It had booted and been warmed up before it was saved; between both clocks lies one request.
    assert uptime_beyond_its_vmm(pyro) > 1
    with installation(PYRO_TEMPLATES="off") as cold:
        timings = cold.json("run", "--json", "debian:12", "--", "true")["timings_ms"]
        assert timings.keys() >= {"vmm", "agent", "identity", "mount"}
        assert "restore" not in timings
        assert uptime_beyond_its_vmm(cold) < 1


def test_a_stopped_workspace_is_restored_with_what_its_disks_hold(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12")["workspace_id"]
    sdk.exec_workspace(workspace_id, command="echo tree > file; echo root > /etc/mine; dpkg --version > /tmp/there")
    for _ in range(2):
        sdk.stop_workspace(workspace_id)
        sdk.start_workspace(workspace_id)
        (vmm,) = vmm_pids(own_pyro)
        age = age_seconds(vmm)
        said = sdk.exec_workspace(workspace_id, command="cat file /etc/mine; cut -d' ' -f1 /proc/uptime")["stdout"]
        *kept, uptime = said.split()
        assert kept == ["tree", "root"]
        assert float(uptime) - age > 1
        assert last_start(own_pyro)["restored"]
        assert [entry["path"] for entry in sdk.diff_workspace(workspace_id)["entries"]] == ["/workspace/file"]


def test_disks_of_another_size_are_not_given_to_a_saved_guest(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12")["vm_id"]
    sdk.start_vm(vm_id)
    sdk.stop_vm(vm_id)
    scratch = own_pyro.state_dir / "machines" / vm_id / "scratch.ext4"
    size = scratch.stat().st_size
    os.truncate(scratch, size + (1 << 20))
    sdk.start_vm(vm_id)
    assert not last_start(own_pyro)["restored"]
    sectors = sdk.exec_vm(vm_id, command="cat /sys/block/vdb/size")["stdout"]
    assert int(sectors) * 512 == size + (1 << 20)


def last_start(pyro: Installation) -> StartPayload:
    latest: StartPayload = pyro.json("daemon", "status", "--json")["starts"][0]
    return latest


def test_no_two_of_many_restored_machines_draw_the_same(pyro: Installation) -> None:
    sdk = pyro.sdk()
    seen: dict[int, set[str]] = {}

    def restore(_: int) -> RunPayload:
        return sdk.run_in_vm(environment="debian:12", command=["python3", "-c", _FACTS])

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(restore, range(RESTORES)))
    for result in results:
        assert (result["exit_code"], "restore" in result["timings_ms"]) == (0, True), result
        facts = result["stdout"].split()
        assert facts[4:] == [result["vm_id"]] * 2
        for number, fact in enumerate(facts):
            seen.setdefault(number, set()).add(fact)
    assert [len(values) for values in seen.values()] == [RESTORES] * 6


def test_the_wall_clock_of_a_restored_machine_is_the_hosts(pyro: Installation) -> None:
    sdk = pyro.sdk()
    skews = []
    for _ in range(5):
        before = time.time_ns()
        said = sdk.run_in_vm(environment="debian:12", command=["date", "+%s%N"])["stdout"]
        after = time.time_ns()
        # What a clock says between two readings of another one is right if it lies between them.
        skews.append(max(before - int(said), int(said) - after, 0))
    assert statistics.median(skews) <= 100_000_000


def test_many_first_callers_get_one_template(own_pyro: Installation) -> None:
    sdk, mem_mib = own_pyro.sdk(), without_template(301)
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(sdk.run_in_vm, environment="debian:12", command=["true"], mem_mib=mem_mib) for _ in range(8)
        ]
        assert [run.result()["exit_code"] for run in runs] == [0] * 8
    assert own_pyro.logs().count("is made, in") == 1
    assert template_of(301) is not None


def test_a_template_of_an_earlier_daemon_is_used_again(own_pyro: Installation) -> None:
    mem_mib = str(without_template(302))
    for _ in range(2):
        result = own_pyro.json("run", "--json", "--mem-mib", mem_mib, "debian:12", "--", "true")
        assert "restore" in result["timings_ms"]
        own_pyro.stop()
    assert own_pyro.logs().count("is made, in") == 1


@pytest.mark.parametrize("name", ["memory", "state", "scratch"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "deleted"])
def test_a_damaged_template_is_made_anew(own_pyro: Installation, name: str, damage: str) -> None:
    own_pyro.json("run", "--json", "--mem-mib", "303", "debian:12", "--", "true")
    own_pyro.stop()
    place = template_of(303)
    assert place is not None
    file = place / name
    match damage:
        case "flipped":
            flip(file, file.stat().st_size // 3)
        case "truncated":
            os.truncate(file, file.stat().st_size // 2)
        case "deleted":
            file.unlink()
    result = own_pyro.json("run", "--json", "--mem-mib", "303", "debian:12", "--", "true")
    assert (result["exit_code"], "restore" in result["timings_ms"]) == (0, True)
    assert "is made, in" in own_pyro.logs()


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte[0] ^ 0x40]))


def test_a_template_is_not_missed_while_it_is_in_use(own_pyro: Installation) -> None:
    own_pyro.json("run", "--json", "--mem-mib", "304", "debian:12", "--", "true")
    place = template_of(304)
    assert place is not None
    for file in place.iterdir():
        file.unlink()
    result = own_pyro.json("run", "--json", "--mem-mib", "304", "debian:12", "--", "true")
    assert (result["exit_code"], "restore" in result["timings_ms"]) == (0, True)


def test_every_flipped_byte_of_a_template_is_noticed(own_pyro: Installation) -> None:
    own_pyro.json("run", "--json", "--mem-mib", "305", "debian:12", "--", "true")
    own_pyro.stop()
    place = template_of(305)
    assert place is not None
    digests = json.loads((place / "manifest.json").read_text())["files"]
    for name, count in (("state", 500), ("memory", 50)):
        size = (place / name).stat().st_size
        for number in range(count):
            offset = size * number // count
            flip(place / name, offset)
            assert seal(place / name).digest != digests[name], f"a flip at {offset} of {name} goes unnoticed"
            flip(place / name, offset)
        assert seal(place / name).digest == digests[name]


@pytest.mark.parametrize("file", ["scratch.ext4", "memory", "state"])
def test_a_daemon_killed_while_it_makes_a_template_leaves_nothing(own_pyro: Installation, file: str) -> None:
    machines, mem_mib = own_pyro.state_dir / "machines", str(without_template(306))
    with own_pyro.start_cli("run", "--mem-mib", mem_mib, "debian:12", "--", "true") as client:
        assert until(lambda: list(machines.glob(f"template-*/{file}")) or None)
        daemon = own_pyro.daemon_pid()
        os.kill(daemon, signal.SIGKILL)
        wait_gone(daemon)
        assert client.wait(DEADLINE) == 1
    result = own_pyro.json("run", "--json", "--mem-mib", mem_mib, "debian:12", "--", "true")
    assert (result["exit_code"], "restore" in result["timings_ms"]) == (0, True)
    assert not list(machines.glob("template-*"))


def test_a_vmm_killed_while_it_is_restored_is_not_the_users_problem(own_pyro: Installation) -> None:
    sdk: Pyro = own_pyro.sdk()
    sdk.run_in_vm(environment="debian:12", command=["true"])
    ends = ("guest-ended", "guest-gone", "vmm-gone", "vmm-failed")
    with ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            before = set(vmm_pids(own_pyro))
            run = pool.submit(sdk.run_in_vm, environment="debian:12", command=["echo", "alive"])
            pid = until(lambda before=before: next(iter(set(vmm_pids(own_pyro)) - before), None))  # type: ignore[misc]
            assert pid is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            # Restored already, then it is the command that was cut off; else the machine has booted cold.
            error = run.exception()
            assert run.result()["stdout"] == "alive\n" if error is None else getattr(error, "code", "") in ends
    assert sdk.run_in_vm(environment="debian:12", command=["echo", "alive"])["stdout"] == "alive\n"


def test_a_pull_makes_the_templates_of_the_usual_machines(own_pyro: Installation) -> None:
    assert own_pyro.cli("env", "pull", "debian:12").returncode == 0
    made = own_pyro.logs().count("is made, in")
    timings = own_pyro.json("run", "--json", "debian:12", "--", "true")["timings_ms"]
    assert "restore" in timings
    own_pyro.sdk().create_workspace(environment="debian:12")
    assert own_pyro.logs().count("is made, in") == made


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_disk_that_fills_up_while_a_template_is_saved_is_only_a_cold_boot(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "pyro-test", tmp_path], check=True)
    try:
        pyro = Installation(tmp_path / "state")
        mem_mib = str(without_template(309))
        try:
            result = pyro.json("run", "--json", "--mem-mib", mem_mib, "debian:12", "--", "echo", "alive")
            assert (result["stdout"], "restore" in result["timings_ms"]) == ("alive\n", False), pyro.logs()
            assert "no template" in pyro.logs()
            assert template_of(309) is None
            assert list((tmp_path / "state/machines").iterdir()) == []
        finally:
            pyro.stop()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_doctor_shows_the_last_starts_and_how_long_each_step_took(pyro: Installation) -> None:
    ran = pyro.json("run", "--json", "debian:12", "--", "true")
    latest, *others = pyro.json("doctor", "--json")["starts"]
    assert (latest["vm_id"], latest["restored"]) == (ran["vm_id"], True)
    assert latest["timings_ms"].items() <= ran["timings_ms"].items()
    assert latest["total_ms"] == pytest.approx(sum(latest["timings_ms"].values()), abs=0.2)
    assert len(others) <= 9
    assert f"Start: {ran['vm_id']} restored in " in pyro.cli("doctor").stdout.decode()
    assert "Start" not in pyro.cli("daemon", "status").stdout.decode()


@on_qemu
async def test_a_clock_that_went_wrong_is_set_before_the_next_command(
    pyro: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyro.json("run", "--json", "debian:12", "--", "true")
    machine = await Machine.start(bare.machine_plan(bare.default_template(), tmp_path / "vm"))
    try:
        assert await output_of(machine, "date -s @86400 > /dev/null; date +%Y") == "1970\n"
        assert await output_of(machine, "date +%Y") == "1970\n", "as far as the host can tell, nothing has happened"
        now = HostClocks.read()
        slept = HostClocks(now.offset + 3600, now.now + 3600)
        monkeypatch.setattr(HostClocks, "read", lambda: slept)
        assert abs(int(await output_of(machine, "date +%s")) - time.time()) < 10
    finally:
        await machine.destroy()


async def output_of(machine: Machine, script: str) -> str:
    events = [event async for event in machine.run(("sh", "-c", script), timeout_seconds=60)]
    return b"".join(event.data for event in events if isinstance(event, Output)).decode()


@on_qemu
async def test_copies_that_are_not_reseeded_draw_the_same(pyro: Installation, tmp_path: Path) -> None:
    """If this fails, the test of many restores cannot: it would pass without reseeding, too."""
    blank(tmp_path / "blank", SCRATCH_BYTES)
    assert pyro.json("env", "inspect", "debian:12", "--json")["installed"]
    booted = Assembly(replace(bare.machine_plan(None, tmp_path / "booted"), blank_scratch=tmp_path / "blank"))
    # Seeded last of all: the kernel mixes in the jitter of its interrupts after some seconds, and copies part then.
    await run_steps(booted, (*template_steps(booted.plan), GiveIdentity()))
    try:
        await booted.running_vmm.save()
    finally:
        await undo_steps(booted, RUNNING_PARTS)
    saved = (seal(booted.plan.directory / name) for name in ("memory", "state", "scratch.ext4"))
    template, drawn = Template(*saved), []
    for number in range(2):
        machine = Assembly(bare.machine_plan(template, tmp_path / str(number)))
        await run_steps(machine, [step for step in start_steps(machine.plan) if step.name != "identity"])
        try:
            drawn.append(await bare.said(machine.connected_agent, "od", "-An", "-N16", "-tx1", "/dev/urandom"))
        finally:
            await undo_steps(machine, RUNNING_PARTS)
    assert drawn[0] == drawn[1]
    assert len(drawn[0].split()) == 16
