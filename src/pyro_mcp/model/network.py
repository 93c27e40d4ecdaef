"""What a guest may reach, and the addresses that every guest's network has in common.

All machines have the same inner addresses, each in a network namespace of its own: so one that was saved can be
restored anywhere. They are taken from the range for carriers (RFC 6598), where hardly anybody has a network of his own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from pyro_mcp.errors import UsageError

GUEST_ADDRESS = "100.127.255.2"
GATEWAY = "100.127.255.1"
LINK_PREFIX = 30
NAMESERVER = "100.127.254.3"
"""Forwards to the resolver of the host."""
OUTER_RANGE = "100.127.254.0/24"
"""Between a guest's namespace and the outside, behind a second address translation."""
INNER_RANGE = "100.127.254.0/23"
"""All of the above."""
MTU = 65520
"""As large as can be: nothing is ever put on a wire in this size, so fewer pieces are fewer."""

TAP = "tap0"
TAP_ADDRESS = "02:50:59:52:4f:01"
GUEST_MAC = "02:50:59:52:4f:02"

_MOST_ALLOWED = 64
_ALLOW = re.compile(r"(?P<network>[0-9./]+)(:(?P<port>[0-9]{1,5}))?")
# Nothing can be reached there from a guest, whatever is allowed.
_NOWHERE = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", INNER_RANGE)))


class NetworkPolicy(StrEnum):
    """OFF: no route anywhere. EGRESS: outwards, as far as it is public. PUBLISHED: that, and ports for this host."""

    OFF = "off"
    EGRESS = "egress"
    PUBLISHED = "egress+published-ports"


@dataclass(frozen=True, slots=True)
class Allowed:
    """A range that is open though it would be closed: all of it, or one port of TCP and UDP."""

    network: IPv4Network
    port: int | None = None

    def __str__(self) -> str:
        return str(self.network) if self.port is None else f"{self.network}:{self.port}"

    @classmethod
    def parse(cls, text: object) -> Allowed:
        """`CIDR` or `CIDR:PORT`, IPv4; a single address is a range of one. Raises UsageError `invalid-allow`."""
        match = _ALLOW.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            why = "IPv6 is closed in this version" if str(text).count(":") > 1 else "it must be CIDR or CIDR:PORT"
            raise _invalid(text, why)
        try:
            network = IPv4Network(match["network"])
        except ValueError as error:
            raise _invalid(text, str(error)) from error
        port = None if match["port"] is None else int(match["port"])
        if port is not None and not 1 <= port <= 65535:
            raise _invalid(text, "a port is 1 to 65535")
        if any(network.subnet_of(nowhere) for nowhere in _NOWHERE):
            raise _invalid(text, "nothing can be reached there from a guest")
        return cls(network, port)


@dataclass(frozen=True, slots=True)
class Denied:
    """Something a guest tried to reach and must not. `port` is None where the protocol has none."""

    address: IPv4Address
    protocol: str
    port: int | None
    count: int


def require_allowed(value: object, *, networked: bool) -> tuple[Allowed, ...]:
    """The list of `Allowed`; it says nothing without a network. Raises UsageError."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError("allow must be a list of texts like 10.1.2.0/24 or 10.1.2.3:5432", code="invalid-allow")
    if value and not networked:
        raise UsageError(
            "allow opens ranges of a network, and there is none",
            code="invalid-allow",
            hint="ask for a network as well: `run --network`, `workspace create --network-policy egress`",
        )
    if len(value) > _MOST_ALLOWED:
        raise UsageError(f"there are {len(value)} ranges to allow; at most {_MOST_ALLOWED} can be given")
    return tuple(dict.fromkeys(Allowed.parse(text) for text in value))


def require_policy(value: object) -> NetworkPolicy:
    """Raises UsageError for what is no policy."""
    try:
        return NetworkPolicy(value)  # type: ignore[arg-type]  # whatever it is
    except ValueError as error:
        names = ", ".join(policy.value for policy in NetworkPolicy)
        raise UsageError(f"network_policy is {str(value)[:40]!r}; it must be one of {names}") from error


def _invalid(text: object, why: str) -> UsageError:
    return UsageError(
        f"{str(text)[:60]!r} cannot be allowed: {why}",
        code="invalid-allow",
        hint="give a range of IPv4 addresses, with or without a port: 10.1.2.0/24, 192.168.1.5:5432",
    )
