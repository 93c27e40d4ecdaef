"""What a guest may reach, as text for nftables. Pure.

The rules stand in the guest's own namespace, between its TAP and the way out. A refusal is an answer, not silence: a
reset for TCP, an ICMP error for the rest. How much was refused is counted, and what is kept in two sets, for whoever
wants to know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from pyro_mcp.model.network import (
    GATEWAY,
    GUEST_ADDRESS,
    INNER_RANGE,
    LINK_PREFIX,
    MTU,
    NAMESERVER,
    TAP,
    TAP_ADDRESS,
    Allowed,
    Denied,
)

TABLE = "inet pyro"
DENIED_PORTS = "denied_ports"
DENIED_OTHERS = "denied_others"
DENIED = "denied"
HOST = "host"

# Of each set. To list 2 x 4,096 takes nft 0.2 s, and they take 1 MiB of the host's memory; 2 x 65,536 would be 5 s.
_DENIED_SIZE = 4096
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}

CLOSED = (
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # carriers
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # public by its number: where Azure answers its VMs, with what they are to know
    "169.254.0.0/16",  # link-local, and where clouds keep their metadata
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
)
"""What is not public: the IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast, and metadata elsewhere."""

Own = IPv4Address | IPv4Network
"""Of the host: an address, or a range that it answers to."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """`count` packets were refused since the network was made; `denied` were tried within the last hour."""

    count: int
    denied: tuple[Denied, ...]
    """Those most often denied first, at most 8,192."""


def ruleset(allowed: Sequence[Allowed], host: Iterable[Own]) -> str:
    """Everything that stands between a guest and the outside.

    `host` are the addresses of this host: closed whatever they are, like all that is not public, unless `allowed`. From
    in here they could be reached as any other: the way out begins on the host.

    Where the set of ports is full, as after somebody tried all of a host's, only the address goes on record: the rule
    that cannot add is left, and the next one is for whatever comes.
    """
    return f"""
table {TABLE} {{
  counter {DENIED} {{ }}
  set {HOST} {{ type ipv4_addr; flags interval; {_elements(host)}}}
  set closed {{ type ipv4_addr; flags interval; elements = {{ {", ".join(CLOSED)} }} }}
  set {DENIED_PORTS} {{
    type ipv4_addr . inet_proto . inet_service; size {_DENIED_SIZE}; flags dynamic,timeout; timeout 1h; counter;
  }}
  set {DENIED_OTHERS} {{
    type ipv4_addr . inet_proto; size {_DENIED_SIZE}; flags dynamic,timeout; timeout 1h; counter;
  }}
  chain refuse {{
    counter name "{DENIED}"
    meta l4proto {{ tcp, udp }} update @{DENIED_PORTS} {{ ip daddr . meta l4proto . th dport }} goto answer
    update @{DENIED_OTHERS} {{ ip daddr . meta l4proto }}
    goto answer
  }}
  chain answer {{
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname != "{TAP}" ct state established,related accept
    iifname != "{TAP}" drop
    ip saddr != {GUEST_ADDRESS} drop
    ct state invalid drop
    ip daddr {NAMESERVER} meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr {INNER_RANGE} goto refuse
{"".join(_opened(entry) for entry in allowed)}    ip daddr @{HOST} goto refuse
    ip daddr @closed goto refuse
    meta l4proto {{ tcp, udp, icmp }} accept
    goto refuse
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "{TAP}" ip saddr {GUEST_ADDRESS} goto refuse
  }}
  chain output {{
    type filter hook output priority filter; policy drop;
    oifname "{TAP}" accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname "{TAP}" masquerade
  }}
}}
"""


def host_update(host: Iterable[Own]) -> str:
    """The same rules with other addresses of the host, all at once."""
    added = _listed(host)
    return f"flush set {TABLE} {HOST}\n" + (f"add element {TABLE} {HOST} {{ {added} }}\n" if added else "")


def links() -> str:
    """The namespace's own end of the guest's cable, as a batch for ip."""
    return (
        "link set lo up\n"
        f"tuntap add dev {TAP} mode tap\n"
        f"link set {TAP} address {TAP_ADDRESS}\n"
        f"link set {TAP} mtu {MTU} up\n"
        f"addr add {GATEWAY}/{LINK_PREFIX} dev {TAP}\n"
    )


def parse_refusals(listing: str) -> Refusals:
    """From what `nft -j list table` printed. Raises ValueError, KeyError, TypeError, AttributeError."""
    objects = json.loads(listing)["nftables"]
    (count,) = (int(item["counter"]["packets"]) for item in objects if _is(item, "counter", DENIED))
    sets = (item["set"] for item in objects if _is(item, "set", DENIED_PORTS) or _is(item, "set", DENIED_OTHERS))
    found = [_denied(entry) for listed in sets for entry in listed.get("elem", ())]
    found.sort(key=lambda denied: (-denied.count, denied.address, denied.protocol, denied.port or 0))
    return Refusals(count, tuple(found))


def _is(item: Mapping[str, Mapping[str, object]], kind: str, name: str) -> bool:
    return kind in item and item[kind]["name"] == name


def _denied(entry: Mapping[str, Mapping[str, object]]) -> Denied:
    element = entry["elem"]
    match element:
        case {"val": {"concat": [str(address), protocol, *port]}, "counter": {"packets": int(count)}}:
            name = protocol if isinstance(protocol, str) else _PROTOCOLS.get(int(protocol), f"ip-{protocol}")
            return Denied(IPv4Address(address), name, _port(port), count)
        case _:
            raise ValueError("not what was asked for")


def _port(rest: Sequence[object]) -> int | None:
    return int(str(rest[0])) if rest else None


def _opened(entry: Allowed) -> str:
    port = "" if entry.port is None else f" meta l4proto {{ tcp, udp }} th dport {entry.port}"
    return f"    ip daddr {entry.network}{port} accept\n"


def _elements(addresses: Iterable[Own]) -> str:
    listed = _listed(addresses)
    return f"elements = {{ {listed} }} " if listed else ""


def _listed(addresses: Iterable[Own]) -> str:
    """As ranges of which none overlap: nftables takes no others."""
    return ", ".join(map(str, collapse_addresses(IPv4Network(entry) for entry in addresses)))
