"""A machine's network as its steps see it: a namespace with a cable in it, and what the processes behind it print."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from pyro_mcp.machines.log import Log
from pyro_mcp.machines.plan import NetworkPlan
from pyro_mcp.model.network import Denied
from pyro_mcp.net.namespace import Namespace
from pyro_mcp.net.ruleset import ruleset


class Cable:
    """Owns the processes of one machine's network."""

    def __init__(self, directory: Path, *, uid: int | None) -> None:
        self._log = Log(directory / "network.log")
        self.namespace = Namespace(directory, uid=uid, printed=self._log.text)

    async def make(self, plan: NetworkPlan) -> None:
        """The namespace and its rules, and the way out if there is to be one. Raises HostError."""
        # Its end in the directory is how these processes are found if nobody noted them down.
        output = self._log.make()
        self._log.follow()
        await self.namespace.make(ruleset(plan.allowed, plan.host), output)
        if plan.connected:
            await self.namespace.connect(output)

    def adopt(self) -> None:
        """Raises HostError where it is gone."""
        self._log.reopen()
        self._log.follow()
        self.namespace.adopt()

    async def denied(self) -> list[Denied]:
        """What the guest was refused within the last hour. Raises HostError."""
        return await self.namespace.denied()

    async def set_host(self, addresses: Iterable[IPv4Address]) -> None:
        """The host has these addresses now. Raises HostError."""
        await self.namespace.set_host(addresses)

    async def close(self) -> None:
        """End it all. Idempotent."""
        await self.namespace.close()
        self._log.close()
