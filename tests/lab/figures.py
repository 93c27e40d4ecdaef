"""What runs cost in the lab, booted and restored: `python3 -m tests.lab.figures RUNS` prints one JSON object."""

from __future__ import annotations

import json
import sys
import time

from tests.harness.installation import Installation, installation
from tests.harness.memory import pss_mib

IDLE = 3


def main() -> None:
    runs, found = int(sys.argv[1]), {}
    for how, templates in (("booted", "off"), ("restored", "on")):
        with installation(PYRO_TEMPLATES=templates) as pyro:
            found[how] = {"runs": measure(pyro, runs, how), "pss_mib": pss_mib(pyro, IDLE)}
    print(json.dumps(found), flush=True)


def measure(pyro: Installation, runs: int, how: str) -> list[dict[str, float]]:
    """The steps of each run of `true`, in milliseconds; `whole` is the call of the SDK."""
    sdk = pyro.sdk()
    sdk.run_in_vm(environment="debian:12", command=["true"])  # makes what is missing
    found = []
    for _ in range(runs):
        started = time.perf_counter()
        timings = sdk.run_in_vm(environment="debian:12", command=["true"])["timings_ms"]
        assert ("restore" in timings) == (how == "restored")
        found.append({**timings, "whole": (time.perf_counter() - started) * 1000})
    return found


if __name__ == "__main__":
    main()
