"""The host's addresses, and word of their change, in a namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address

from pyro_mcp.host.addresses import current

SCRIPT = """
import asyncio, subprocess
from pyro_mcp.host.addresses import HostAddresses

async def main():
    told = asyncio.Queue()
    addresses = HostAddresses(told.put)
    print(sorted(map(str, addresses.get())))
    watching = asyncio.create_task(addresses.watch())
    await asyncio.to_thread(subprocess.run, ["ip", "address", "add", "9.9.9.9/32", "dev", "lo"], check=True)
    print(sorted(map(str, await told.get())))
    await asyncio.to_thread(subprocess.run, ["ip", "address", "del", "9.9.9.9/32", "dev", "lo"], check=True)
    print(sorted(map(str, await told.get())))
    watching.cancel()
    subprocess.run(["ip", "address", "add", "7.7.7.7/32", "dev", "lo"], check=True)
    print(sorted(map(str, addresses.get())))
    addresses.close()

asyncio.run(main())
"""


def test_loopback_is_among_them() -> None:
    assert IPv4Address("127.0.0.1") in current()


def test_a_change_is_told_and_seen_by_whoever_asks() -> None:
    setup = f'PATH=$PATH:/usr/sbin; ip link set lo up; ip address add 5.5.5.5/32 dev lo; exec {sys.executable} -c "$1"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", setup, "sh", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == [
        "['127.0.0.1', '5.5.5.5']",
        "['127.0.0.1', '5.5.5.5', '9.9.9.9']",
        "['127.0.0.1', '5.5.5.5']",
        "['127.0.0.1', '5.5.5.5', '7.7.7.7']",
    ], done.stderr
