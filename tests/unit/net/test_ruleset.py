"""The rules of a guest's network: golden text, and what nftables itself makes of it."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Address, IPv4Network

import pytest

from pyro_mcp.model.network import INNER_RANGE, NAMESERVER, Allowed, Denied
from pyro_mcp.net.ruleset import CLOSED, DENIED_PORTS, TABLE, host_update, parse_refusals, ruleset

HOST = [IPv4Address("93.184.216.34"), IPv4Address("127.0.0.1")]
OVERLAPPING: list[IPv4Address | IPv4Network] = [
    IPv4Network("10.0.0.0/8"),
    IPv4Address("10.1.2.3"),
    IPv4Network("93.184.216.0/24"),
    *HOST,
]


def forward(text: str) -> list[str]:
    """The rules of the chain that decides."""
    lines = text.partition("chain forward {")[2].partition("}\n")[0].splitlines()
    return [line.strip() for line in lines if line.strip()]


def loaded(script: str) -> str:
    """What a fresh network namespace has after `script`."""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", f"PATH=$PATH:/usr/sbin; {script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_decides_comes_in_the_order_that_is_meant() -> None:
    allowed = [Allowed.parse("10.1.2.0/24:5432"), Allowed.parse("192.168.1.5")]

    assert forward(ruleset(allowed, HOST)) == [
        "type filter hook forward priority filter; policy drop;",
        'iifname != "tap0" ct state established,related accept',
        'iifname != "tap0" drop',
        "ip saddr != 100.127.255.2 drop",
        "ct state invalid drop",
        f"ip daddr {NAMESERVER} meta l4proto {{ tcp, udp }} th dport 53 accept",
        f"ip daddr {INNER_RANGE} goto refuse",
        "ip daddr 10.1.2.0/24 meta l4proto { tcp, udp } th dport 5432 accept",
        "ip daddr 192.168.1.5/32 accept",
        "ip daddr @host goto refuse",
        "ip daddr @closed goto refuse",
        "meta l4proto { tcp, udp, icmp } accept",
        "goto refuse",
    ]


def test_what_is_not_public_is_closed() -> None:
    closed = [IPv4Network(text) for text in CLOSED]
    special = ["10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.168.0.1", "198.19.0.1"]
    special.append("168.63.129.16")  # Azure's

    assert all(any(IPv4Address(address) in network for network in closed) for address in special)
    for address in ("1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "192.0.1.1"):
        assert not any(IPv4Address(address) in network for network in closed)
        assert IPv4Address(address).is_global


def test_nftables_takes_it_with_as_many_ranges_as_there_can_be() -> None:
    allowed = [Allowed.parse(f"10.{number}.0.0/16:{number + 1}") for number in range(64)]
    text = ruleset(allowed, [IPv4Address(number + (5 << 24)) for number in range(300)])

    assert "table inet pyro" in loaded(f"nft -f - <<'N'\n{text}N\nnft list ruleset")


def test_new_addresses_of_the_host_replace_the_old_ones() -> None:
    update = host_update([IPv4Address("9.9.9.9"), IPv4Address("9.9.9.9")])
    script = f"nft -f - <<'N'\n{ruleset([], HOST)}N\nnft -f - <<'N'\n{update}N\nnft list set {TABLE} host"

    listed = loaded(script)

    assert "9.9.9.9" in listed
    assert "10.0.0.0/8" in loaded(script.replace(update, host_update(OVERLAPPING)))
    assert "93.184.216.34" not in listed
    assert "elements" not in loaded(script.replace(update, host_update([])))


def test_what_was_denied_is_read_as_nftables_writes_it() -> None:
    add = f'nft "add element {TABLE} {DENIED_PORTS} {{ 10.0.0.1 . tcp . 80, 10.0.0.2 . udp . 53 }}"'
    others = f'nft "add element {TABLE} denied_others {{ 10.0.0.3 . icmp, 10.0.0.3 . 47, 10.0.0.3 . 252 }}"'
    rules = f"nft -f - <<'N'\n{ruleset([], HOST)}N\n{add}; {others}"

    found = parse_refusals(loaded(f"{rules}; nft -j list table {TABLE}"))

    assert found.count == 0
    assert [entry for entry in found.denied if entry.port is not None] == [
        Denied(IPv4Address("10.0.0.1"), "tcp", 80, 0),
        Denied(IPv4Address("10.0.0.2"), "udp", 53, 0),
    ]
    assert {entry.protocol for entry in found.denied if entry.port is None} >= {"icmp", "ip-252"}


def test_those_most_often_denied_come_first() -> None:
    def element(address: str, count: int) -> dict[str, object]:
        return {"elem": {"val": {"concat": [address, "tcp", 80]}, "counter": {"packets": count, "bytes": 0}}}

    elements = [element("10.0.0.1", 1), element("10.0.0.2", 5)]
    listing = [{"metainfo": {}}, {"set": {"name": "closed", "elem": ["10.0.0.0"]}}]
    listing += [{"set": {"name": DENIED_PORTS, "elem": elements}}, {"counter": {"name": "denied", "packets": 7}}]
    found = parse_refusals(json.dumps({"nftables": listing}))

    assert found.count == 7
    assert [entry.count for entry in found.denied] == [5, 1]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", '{"nftables": []}', '{"nftables": [{"counter": {"name": "denied"}}]}'),
        '{"nftables": [{"counter": {"name": "denied", "packets": 1}}, '
        '{"set": {"name": "denied_ports", "elem": [{"elem": {"val": 1}}]}}]}',
    ],
)
def test_what_makes_no_sense_is_not_guessed_at(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_refusals(text)
