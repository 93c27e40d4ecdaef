"""A lab in which pyro can be used, from the host's side."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pyro_mcp.disk.clone import clone
from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab import inside
from tests.lab.machine import Lab, lab

SESSION_SECONDS = 1200
_PREPARE_SECONDS = 120


@asynccontextmanager
async def prepared(host: InstalledEnvironment, packed: Path, user: str) -> AsyncIterator[Lab]:
    """A fresh lab in which pyro can be used by `user`."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pyro-lab-") as directory:
        luggage = Path(directory) / "luggage.ext4"
        clone(packed, luggage)
        async with lab(host, luggage, Path(directory)) as machine:
            up, said = time.monotonic() - started, bytearray()
            status = await machine.run(
                inside.prepare(machine.luggage, user), timeout_seconds=_PREPARE_SECONDS, on_output=said.extend
            )
            assert status == 0, f"the lab cannot be prepared: {said.decode(errors='replace')}"
            show(f"\n[lab] up in {up:.1f} s, prepared for {user} in {time.monotonic() - started - up:.1f} s\n".encode())
            yield machine


def show(data: bytes) -> None:
    """To the terminal, at once and as it is: pytest's own output, and the logs it shows of what failed."""
    sys.stdout.flush()
    os.write(sys.stdout.fileno(), data)
