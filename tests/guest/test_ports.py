"""Published ports: where they are, what passes through them, how that ends on both sides."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.guest.test_services import ended
from tests.guest.test_workspace_life import said, workspace
from tests.harness import talker
from tests.harness.installation import DEADLINE, Installation, until
from tests.harness.talker import ECHO, FULL, GATHERS, IPV6, NOTICES, RESETS, SPEAKS_FIRST

POLICY = "egress+published-ports"
TALKS = (ECHO, SPEAKS_FIRST, RESETS, NOTICES, GATHERS, IPV6)


@contextmanager
def publishing(pyro: Installation, **options: object) -> Iterator[str]:
    """A workspace that may publish, with the program to talk to in it."""
    with workspace(pyro, network_policy=POLICY, **options) as workspace_id:
        text = Path(talker.__file__).read_text()
        pyro.sdk().write_workspace_file(workspace_id, "talker.py", text=text)
        yield workspace_id


def talk(pyro: Installation, workspace_id: str) -> dict[int, int]:
    """Start the program; guest ports and where they are on this host."""
    started = pyro.sdk().start_service(
        workspace_id,
        "talker",
        command="exec python3 talker.py",
        readiness={"type": "tcp", "address": f"[::1]:{IPV6}"},
        published_ports=[{"guest_port": port} for port in TALKS],
    )
    assert started["state"] == "running", started
    return {port["guest_port"]: port["host_port"] for port in started["published_ports"]}


def sleeper(pyro: Installation, workspace_id: str) -> int:
    """A service that only holds a port, at which nobody listens; which one it got."""
    port = {"guest_port": 9999}
    started = pyro.sdk().start_service(workspace_id, "sleeper", command="exec sleep 1000", published_ports=[port])
    return started["published_ports"][0]["host_port"]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def everything(connection: socket.socket) -> bytes:
    """To the end of what the other side says."""
    heard = bytearray()
    while data := connection.recv(1 << 16):
        heard += data
    return bytes(heard)


def listeners(port: int) -> list[str]:
    """The addresses at which somebody listens at that port of this host, as the kernel writes them."""
    tables = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    sockets = (line.split() for line in tables)
    return [
        local.rpartition(":")[0]
        for _, local, _, state, *_ in sockets
        if state == "0A" and local.endswith(f":{port:04X}")
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_ports_are_chosen_or_given_and_on_the_loopback_alone(pyro: Installation) -> None:
    with publishing(pyro) as workspace_id:
        given = free_port()
        started = pyro.json(
            *("workspace", "service", "start", workspace_id, "talker", "--json"),
            *("--publish", f"{given}:{ECHO}", "--publish", str(IPV6), "--ready-tcp", f"[::1]:{IPV6}"),
            *("--", "python3", "talker.py"),
        )
        first, second = started["published_ports"]
        assert first == {"host": "127.0.0.1", "host_port": given, "guest_port": ECHO, "protocol": "tcp"}
        assert (second["guest_port"], second["protocol"]) == (IPV6, "tcp")
        for port in (given, second["host_port"]):
            assert listeners(port) == ["0100007F"]
            with connect(port) as connection:
                connection.sendall(b"hello")
                assert connection.recv(100) == b"hello"
        shown = pyro.cli("workspace", "service", "list", workspace_id).stdout.decode()
        assert f"127.0.0.1:{given}->{ECHO} 127.0.0.1:{second['host_port']}->{IPV6}" in shown
        assert pyro.sdk().status_service(workspace_id, "talker")["published_ports"] == [first, second]


def test_twenty_megabytes_pass_both_ways_at_once_and_to_the_byte(pyro: Installation) -> None:
    data = random.Random(1).randbytes(20_000_000)
    with publishing(pyro) as workspace_id, connect(talk(pyro, workspace_id)[ECHO]) as connection:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        heard = everything(connection)
        sender.join(DEADLINE)

    # The digest comes after our end was seen there: each direction ends by itself.
    assert heard[-64:].decode() == hashlib.sha256(data).hexdigest()
    assert heard[:-64] == data


def test_a_guest_that_has_said_all_hears_on(pyro: Installation) -> None:
    with publishing(pyro) as workspace_id:
        with connect(talk(pyro, workspace_id)[SPEAKS_FIRST]) as connection:
            assert everything(connection) == b"all that I have to say"
            for _ in range(10):
                connection.sendall(b"x" * 100_000)
        assert until(lambda: pyro.sdk().logs_service(workspace_id, "talker")["stdout"] or None) == "heard 1000000\n"


def test_a_reset_is_one_on_the_other_side_too(pyro: Installation) -> None:
    with publishing(pyro) as workspace_id:
        ports = talk(pyro, workspace_id)
        with connect(ports[RESETS]) as connection:
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            connection.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        for linger, seen in ((struct.pack("ii", 1, 0), "reset\n"), (struct.pack("ii", 0, 0), "reset\nend\n")):
            with connect(ports[NOTICES]) as connection:
                assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            logs = pyro.sdk().logs_service
            assert until(lambda: t if (t := logs(workspace_id, "talker")["stdout"]) == seen else None), seen  # noqa: B023


def test_where_nobody_listens_a_connection_ends_at_once(pyro: Installation) -> None:
    with publishing(pyro) as workspace_id:
        port = sleeper(pyro, workspace_id)
        for _ in range(20):
            with connect(port) as connection, pytest.raises(ConnectionResetError):
                connection.recv(100)
        assert pyro.sdk().status_service(workspace_id, "sleeper")["state"] == "running"


@pytest.mark.parametrize("count", [200, 300])
def test_hundreds_of_connections_are_served_at_once_and_the_rest_in_turn(pyro: Installation, count: int) -> None:
    def ask(name: int) -> socket.socket:
        connection = connect(port)
        connection.sendall(f"{at_once}\n{name}\n".encode())
        return connection

    at_once = min(count, FULL)
    with publishing(pyro) as workspace_id, ExitStack() as stack, ThreadPoolExecutor(16) as pool:
        port = talk(pyro, workspace_id)[GATHERS]
        # All but one; nobody is answered before as many as possible are there.
        connections = [stack.enter_context(each) for each in pool.map(ask, range(at_once - 1))]
        others = sleeper(pyro, workspace_id)
        with connect(others) as other:
            assert said(pyro, workspace_id, "echo still at your service") == "still at your service\n"
            connections += [stack.enter_context(each) for each in pool.map(ask, range(at_once - 1, count))]
            answers = []
            for connection in connections:
                answers.append(everything(connection))
                connection.close()
            with pytest.raises(ConnectionResetError):
                other.recv(1)
    assert answers == [str(name).encode() for name in range(count)]


LAST_WORDS = """
import socket
with socket.create_server(("127.0.0.1", 9999)) as listener, listener.accept()[0] as connection:
    connection.sendall(b"0123456789" * 600_000)
"""


def test_what_a_service_says_last_arrives(pyro: Installation) -> None:
    """It ends when its kernel has taken all that it says, and its port with it; much of that is under way then."""
    with publishing(pyro) as workspace_id:
        started = pyro.sdk().start_service(
            workspace_id,
            "once",
            command=["python3", "-c", LAST_WORDS],
            readiness={"type": "command", "command": "grep -q ':270F .* 0A ' /proc/net/tcp"},
            published_ports=[{"guest_port": 9999}],
        )
        port = started["published_ports"][0]["host_port"]
        with connect(port) as connection:
            assert ended(pyro, workspace_id, "once")["exit_code"] == 0
            assert until(lambda: is_free(port) or None)
            assert everything(connection) == b"0123456789" * 600_000
