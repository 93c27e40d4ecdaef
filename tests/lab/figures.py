"""How long a run takes in the lab, booted and restored: `python3 -m tests.lab.figures`. Ends with 1 if booting won."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence

from tests.harness.installation import installation

RUNS = 5


def main() -> int:
    booted, restored = measure("off"), measure("on")
    show("booted", booted)
    show("restored", restored)
    ratio = total(restored) / total(booted)
    print(f"[lab] restored run ÷ booted run: {ratio:.2f}", flush=True)
    return 0 if ratio < 1 else 1


def measure(templates: str) -> Sequence[Mapping[str, float]]:
    """The steps of some runs of `true`, in milliseconds; `whole` is the call of the SDK."""
    with installation(PYRO_TEMPLATES=templates) as pyro:
        sdk = pyro.sdk()
        sdk.run_in_vm(environment="debian:12", command=["true"])  # makes what is missing
        runs = []
        for _ in range(RUNS):
            started = time.perf_counter()
            timings = sdk.run_in_vm(environment="debian:12", command=["true"])["timings_ms"]
            runs.append({**timings, "whole": (time.perf_counter() - started) * 1000})
        return runs


def total(runs: Sequence[Mapping[str, float]]) -> float:
    return statistics.median(run["whole"] for run in runs)


def show(what: str, runs: Sequence[Mapping[str, float]]) -> None:
    steps = " ".join(f"{step}={statistics.median(run[step] for run in runs):.0f}" for step in runs[0])
    print(f"[lab] {what}, medians of {len(runs)} in ms: {steps}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
