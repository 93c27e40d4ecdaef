"""How much memory machines take."""

from __future__ import annotations

from pathlib import Path

from tests.harness.census import processes_of
from tests.harness.installation import Installation


def pss_mib(pyro: Installation, machines: int) -> float:
    """Proportional set size of each of some machines that do nothing, in MiB; without the template's own memory."""
    sdk = pyro.sdk()
    before = set(processes_of(pyro.state_dir))
    started = [sdk.create_vm(environment="debian:12")["vm_id"] for _ in range(machines)]
    for vm_id in started:
        sdk.start_vm(vm_id)
    vmms = [pid for pid in set(processes_of(pyro.state_dir)) - before if Path(f"/proc/{pid}/exe").exists()]
    sizes = [
        int(line.split()[1])
        for pid in vmms
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss:")
    ]
    for vm_id in started:
        sdk.delete_vm(vm_id)
    return round(sum(sizes) / 1024 / machines, 1)
