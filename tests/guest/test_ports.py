"""Ports of guests on this host's loopback: every byte, every end, and no port that stays."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, PyroError, UsageError
from tests.guest.test_services import ended
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import DEADLINE, Installation, until

POLICY = "egress+published-ports"
SERVER = """
import socket, struct, threading
server = socket.create_server(("127.0.0.1", 9000), backlog=512)
def talk(connection):
    kind = connection.recv(1)
    if kind == b"e":  # echo until the other side has finished, then finish
        while data := connection.recv(65536): connection.sendall(data)
    elif kind == b"f":  # finish first, then tell how much came
        connection.sendall(b"first"); connection.shutdown(socket.SHUT_WR)
        count = 0
        while data := connection.recv(65536): count += len(data)
        open(f"/tmp/came-{count}", "w").close()
    elif kind == b"r":  # a reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif kind == b"w":  # wait for the other's reset
        connection.sendall(b"waiting")
        try:
            while connection.recv(65536): pass
        except ConnectionResetError:
            open("/tmp/was-reset", "w").close()
    connection.close()
while True:
    connection, _ = server.accept()
    threading.Thread(target=talk, args=(connection,)).start()
"""


@contextmanager
def published(pyro: Installation, **port: int) -> Iterator[tuple[str, int]]:
    """A workspace whose server is reached at that port of this host."""
    with workspace(pyro, network_policy=POLICY) as workspace_id:
        yield workspace_id, serve(pyro, workspace_id, **port)


def serve(pyro: Installation, workspace_id: str, **port: int) -> int:
    sdk = pyro.sdk()
    sdk.write_workspace_file(workspace_id, "/workspace/server.py", text=SERVER)
    service = sdk.start_service(
        workspace_id,
        "server",
        command=["python3", "server.py"],
        readiness={"type": "tcp", "address": "127.0.0.1:9000"},
        published_ports=[{"guest_port": 9000, **port}],
    )
    assert service["state"] == "running"
    (found,) = service["published_ports"]
    assert (found["host"], found["guest_port"], found["protocol"]) == ("127.0.0.1", 9000, "tcp")
    return found["host_port"]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def echo(port: int, data: bytes) -> bytes:
    """What comes back, while it is being sent; both sides finish."""
    with connect(port) as connection, ThreadPoolExecutor(1) as pool:

        def send() -> None:
            connection.sendall(b"e" + data)
            connection.shutdown(socket.SHUT_WR)

        sending = pool.submit(send)
        received = connection.makefile("rb").read()
        sending.result()
    return received


def listens(port: int) -> list[str]:
    """At which addresses of this host somebody listens, in the kernel's own hexadecimal."""
    found = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as table:  # noqa: PTH123
            for line in list(table)[1:]:
                local, state = line.split()[1], line.split()[3]
                if state == "0A" and int(local.partition(":")[2], 16) == port:
                    found.append(local.partition(":")[0])
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_every_byte_goes_both_ways_through_a_port_of_the_loopback_alone(pyro: Installation) -> None:
    with published(pyro) as (_, port):
        assert listens(port) == ["0100007F"]
        data = os.urandom(20 << 20)
        assert hashlib.sha256(echo(port, data)).digest() == hashlib.sha256(data).digest()


def test_each_direction_ends_by_itself(pyro: Installation) -> None:
    with published(pyro) as (workspace_id, port):
        with connect(port) as connection:
            connection.sendall(b"f")
            assert connection.makefile("rb").read() == b"first"
            connection.sendall(bytes(300_000))
        assert until(lambda: said(pyro, workspace_id, "ls /tmp").count("came-300000") or None)


def test_a_reset_is_a_reset_at_the_other_end(pyro: Installation) -> None:
    with published(pyro) as (workspace_id, port):
        with connect(port) as connection:
            connection.sendall(b"r")
            assert select.select([connection], [], [], DEADLINE)[0]
            with pytest.raises(ConnectionResetError):
                connection.recv(100)
        connection = connect(port)
        connection.sendall(b"w")
        assert connection.recv(7, socket.MSG_WAITALL) == b"waiting"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert until(lambda: said(pyro, workspace_id, "ls /tmp").count("was-reset") or None)


