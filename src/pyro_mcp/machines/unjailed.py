"""No room at all: the agent as a plain process of the host, for where commands run on the host itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pyro_mcp.errors import VmmError
from pyro_mcp.host import process, strays
from pyro_mcp.machines.log import Logged
from pyro_mcp.model.machine import ProcessIdentity
from pyro_mcp.vmm.driver import VmmPlan


class Unjailed(Logged):
    """Starts one agent on the host (`vmm.driver.Launcher`); its output goes to a log in the machine's directory.

    It inherits nothing of our environment. What it finds there names the machine's directory, and so does the
    environment of whatever it starts: that is how they are found again.
    """

    def __init__(self, directory: Path, *, on_process: Callable[[ProcessIdentity], None]) -> None:
        """`on_process` hears of the process as soon as it exists."""
        self._directory = directory
        super().__init__(directory)
        self._on_process = on_process

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        log = self._log.make()
        marked = {strays.MARKER: str(self._directory.resolve())}
        try:
            child = process.spawn_detached(plan.argv, output=log, inherit=inherited, environment=marked)
        except OSError as error:
            raise VmmError(f"{plan.argv[0]} cannot be started: {error.strerror}", code="agent-failed") from error
        self._log.follow()
        try:
            self._on_process(child.identity)
        except BaseException:
            child.kill_group()
            raise
        return child.identity
