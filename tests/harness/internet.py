"""An internet made of two network namespaces: a host with addresses of its own in one, everything else in the other.

Nothing in them has a way to the real one. `world_server.py` speaks for every address there is, and notes which was
reached.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "93.184.216.34"
"""A public address of the host itself."""
HOST_LAN = "192.168.77.2"
ROUTER = "93.184.216.1"
PUBLIC = ("8.8.8.8", "1.1.1.1", "151.101.1.69", "93.184.216.99")
PRIVATE = ("10.9.8.7", "172.16.5.5", "172.31.255.254", "192.168.1.1", "192.168.77.1")
SPECIAL = (
    "100.64.0.1",
    "100.127.253.9",
    "169.254.169.254",
    "169.254.1.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.5",
    "198.51.100.7",
    "203.0.113.5",
)
PUBLIC6 = ("2001:4860:4860::8888", "2606:4700:4700::1111")
PRIVATE6 = ("fd00::5", "fc00::9", "2001:db8::1", "64:ff9b::a09:807")
HOST6 = "2a00:1450:4001::34"
ROUTER6 = "2a00:1450:4001::1"
NAMESERVER = "8.8.8.8"

_SERVER = Path(__file__).with_name("world_server.py")


@dataclass(frozen=True)
class Internet:
    enter: tuple[str, ...]
    """What a command begins with to run on the host that is in this internet."""
    _server: subprocess.Popen[str]

    def reached(self) -> list[list[Any]]:
        """[protocol, address, port] of everything that anybody reached since this was asked last."""
        return self._ask({"do": "reached"})  # type: ignore[no-any-return]

    def resolve(self, name: str, *answers: list[str]) -> None:
        """From now on `name` has these addresses: the n-th query gets the n-th list, later ones the last."""
        self._ask({"do": "resolve", "name": name, "answers": answers})

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@contextmanager
def internet(tmp: Path) -> Iterator[Internet]:
    """Needs root. Everything of it ends with the block."""
    resolver = tmp / "resolv.conf"
    resolver.write_text(f"nameserver {NAMESERVER}\n")
    with ExitStack() as made:
        world = made.enter_context(_process("unshare", "--net", sys.executable, str(_SERVER)))
        place = f"mount --bind {resolver} /etc/resolv.conf && echo there && read -r _"
        home = made.enter_context(_process("unshare", "--net", "--mount", "sh", "-c", place))
        assert home.stdout is not None
        assert home.stdout.readline() == "there\n"
        _links(world.pid, home.pid)
        # As on every host with systemd: without it only root may ping.
        ping = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"
        subprocess.run(["nsenter", f"--net=/proc/{home.pid}/ns/net", "sh", "-c", ping], check=True)
        found = Internet(("nsenter", f"--net=/proc/{home.pid}/ns/net", f"--mount=/proc/{home.pid}/ns/mnt", "--"), world)
        assert found._ask({"do": "serve"}) == "serving"
        host = made.enter_context(_process(*found.enter, sys.executable, str(_SERVER)))
        assert Internet((), host)._ask({"do": "serve"}) == "serving"
        yield found


@contextmanager
def _process(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """A process that ends once its standard input does."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _links(world: int, home: int) -> None:
    _ip(world, f"link add wire type veth peer name wire netns {home}")
    for address in (*PUBLIC, *PRIVATE, *SPECIAL):
        _ip(world, f"address add {address}/32 dev lo")
    for address in (*PUBLIC6, *PRIVATE6):
        _ip(world, f"address add {address}/128 dev lo nodad")
    for pid, own, own6 in ((world, ROUTER, ROUTER6), (home, HOST, HOST6)):
        _ip(pid, "link set lo up")
        _ip(pid, f"address add {own}/24 dev wire")
        _ip(pid, f"address add {own6}/64 dev wire nodad")
        _ip(pid, "link set wire up")
    _ip(home, f"address add {HOST_LAN}/24 dev wire")
    _ip(home, f"route add default via {ROUTER}")
    _ip(home, f"route add 192.168.77.1/32 via {ROUTER}")
    _ip(home, f"route add 93.184.216.99/32 via {ROUTER}")
    _ip(home, f"-6 route add default via {ROUTER6}")


def _ip(pid: int, command: str) -> None:
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *command.split()], check=True)
