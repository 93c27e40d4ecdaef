"""What lives in a workspace, in figures, as `make bench` shows them: each beside the same work without pyro."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.harness.installation import Installation
from tests.harness.workspace_figures import Figure

MEGABYTES = 100
CONNECTIONS = 200

_SERVER = """
import socket, threading
server = socket.create_server(("127.0.0.1", 9000), backlog=512)
data = bytes(1 << 20)
def talk(connection):
    first = connection.recv(1)
    if first == b"d":
        for _ in range(100): connection.sendall(data)
    elif first == b"u":
        count = 0
        while some := connection.recv(1 << 18): count += len(some)
        connection.sendall(b"%d" % count)
    else:
        while some := connection.recv(1 << 16): connection.sendall(some)
    connection.close()
while True:
    connection, _ = server.accept()
    threading.Thread(target=talk, args=(connection,)).start()
"""
_MEASURED_START = """
import socket, subprocess, time
began = time.monotonic()
server = subprocess.Popen(["python3", "-m", "http.server", "--bind", "127.0.0.1", "8081"], stderr=subprocess.DEVNULL)
while True:
    try:
        socket.create_connection(("127.0.0.1", 8081)).close()
        break
    except OSError:
        time.sleep(0.025)
print((time.monotonic() - began) * 1000)
server.kill()
"""


def figures(pyro: Installation, runs: int) -> Iterator[Figure]:
    sdk = pyro.sdk()
    policy = "egress+published-ports"
    workspace_id = sdk.create_workspace(environment="debian:12", network_policy=policy)["workspace_id"]
    yield "shell: write to echo read", _echoes(pyro, workspace_id, 3 * runs), "", []

    floors = []
    for _ in range(min(runs, 5) + 1):
        measured = sdk.exec_workspace(workspace_id, command=["python3", "-c", _MEASURED_START])
        floors.append(float(measured["stdout"]))
    starts = []
    for number in range(min(runs, 5) + 1):
        starts.append(milliseconds(partial(_ready, pyro, workspace_id, f"web{number}")))
        sdk.stop_service(workspace_id, f"web{number}")
    yield "start_service until ready (tcp)", starts[1:], "the server's own start, in the guest", floors[1:]

    sdk.write_workspace_file(workspace_id, "/workspace/server.py", text=_SERVER)
    service = sdk.start_service(
        workspace_id,
        "bulk",
        command=["python3", "server.py"],
        readiness={"type": "tcp", "address": "127.0.0.1:9000"},
        published_ports=[{"guest_port": 9000}],
    )
    port = service["published_ports"][0]["host_port"]
    yield f"published port: {MEGABYTES} MiB from the guest", [milliseconds(lambda: _down(port))], "", []
    yield f"published port: {MEGABYTES} MiB to the guest", [milliseconds(lambda: _up(port))], "", []
    yield f"published port: {CONNECTIONS} connections at once", [milliseconds(lambda: _many(port))], "", []
    sdk.delete_workspace(workspace_id)

    sdk.run_in_vm(environment="debian:12", command=["true"], network=True)
    plain, networked = [], []
    for _ in range(runs):
        plain.append(milliseconds(lambda: sdk.run_in_vm(environment="debian:12", command=["true"])))
        networked.append(milliseconds(lambda: sdk.run_in_vm(environment="debian:12", command=["true"], network=True)))
    yield "run_in_vm(true, network=True)", networked, "without a network", plain


def _echoes(pyro: Installation, workspace_id: str, count: int) -> list[float]:
    """From a line typed to its echo read, in a terminal that does nothing else."""
    sdk = pyro.sdk()
    shell = sdk.open_shell(workspace_id)["shell_id"]
    sdk.write_shell(workspace_id, shell, input="stty -echo; exec cat")
    cursor = sdk.read_shell(workspace_id, shell, wait_for_idle_ms=1000)["next_cursor"]
    taken = []
    for number in range(count):
        began = time.perf_counter()
        sdk.write_shell(workspace_id, shell, input=f"line {number}")
        while (read := sdk.read_shell(workspace_id, shell, cursor=cursor))["next_cursor"] == cursor:
            pass
        taken.append((time.perf_counter() - began) * 1000)
        cursor = read["next_cursor"]
    sdk.close_shell(workspace_id, shell)
    return taken


def _ready(pyro: Installation, workspace_id: str, name: str) -> None:
    started = pyro.sdk().start_service(
        workspace_id,
        name,
        command=["python3", "-m", "http.server", "--bind", "127.0.0.1", "8080"],
        readiness={"type": "tcp", "address": "127.0.0.1:8080"},
    )
    assert started["state"] == "running"


def _down(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"d")
        count = 0
        while data := connection.recv(1 << 20):
            count += len(data)
    assert count == MEGABYTES << 20


def _up(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"u")
        data = bytes(1 << 20)
        for _ in range(MEGABYTES):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert int(connection.recv(100)) == MEGABYTES << 20


def _many(port: int) -> None:
    """All are open before the first is used."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def talk(number: int) -> bool:
        with connections[number] as connection:
            connection.sendall(b"e%d" % number)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read() == b"%d" % number

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert all(pool.map(talk, range(CONNECTIONS)))


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000
