"""The networks of all machines that run: kept true to this host's addresses, and asked what they refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network

from pyro_mcp.errors import HostError
from pyro_mcp.host.addresses import HostAddresses
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.living_payloads import DeniedPayload, NetworkStatusPayload
from pyro_mcp.model.network import GATEWAY, GUEST_ADDRESS, LINK_PREFIX, NAMESERVER, Allowed, Denied, NetworkPolicy
from pyro_mcp.model.payloads import NetworkPayload
from pyro_mcp.model.record import MachineRecord
from pyro_mcp.net.ruleset import Refusals

_TOLD = 100
"""So many refused destinations are told, those first that were tried most often."""

_log = logging.getLogger(__name__)


class Networks:
    def __init__(self, machines: Callable[[], Iterable[Machine]]) -> None:
        """`machines` are those that run, whenever it is asked."""
        self._machines = machines
        self.addresses = HostAddresses(self._update)
        self._watching: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """From now on every change of this host's addresses reaches every machine that runs."""
        self._watching = asyncio.create_task(self.addresses.watch(), name="addresses")

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self.addresses.close()

    async def _update(self, addresses: frozenset[IPv4Network]) -> None:
        cables = [machine.cable for machine in self._machines() if machine.cable is not None]
        # All at once, and each for itself: nobody waits for one that has trouble.
        told = await asyncio.gather(*(cable.set_host(addresses) for cable in cables), return_exceptions=True)
        for outcome in told:
            if isinstance(outcome, BaseException):  # it may be ending right now; if not, it was cut off
                _log.warning("a network does not know of this host's new addresses: %s", outcome)

    async def status(
        self, policy: NetworkPolicy, allowed: Sequence[Allowed], machine: Machine | None
    ) -> NetworkStatusPayload | None:
        """What a network is and has refused; None without one."""
        if policy is NetworkPolicy.OFF:
            return None
        refused = await _refused(machine)
        return {
            "policy": policy.value,
            "allow": [str(entry) for entry in allowed],
            "denied": [_payload(entry) for entry in refused.denied[:_TOLD]],
            "denied_count": refused.count,
        }

    async def info(self, record: MachineRecord, machine: Machine | None) -> NetworkPayload:
        policy = NetworkPolicy.EGRESS if record.network else NetworkPolicy.OFF
        status = await self.status(policy, record.allowed, machine)
        return {
            "vm_id": record.vm_id,
            "network_enabled": record.network,
            "network_policy": policy.value,
            "addresses": [f"{GUEST_ADDRESS}/{LINK_PREFIX}"] if record.network else [],
            "published_ports": [],
            "policy": policy.value,
            "guest_address": GUEST_ADDRESS if record.network else None,
            "gateway": GATEWAY if record.network else None,
            "nameserver": NAMESERVER if record.network else None,
            "allow": status["allow"] if status else None,
            "denied": status["denied"] if status else None,
            "denied_count": status["denied_count"] if status else None,
        }


async def _refused(machine: Machine | None) -> Refusals:
    """One that is just ending, or stands still, has refused nothing that could be told."""
    if machine is None or machine.cable is None:
        return Refusals(0, ())
    try:
        return await machine.cable.refused()
    except (HostError, OSError) as error:
        _log.warning("what a guest was denied cannot be told: %s", error)
        return Refusals(0, ())


def _payload(denied: Denied) -> DeniedPayload:
    return {
        "address": str(denied.address),
        "protocol": denied.protocol,
        "port": denied.port,
        "count": denied.count,
    }