@pytest.mark.parametrize("count", [200, 300])
def test_many_connections_at_once_are_all_served(pyro: Installation, count: int) -> None:
    with published(pyro) as (_, port):
        connections = [connect(port) for _ in range(count)]

        def talk(number: int) -> bool:
            with connections[number] as connection:
                connection.sendall(b"e%d" % number)
                connection.shutdown(socket.SHUT_WR)
                return connection.makefile("rb").read() == b"%d" % number

        with ThreadPoolExecutor(count) as pool:
            assert all(pool.map(talk, range(count)))


def test_a_taken_port_is_refused_before_anything_starts(pyro: Installation) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        workspace(pyro, network_policy=POLICY) as workspace_id,
    ):
        ports: Any = [{"guest_port": 1}, {"guest_port": 80, "host_port": taken.getsockname()[1]}]
        with pytest.raises(ConflictError) as refused:
            pyro.sdk().start_service(workspace_id, "s", command="touch started", published_ports=ports)
        assert refused.value.code == "port-taken"
        assert said(pyro, workspace_id, "ls") == ""
        assert pyro.sdk().list_services(workspace_id)["services"] == []


@pytest.mark.parametrize("end", ["stop", "exit", "reset", "delete", "stop_workspace"])
def test_a_port_is_free_once_its_service_is_over(pyro: Installation, end: str) -> None:
    port = free_port()
    with published(pyro, host_port=port) as (workspace_id, found):
        assert found == port
        sdk = pyro.sdk()
        if end == "exit":
            said(pyro, workspace_id, "pkill -f '[s]erver.py'")
            assert ended(pyro, workspace_id, "server")["state"] == "exited"
        elif end == "stop":
            sdk.stop_service(workspace_id, "server")
        elif end == "reset":
            sdk.reset_workspace(workspace_id)
        elif end == "stop_workspace":
            sdk.stop_workspace(workspace_id)
        else:
            with workspace(pyro, network_policy=POLICY) as other:
                second = serve(pyro, other)
            assert until(lambda: True if not listens(second) else None)
        if end != "delete":
            assert until(lambda: True if not listens(port) else None)
        if end in ("exit", "stop", "reset"):
            assert serve(pyro, workspace_id, host_port=port) == port
            assert echo(port, b"again") == b"again"


def test_a_port_outlives_its_daemon(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", ttl_seconds=3600, network_policy=POLICY)[
        "workspace_id"
    ]
    port = serve(own_pyro, workspace_id)
    os.kill(own_pyro.daemon_pid(), signal.SIGKILL)
    assert sdk.status_service(workspace_id, "server")["published_ports"][0]["host_port"] == port
    assert echo(port, b"after") == b"after"
    sdk.delete_workspace(workspace_id)
    assert listens(port) == []


def test_two_guests_may_listen_at_the_same_port(pyro: Installation) -> None:
    with published(pyro) as (_, one), published(pyro) as (_, other):
        assert one != other
        assert (echo(one, b"one"), echo(other, b"other")) == (b"one", b"other")


def test_where_nobody_listens_a_connection_is_over_at_once(pyro: Installation) -> None:
    with workspace(pyro, network_policy=POLICY) as workspace_id:
        started = pyro.sdk().start_service(
            workspace_id, "s", command="sleep 1000", published_ports=[{"guest_port": 4242}]
        )
        port = started["published_ports"][0]["host_port"]
        with connect(port) as connection, contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


@pytest.mark.parametrize(
    "ports",
    [
        [{"guest_port": 0}],
        [{"guest_port": 65536}],
        [{"guest_port": "80"}],
        [{"guest_port": 80, "host_port": -1}],
        [{"host_port": 80}],
        [{"guest_port": 80, "host": "0.0.0.0"}],
        [{"guest_port": 80, "host_port": 18080}, {"guest_port": 81, "host_port": 18080}],
        [{"guest_port": 80}] * 17,
        80,
    ],
)
def test_ports_that_make_no_sense_are_refused(pyro: Installation, ports: Any) -> None:
    with pytest.raises(UsageError):
        pyro.sdk().start_service("ws-000000000000", "s", command="true", published_ports=ports)


def test_ports_need_their_policy(pyro: Installation) -> None:
    for policy in ("off", "egress"):
        with workspace(pyro, network_policy=policy) as workspace_id, pytest.raises(PyroError) as refused:
            pyro.sdk().start_service(workspace_id, "web", command="sleep 60", published_ports=[{"guest_port": 80}])
        assert refused.value.code == "ports-not-allowed"
