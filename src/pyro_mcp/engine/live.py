"""What the daemon holds of a VM: its machine, what that machine runs from, and the work that is under way on it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field

from pyro_mcp.machines.machine import Machine


@dataclass(slots=True)
class Live:
    """One VM. `lock` is held for a change of its state, never during a command.

    `start` and `deletion` are the tasks that do those; they belong to the VM, not to whoever asked for them.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    machine: Machine | None = None
    resources: ExitStack = field(default_factory=ExitStack)
    watcher: asyncio.Task[None] | None = None
    start: asyncio.Task[None] | None = None
    deletion: asyncio.Task[None] | None = None
    executing: bool = False

    def release(self) -> None:
        """Let go of a machine that has ended."""
        self.machine = None
        self.resources.close()
        if self.watcher is not None:
            self.watcher.cancel()
            self.watcher = None


@dataclass(slots=True)
class Execution:
    """A command under way. Without an `exit_code` in the end it counts as interrupted."""

    machine: Machine
    exit_code: int | None = None
