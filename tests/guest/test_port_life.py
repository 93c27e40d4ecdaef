"""Published ports: who gets one, for how long, and what becomes of it when something ends."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, PyroError
from tests.guest.test_ports import POLICY, connect, free_port, is_free, listeners, publishing, sleeper, talk
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation, until, wait_gone
from tests.harness.talker import ECHO


def test_a_taken_port_is_told_before_anything_is_started(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with publishing(pyro) as workspace_id, publishing(pyro) as other_id, ExitStack() as stack:
        theirs = sleeper(pyro, other_id)
        ours, everywhere = (stack.enter_context(socket.create_server((host, 0))) for host in ("127.0.0.1", "0.0.0.0"))
        free = free_port()
        for taken in (theirs, ours.getsockname()[1], everywhere.getsockname()[1]):
            with pytest.raises(ConflictError) as refused:
                sdk.start_service(
                    workspace_id,
                    "web",
                    command="touch started; exec sleep 1000",
                    published_ports=[{"guest_port": 1, "host_port": free}, {"guest_port": 2, "host_port": taken}],
                )
            assert (refused.value.code, str(taken) in refused.value.message) == ("port-taken", True)
            assert is_free(free)
        assert sdk.list_services(workspace_id)["count"] == 0
        assert said(pyro, workspace_id, "ls") == "talker.py\n"
        # Both may have the same port inside.
        assert sleeper(pyro, workspace_id) != theirs


@pytest.mark.parametrize(
    "end", ["stop_service", "exit", "fail", "stop_workspace", "reset_workspace", "delete_workspace"]
)
def test_a_port_is_free_again_when_its_service_has_ended(pyro: Installation, end: str) -> None:
    sdk = pyro.sdk()
    workspace_id = sdk.create_workspace(environment="debian:12", network_policy=POLICY)["workspace_id"]
    try:
        port, ready = free_port(), None if end != "fail" else {"type": "file", "path": "never"}
        command = "until [ -e go ]; do sleep 0.05; done"
        ports = [{"guest_port": ECHO, "host_port": port}]
        sdk.start_service(
            workspace_id, "web", command=command, published_ports=ports, readiness=ready, ready_timeout_seconds=1
        )
        assert is_free(port) == (end == "fail")
        if end == "stop_service":
            sdk.stop_service(workspace_id, "web")
        elif end == "exit":
            said(pyro, workspace_id, "touch go")
        elif end != "fail":
            getattr(sdk, end)(workspace_id)
        assert until(lambda: is_free(port) or None)
        assert listeners(port) == []
    finally:
        if end != "delete_workspace":
            sdk.delete_workspace(workspace_id)


def test_connections_end_with_the_service(pyro: Installation) -> None:
    with publishing(pyro) as workspace_id:
        ports = talk(pyro, workspace_id)
        with connect(ports[ECHO]) as silent, connect(ports[ECHO]) as connection:
            connection.sendall(b"hello")
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            pyro.sdk().stop_service(workspace_id, "talker")
            assert is_over(silent)
            assert is_over(connection)


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_port_is_free_again_when_its_workspace_has_expired(own_pyro: Installation) -> None:
    workspace_id = own_pyro.sdk().create_workspace(environment="debian:12", network_policy=POLICY, ttl_seconds=60)
    port = sleeper(own_pyro, workspace_id["workspace_id"])
    assert not is_free(port)
    assert until(lambda: is_free(port) or None)


def test_a_published_port_outlives_the_daemon(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    with publishing(own_pyro) as workspace_id:
        ports = talk(own_pyro, workspace_id)
        lost = sleeper(own_pyro, workspace_id)
        with connect(ports[ECHO]) as connection:
            connection.sendall(b"hello")
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
            daemon = own_pyro.daemon_pid()
            os.kill(daemon, signal.SIGKILL)
            wait_gone(daemon)
            assert connection.recv(1) == b""
        with socket.create_server(("127.0.0.1", lost)):
            assert sdk.status_service(workspace_id, "talker")["state"] == "running"
        with connect(ports[ECHO]) as connection:
            connection.sendall(b"again")
            assert connection.recv(5, socket.MSG_WAITALL) == b"again"
        assert sdk.status_service(workspace_id, "sleeper")["published_ports"] == []
        assert "Traceback" not in own_pyro.logs()
        assert is_free(lost)
        own_pyro.stop()
        assert is_free(ports[ECHO])


@pytest.mark.parametrize("policy", ["off", "egress"])
def test_without_the_policy_nothing_is_published(pyro: Installation, policy: str) -> None:
    with workspace(pyro, network_policy=policy) as workspace_id:
        done = pyro.cli("workspace", "service", "start", workspace_id, "web", "--publish", "80", "--", "touch started")
        assert (done.returncode, done.stdout) == (1, b"")
        assert re.search(rb"\[error\] .* publishes no ports.*\nhint: .*egress\+published-ports", done.stderr)
        assert pyro.sdk().list_services(workspace_id)["count"] == 0
        assert said(pyro, workspace_id, "ls") == ""


def test_what_makes_no_sense_is_refused(pyro: Installation) -> None:
    nonsense: tuple[tuple[Any, str], ...] = (
        ([{"guest_port": 0}], "out-of-range"),
        ([{"guest_port": 65536}], "out-of-range"),
        ([{"guest_port": 80, "host_port": 0}], "out-of-range"),
        ([{"guest_port": "80"}], "invalid-argument"),
        ([{"guest_port": True}], "invalid-argument"),
        ([{"host_port": 80}], "invalid-ports"),
        ([{"guest_port": 80, "protocol": "udp"}], "invalid-ports"),
        ([{"guest_port": 80, "host_port": 18080}, {"guest_port": 81, "host_port": 18080}], "invalid-ports"),
        ([{"guest_port": port} for port in range(1, 18)], "invalid-ports"),
        ({"guest_port": 80}, "invalid-ports"),
        ([80], "invalid-ports"),
    )
    with publishing(pyro) as workspace_id:
        for ports, code in nonsense:
            with pytest.raises(PyroError) as refused:
                pyro.sdk().start_service(workspace_id, "web", command="touch started", published_ports=ports)
            assert (ports, refused.value.code) == (ports, code)
        assert said(pyro, workspace_id, "ls") == "talker.py\n"
