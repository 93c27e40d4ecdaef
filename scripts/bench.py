#!/usr/bin/env python3
"""Measures what the documents promise about speed, each figure beside its floor, measured in the same run.

usage: bench.py [--runs N] [--long] [--json FILE]

Prints one table and one JSON object. `--long` adds 1,000 restores in a row, 50 cold boots in a row while all
processors are kept busy, and the census of processes, mounts, namespaces, sockets and files before and after 50 runs.
Machines are noisy: compare rows of one run, not runs of different days.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.harness import bare, living_figures
from tests.harness.installation import Installation, installation
from tests.harness.memory import pss_mib
from tests.harness.workspace_figures import Figure, figures, mib_per_stopped_workspace
from tests.lab import bench as lab

PYRO = [str(Path(sys.executable).with_name("pyro"))]
PYTHON = [sys.executable]
LONG_RUNS = 50
RESTORES = 1000
PARALLEL = 20
IDLE = 5
STOPPED = 100


@dataclass(frozen=True)
class Row:
    """One figure: medians in milliseconds over `runs`; `floor_ms` is the same work without pyro."""

    what: str
    median_ms: float
    min_ms: float
    max_ms: float
    runs: int
    floor: str = ""
    floor_ms: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="counted runs of each row")
    parser.add_argument("--long", action="store_true", help="also 50 boots under load and the census")
    parser.add_argument("--json", type=Path, help="write the JSON object there instead of to stdout")
    options = parser.parse_args()

    rows = [*command_line(options.runs), mcp_start(options.runs)]
    facts: dict[str, object] = {}
    with installation(PYRO_VMM="qemu") as pyro:
        pyro.json("env", "pull", "--json", "debian:12")
        rows += restored_runs(pyro, options.runs)
        rows.append(parallel_runs(pyro))
        facts["pss_mib_per_idle_restored_vm"] = pss_mib(pyro, IDLE)
        rows += map(workspace_row, figures(pyro, options.runs))
        rows += map(workspace_row, living_figures.figures(pyro, options.runs))
        facts[f"mib_per_stopped_workspace_of_{STOPPED}"] = mib_per_stopped_workspace(pyro, STOPPED)
        if options.long:
            facts["restores_in_a_row_failed"] = f"{failed_restores(pyro)} of {RESTORES}"
    with installation(PYRO_VMM="qemu", PYRO_TEMPLATES="off") as pyro:
        rows += cold_runs(pyro, options.runs)
        if options.long:
            row, failed = boots_under_load(pyro)
            rows.append(row)
            facts["boots_under_load_failed"] = failed
            facts["leaks_after_50_runs"] = census_of_runs(pyro)
    for how, found in lab.figures(options.runs).items():
        rows.append(lab_row(how, [run["whole"] for run in found["runs"]]))
        steps = {step: statistics.median(run[step] for run in found["runs"]) for step in found["runs"][0]}
        facts[f"ms_of_firecracker_{how}"] = " ".join(f"{step}={taken:.0f}" for step, taken in steps.items())
        facts[f"pss_mib_per_idle_{how}_vm_of_firecracker"] = found["pss_mib"]
    show(rows, facts)
    document = json.dumps({"rows": [asdict(row) for row in rows], "facts": facts}, indent=1)
    if options.json:
        options.json.write_text(document + "\n")
    else:
        print(document)


def command_line(runs: int) -> Iterator[Row]:
    """What everyone waits for before anything happens."""
    floor = measure("", runs, lambda: spawn([*PYTHON, "-c", "pass"])).median_ms
    for what, command in (
        ("pyro --version", [*PYRO, "--version"]),
        ("from pyro_mcp import Pyro", [*PYTHON, "-c", "from pyro_mcp import Pyro"]),
        ("pyro --help", [*PYRO, "--help"]),
        ("pyro run --help", [*PYRO, "run", "--help"]),
    ):
        yield measure(what, runs, lambda command=command: spawn(command), floor="python -c pass", floor_ms=floor)


def mcp_start(runs: int) -> Row:
    """From the server's start to the answer to tools/list; its floor is loading the official SDK."""
    floor = measure("", runs, lambda: spawn([*PYTHON, "-c", "import mcp"])).median_ms
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    messages: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ]
    asked = "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages).encode()

    def start() -> None:
        with subprocess.Popen([*PYRO, "mcp", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(asked)
            server.stdin.flush()
            server.stdout.readline()
            assert b'"tools"' in server.stdout.readline()
            server.kill()

    return measure("pyro mcp serve to tools/list", runs, start, floor="import mcp", floor_ms=floor)


def restored_runs(pyro: Installation, runs: int) -> Iterator[Row]:
    """A run from a template; its floor is QEMU alone, restored from it, up to the end of its first command."""
    sdk = pyro.sdk()
    sdk.run_in_vm(environment="debian:12", command=["true"])  # makes it
    template = bare.default_template()
    floors = [bare.seconds_to_first_command(template) * 1000 for _ in range(runs)]
    floor = {"floor": "bare QEMU to its first command's end", "floor_ms": statistics.median(floors)}
    command = [*PYRO, "run", "debian:12", "--", "true"]
    yield measure("pyro run debian:12 -- true, whole process", runs, lambda: spawn(command, pyro.environment), **floor)

    def in_process() -> None:
        assert "restore" in sdk.run_in_vm(environment="debian:12", command=["true"])["timings_ms"]

    yield measure("Pyro().run_in_vm(true), live process", runs, in_process, **floor)


def workspace_row(figure: Figure) -> Row:
    what, taken, floor, floors = figure
    floor_ms = statistics.median(floors) if floors else None
    return Row(what, statistics.median(taken), min(taken), max(taken), len(taken), floor, floor_ms)


def lab_row(how: str, taken: list[float]) -> Row:
    """Firecracker's, on KVM emulated by software: a ratio of two such rows means something, the figures do not."""
    what = f"Pyro().run_in_vm(true), Firecracker in the lab, {how}"
    return Row(what, statistics.median(taken), min(taken), max(taken), len(taken))


def failed_restores(pyro: Installation) -> int:
    """How many of very many machines in a row did not come back from the template and run their command."""
    sdk = pyro.sdk()
    good = 0
    for _ in range(RESTORES):
        result = sdk.run_in_vm(environment="debian:12", command=["true"])
        good += result["exit_code"] == 0 and "restore" in result["timings_ms"]
    return RESTORES - good


def parallel_runs(pyro: Installation) -> Row:
    """All of them at once, from the first one's start to the last one's end."""

    def at_once() -> None:
        command = [*PYRO, "run", "debian:12", "--", "true"]
        started = [subprocess.Popen(command, env=pyro.environment, stderr=subprocess.DEVNULL) for _ in range(PARALLEL)]
        assert [process.wait() for process in started] == [0] * PARALLEL

    return measure(f"{PARALLEL} times pyro run debian:12 -- true at once", 3, at_once)


def cold_runs(pyro: Installation, runs: int) -> Iterator[Row]:
    """A whole run; its floor is the guest's own boot: from the VMM's start to the agent's first answer."""
    boots: list[float] = []

    def in_process() -> None:
        timings = sdk.run_in_vm(environment="debian:12", command=["true"])["timings_ms"]
        boots.append(timings["vmm"] + timings["agent"])

    sdk = pyro.sdk()
    live = measure("Pyro().run_in_vm(true), cold, live process", runs, in_process)
    floor = {"floor": "VMM start to agent's answer", "floor_ms": statistics.median(boots)}
    yield Row(**{**asdict(live), **floor})
    command = [*PYRO, "run", "debian:12", "--", "true"]
    yield measure(
        "pyro run debian:12 -- true, cold, whole process", runs, lambda: spawn(command, pyro.environment), **floor
    )


def boots_under_load(pyro: Installation) -> tuple[Row, int]:
    """50 cold boots in a row while every processor has something else to do, too."""
    failed = 0

    def boot() -> None:
        nonlocal failed
        failed += pyro.cli("run", "debian:12", "--", "true").returncode != 0

    with busy_processors():
        row = measure("pyro run debian:12 -- true, cold, all processors busy", LONG_RUNS, boot, warmup=False)
    return row, failed


def census_of_runs(pyro: Installation) -> dict[str, list[str]]:
    """What 50 runs left behind, by kind; empty is what it has to be."""
    before = pyro.census()
    for _ in range(LONG_RUNS):
        assert pyro.cli("run", "debian:12", "--", "true").returncode == 0
    return pyro.census().leaks_since(before)


def measure(
    what: str,
    runs: int,
    work: Callable[[], None],
    *,
    floor: str = "",
    floor_ms: float | None = None,
    warmup: bool = True,
) -> Row:
    if warmup:
        work()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return Row(what, statistics.median(taken), min(taken), max(taken), runs, floor, floor_ms)


def spawn(command: list[str], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, env=environment, check=True, capture_output=True)


@contextmanager
def busy_processors() -> Iterator[None]:
    spinners = [subprocess.Popen([*PYTHON, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def show(rows: list[Row], facts: dict[str, object]) -> None:
    """The table for people, on stderr, so that stdout is JSON alone."""
    width = max(len(row.what) for row in rows)
    print(f"{'':{width}}  {'median':>9} {'min':>9} {'max':>9}  {'n':>3}  floor", file=sys.stderr)
    for row in rows:
        floor = "" if row.floor_ms is None else f"{row.floor_ms:7.0f} ms  {row.floor}"
        spread = f"{row.median_ms:6.0f} ms {row.min_ms:6.0f} ms {row.max_ms:6.0f} ms"
        print(f"{row.what:{width}}  {spread}  {row.runs:3}  {floor}", file=sys.stderr)
    for name, value in facts.items():
        print(f"{name}: {value}", file=sys.stderr)


if __name__ == "__main__":
    main()
