"""The host's addresses, and word of their change, in a namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address

from pyro_mcp.host.addresses import current

_COMMON = """
import asyncio, logging, os, subprocess, sys, threading
from pyro_mcp.host import tools
from pyro_mcp.host.addresses import HostAddresses, current

IP = tools.require("ip", "iproute2")

def ip(*words):
    subprocess.run([IP, *words], check=True)

def shown(addresses):
    return " ".join(sorted(str(entry).removesuffix("/32") for entry in addresses if not entry.is_loopback))
"""

CHANGES = """
async def main():
    told = asyncio.Queue()
    addresses = HostAddresses(told.put)
    print(shown(addresses.get()))
    watching = asyncio.create_task(addresses.watch())
    await asyncio.to_thread(ip, "address", "add", "9.9.9.9/32", "dev", "lo")
    print(shown(await told.get()))
    await asyncio.to_thread(ip, "address", "del", "9.9.9.9/32", "dev", "lo")
    print(shown(await told.get()))
    watching.cancel()
    ip("address", "add", "7.7.7.7/32", "dev", "lo")
    print(shown(addresses.get()))
    addresses.close()

asyncio.run(main())
"""

OTHERS_ASK = """
async def main():
    changed = asyncio.Event()
    last = frozenset()

    async def tell(now):
        nonlocal last
        last = now
        changed.set()

    addresses = HostAddresses(tell)
    over = threading.Event()

    def ask():
        while not over.is_set():
            addresses.get()

    askers = [asyncio.create_task(asyncio.to_thread(ask)) for _ in range(2)]
    watching = asyncio.create_task(addresses.watch())
    missed = 0
    for number in range(40):
        await asyncio.to_thread(ip, "address", "add", f"9.9.9.{number}/32", "dev", "lo")
        now = current()
        try:
            async with asyncio.timeout(5):
                while last != now:
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            missed += 1
    over.set()
    await asyncio.gather(*askers)
    watching.cancel()
    print(missed)

asyncio.run(main())
"""

ONE_WAITS = """
import pyro_mcp.host.addresses as module

addresses = HostAddresses(None)
addresses.get()
ip("address", "add", "9.9.9.9/32", "dev", "lo")
asking, answer, answers = threading.Event(), threading.Event(), []

def slow():
    asking.set()
    answer.wait()
    return current()

module.current = slow
first = threading.Thread(target=lambda: answers.append(shown(addresses.get())))
first.start()
asking.wait()
second = threading.Thread(target=lambda: answers.append(shown(addresses.get())))
second.start()
second.join(0.3)  # as long as nobody has answered, it has nothing either
print(answers)
answer.set()
first.join(), second.join()
print(answers)
"""

FAILURE = """
async def main():
    told, failed = asyncio.Queue(), asyncio.Event()

    class Failed(logging.Handler):
        def emit(self, record):
            failed.set()

    logging.getLogger("pyro_mcp.host.addresses").addHandler(Failed())
    addresses = HostAddresses(told.put)
    print(shown(addresses.get()))
    watching = asyncio.create_task(addresses.watch())
    found, tools.find = tools.find, lambda name: None
    await asyncio.to_thread(ip, "address", "add", "9.9.9.9/32", "dev", "lo")
    await failed.wait()
    try:
        print(shown(addresses.get()))
    except Exception as error:
        print(error.code)
    tools.find = found
    print(shown(await told.get()), shown(addresses.get()))
    watching.cancel()

asyncio.run(main())
"""

UNTOLD = """
async def main():
    told, deaf = asyncio.Queue(), True

    async def tell(now):
        nonlocal deaf
        if deaf:
            deaf = False
            raise OSError("no")
        await told.put(now)

    addresses = HostAddresses(tell)
    addresses.get()
    watching = asyncio.create_task(addresses.watch())
    await asyncio.to_thread(ip, "address", "add", "9.9.9.9/32", "dev", "lo")
    print(shown(await told.get()))
    watching.cancel()

asyncio.run(main())
"""

ROUTES = """
async def main():
    told = asyncio.Queue()
    addresses = HostAddresses(told.put)
    addresses.get()
    watching = asyncio.create_task(addresses.watch())
    await asyncio.to_thread(ip, "route", "add", "local", "52.1.2.0/24", "dev", "lo")
    print(shown(await told.get()))
    await asyncio.to_thread(ip, "address", "add", "52.1.2.3/32", "dev", "lo")
    ip("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
    print(shown(addresses.get()))
    ip("route", "add", "local", "0.0.0.0/0", "dev", "lo")
    print(shown(addresses.get()))
    watching.cancel()

asyncio.run(main())
"""

OTHER_ROUTES = """
import pyro_mcp.host.addresses as module

addresses = HostAddresses(None)
addresses.get()
module.current = lambda: print("asked") or current()
ip("route", "add", "8.0.0.0/8", "dev", "lo")
ip("route", "add", "blackhole", "9.0.0.0/8")
addresses.get()
ip("route", "add", "local", "52.1.2.0/24", "dev", "lo")
addresses.get()
"""


def there(script: str, setup: str = "ip link set lo up; ip address add 5.5.5.5/32 dev lo") -> list[str]:
    """What `script` prints in a namespace where nothing but `setup` was done."""
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--net"),
            *("sh", "-c", f'PATH=$PATH:/usr/sbin; {setup}; exec {sys.executable} -c "$1"', "sh", _COMMON + script),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_loopback_is_among_them() -> None:
    assert any(IPv4Address("127.0.0.1") in network for network in current())


def test_a_change_is_told_and_seen_by_whoever_asks() -> None:
    assert there(CHANGES) == ["5.5.5.5", "5.5.5.5 9.9.9.9", "5.5.5.5", "5.5.5.5 7.7.7.7"]


def test_a_change_is_told_whoever_else_asks_meanwhile() -> None:
    assert there(OTHERS_ASK) == ["0"]


def test_nobody_is_given_the_old_ones_while_another_asks_for_the_new() -> None:
    assert there(ONE_WAITS) == ["[]", "['5.5.5.5 9.9.9.9', '5.5.5.5 9.9.9.9']"]


def test_who_cannot_ask_gives_nobody_the_old_ones_and_tries_again() -> None:
    assert there(FAILURE) == ["5.5.5.5", "ip-missing", "5.5.5.5 9.9.9.9 5.5.5.5 9.9.9.9"]


def test_what_could_not_be_told_is_told_again() -> None:
    assert there(UNTOLD) == ["5.5.5.5 9.9.9.9"]


def test_what_is_routed_to_the_host_is_its_own_though_on_no_interface() -> None:
    assert there(ROUTES) == ["5.5.5.5 52.1.2.0/24", "5.5.5.5 52.1.2.0/24", "0.0.0.0/0"]


def test_other_routes_are_not_asked_about() -> None:
    assert there(OTHER_ROUTES) == ["asked"]


def test_a_host_without_any_has_none() -> None:
    assert there("print(sorted(current()))", setup="true") == ["[]"]
