"""A machine's network as its steps see it: a namespace with a cable in it, and what the processes behind it print."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.machines.log import Log
from pyro_mcp.machines.plan import NetworkPlan
from pyro_mcp.net.namespace import Namespace
from pyro_mcp.net.ruleset import Own, Refusals, ruleset

_log = logging.getLogger(__name__)


class Cable:
    """Owns the processes of one machine's network."""

    def __init__(self, directory: Path, *, uid: int | None) -> None:
        self._printed = directory / "network.log"
        self._log = Log(self._printed)
        self.namespace = Namespace(directory, uid=uid, printed=self._log.text)

    async def make(self, plan: NetworkPlan) -> None:
        """The namespace and its rules, and the way out if there is to be one. Raises HostError."""
        # Its end in the directory is how these processes are found if nobody noted them down.
        output = self._log.make()
        self._log.follow()
        await self.namespace.make(ruleset(plan.allowed, plan.host), output)
        if plan.connected:
            await self.namespace.connect(output)
            self.namespace.keep(self._printed)

    def adopt(self) -> None:
        """Raises HostError where it is gone."""
        self._log.reopen()
        self._log.follow()
        self.namespace.adopt()
        self.namespace.keep(self._printed)

    async def refused(self) -> Refusals:
        """What the guest was refused. Raises HostError."""
        return await self.namespace.refused()

    async def set_host(self, addresses: Iterable[Own]) -> None:
        """The host has these addresses now. Raises HostError: then the guest is cut off, for its rules are not true."""
        try:
            await self.namespace.set_host(addresses)
        except (HostError, OSError) as error:
            await self.cut_off(error)
            if isinstance(error, HostError):
                raise
            raise HostError(f"the rules of a network cannot be replaced: {error}", code="network-failed") from error

    async def cut_off(self, reason: Exception) -> None:
        """Nothing leads out any more, until the machine is stopped and started."""
        _log.error("the guest in %s is cut off, as its rules may not be true: %s", self._printed.parent.name, reason)
        await self.namespace.cut_off()

    async def close(self) -> None:
        """End it all. Idempotent."""
        await self.namespace.close()
        self._log.close()
