"""What guests reach and what they do not, in an internet made here (`tests/harness/internet.py`)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, UsageError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.hosts import as_ordinary_user
from tests.harness.installation import Installation, installation, left_as_found, until
from tests.harness.internet import (
    HOST,
    HOST6,
    HOST_LAN,
    PRIVATE,
    PRIVATE6,
    PUBLIC,
    PUBLIC6,
    ROUTER,
    ROUTER6,
    SPECIAL,
    Internet,
    internet,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make an internet")

Probe = tuple[str, str, int]
PROBES = Path(__file__).parents[1] / "harness/probes.py"
POLICIES = ("off", "egress", "egress+published-ports")

OPEN = (*PUBLIC, ROUTER)
OWN = (HOST, HOST_LAN)
INNER = ("100.127.255.1", "100.127.254.2", "100.127.254.100", "100.127.254.3")
CLOSED = (*PRIVATE, *SPECIAL, *OWN, *INNER, "0.0.0.1", "240.0.0.1", "255.255.255.255")
MULTICAST = ("224.0.0.1", "239.1.2.3")
CLOSED6 = (*PUBLIC6, *PRIVATE6, HOST6, ROUTER6, "fe80::1", "ff02::1", "::ffff:10.9.8.7", "2002:a09:807::1")

MATRIX: tuple[Probe, ...] = (
    *(("tcp", address, port) for address in (*OPEN, *CLOSED, *MULTICAST, *CLOSED6) for port in (80, 81)),
    # Not to groups: nobody answers those with an error (RFC 1122, 3.2.2).
    *(("udp", address, 7000) for address in (*OPEN, *CLOSED, *CLOSED6)),
    *(("icmp", address, 0) for address in (*OPEN, *PRIVATE, *SPECIAL, *OWN)),
)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with internet(tmp_path_factory.mktemp("internet")) as made:
        yield made


@pytest.fixture(scope="module", params=["root", "user"])
def networked(request: pytest.FixtureRequest, shared_pyro: Installation, net: Internet) -> Iterator[Installation]:
    """A pyro whose host is in that internet: root's, and an ordinary user's."""
    assert shared_pyro.state_dir.exists()  # the environment is there
    with become[request.param](net) as prefix, installation(*prefix) as pyro:
        pyro.json("env", "list", "--json")  # its daemon starts where its commands do
        yield pyro


@contextmanager
def root(net: Internet) -> Iterator[tuple[str, ...]]:
    yield net.enter


@contextmanager
def user(net: Internet) -> Iterator[tuple[str, ...]]:
    """One and the same ordinary user for all commands."""
    argv = (*net.enter, *as_ordinary_user(), "sh", "-c", "echo there && read -r _")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdin is not None
        assert held.stdout is not None
        assert held.stdout.readline() == b"there\n"
        spaces = [
            f"--{kind}=/proc/{held.pid}/ns/{name}"
            for kind, name in (("user", "user"), ("net", "net"), ("mount", "mnt"))
        ]
        yield ("nsenter", "--preserve-credentials", *spaces, "--")
        held.stdin.close()


become = {"root": root, "user": user}


@pytest.fixture
def pyro(networked: Installation, request: pytest.FixtureRequest) -> Iterator[Installation]:
    yield from left_as_found(networked, request)


def outcomes(pyro: Installation, workspace_id: str, probes: Sequence[Probe]) -> dict[Probe, str]:
    """What a guest gets when it tries them, all at once."""
    pyro.sdk().write_workspace_file(workspace_id, "/workspace/.probes.py", text=PROBES.read_text())
    result = pyro.sdk().exec_workspace(
        workspace_id,
        command=["python3", "/workspace/.probes.py"],
        stdin=json.dumps(probes).encode(),
        timeout_seconds=200,
    )
    assert result["exit_code"] == 0, result
    answers = json.loads(result["stdout"])
    return {probe: outcome for probe, (outcome, _) in zip(probes, answers, strict=True)}


def expected(policy: str, probe: Probe) -> str:
    return "open" if policy != "off" and probe[1] in OPEN else "refused"


def reached(net: Internet) -> set[Probe]:
    return {(protocol, address, port) for protocol, address, port in net.reached()}


def status(pyro: Installation, workspace_id: str) -> Any:
    return pyro.sdk().status_workspace(workspace_id)


def require_matrix(pyro: Installation, net: Internet, workspace_id: str, policy: str) -> None:
    """Exactly what is open is reached, by word of the guest and of the world; nothing is met with silence."""
    net.reached()
    found = outcomes(pyro, workspace_id, MATRIX)
    wrong = {probe: outcome for probe, outcome in found.items() if outcome != expected(policy, probe)}
    assert not wrong
    wanted = {probe for probe in MATRIX if probe[0] != "icmp" and expected(policy, probe) == "open"}
    assert reached(net) == wanted


def test_there_are_enough_probes() -> None:
    families = [":" in address for _, address, _ in MATRIX]

    assert families.count(False) >= 60
    assert families.count(True) >= 30


@pytest.mark.parametrize("policy", POLICIES)
def test_exactly_what_is_public_is_reached_also_after_a_reset_and_a_restart(
    pyro: Installation, net: Internet, policy: str
) -> None:
    with workspace(pyro, network_policy=policy) as workspace_id:
        require_matrix(pyro, net, workspace_id, policy)
        pyro.sdk().reset_workspace(workspace_id)
        require_matrix(pyro, net, workspace_id, policy)
        pyro.sdk().stop_workspace(workspace_id)
        pyro.sdk().start_workspace(workspace_id)
        require_matrix(pyro, net, workspace_id, policy)


def test_what_is_allowed_is_open_and_nothing_beside_it(pyro: Installation, net: Internet) -> None:
    allowed = ["10.9.8.0/24:5432", "192.168.1.1", f"{HOST}:81"]
    with workspace(pyro, network_policy="egress", allow=allowed) as workspace_id:
        net.reached()
        found = outcomes(
            pyro,
            workspace_id,
            [
                ("tcp", "10.9.8.7", 5432),
                ("tcp", "10.9.8.7", 80),
                ("udp", "10.9.8.7", 7000),
                ("tcp", "192.168.1.1", 80),
                ("udp", "192.168.1.1", 7000),
                ("tcp", "192.168.77.1", 80),
                ("tcp", HOST, 81),
                ("tcp", HOST, 80),
                ("tcp", HOST_LAN, 81),
            ],
        )
        assert list(found.values()) == [
            "open",
            "refused",
            "refused",
            "open",
            "open",
            "refused",
            "open",
            "refused",
            "refused",
        ]
        assert status(pyro, workspace_id)["network"]["allow"] == ["10.9.8.0/24:5432", "192.168.1.1/32", f"{HOST}/32:81"]
        pyro.sdk().reset_workspace(workspace_id)
        assert outcomes(pyro, workspace_id, [("tcp", "10.9.8.7", 5432)]) == {("tcp", "10.9.8.7", 5432): "open"}


def test_what_was_denied_is_told(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        before = status(pyro, workspace_id)["network"]
        assert (before["policy"], before["denied"], before["denied_count"]) == ("egress", [], 0)
        outcomes(pyro, workspace_id, [("tcp", "169.254.169.254", 80), ("udp", "10.9.8.7", 53), ("icmp", "10.9.8.7", 0)])
        network = status(pyro, workspace_id)["network"]
        told = {(entry["address"], entry["protocol"], entry["port"]) for entry in network["denied"]}
        assert told == {("169.254.169.254", "tcp", 80), ("10.9.8.7", "udp", 53), ("10.9.8.7", "icmp", None)}
        assert network["denied_count"] >= 3
        shown = pyro.cli("workspace", "status", workspace_id).stdout.decode()
        assert "169.254.169.254" in shown


def test_many_denials_are_all_refused_at_once_and_counted(pyro: Installation, net: Internet) -> None:
    probes: list[Probe] = [("tcp", f"10.20.{high}.{low}", 80) for high in range(3) for low in range(1, 120)]
    with workspace(pyro, network_policy="egress") as workspace_id:
        net.reached()
        assert set(outcomes(pyro, workspace_id, probes).values()) == {"refused"}
        assert reached(net) == set()
        network = status(pyro, workspace_id)["network"]
        assert len(network["denied"]) == 100
        assert network["denied_count"] >= len(probes)


def test_names_are_resolved_and_the_address_decides(pyro: Installation, net: Internet) -> None:
    net.resolve("public.test", ["8.8.8.8"])
    net.resolve("private.test", ["10.9.8.7"])
    net.resolve("metadata.test", ["169.254.169.254"])
    net.resolve("flips.test", ["1.1.1.1"], ["192.168.1.1"])
    net.resolve("mixed.test", ["10.9.8.7", "8.8.8.8", "fd00::5"])
    ask = """
import socket, sys
for name in sys.argv[1:]:
    for at in range(2):
        try:
            with socket.create_connection((name, 80), 15) as connection:
                print(name, connection.recv(50).decode().split()[1])
        except (OSError, UnicodeError) as error:
            print(name, type(error).__name__)
"""
    with workspace(pyro, network_policy="egress") as workspace_id:
        net.reached()
        sdk = pyro.sdk()
        names = ["public.test", "PUBLIC.TEST.", "private.test", "metadata.test", "flips.test", "mixed.test", "no.test"]
        result = sdk.exec_workspace(workspace_id, command=["python3", "-c", ask, *names], timeout_seconds=120)
        assert result["stdout"].splitlines() == [
            *["public.test 8.8.8.8"] * 2,
            *["PUBLIC.TEST. 8.8.8.8"] * 2,
            *["private.test ConnectionRefusedError"] * 2,
            *["metadata.test ConnectionRefusedError"] * 2,
            *["flips.test 1.1.1.1", "flips.test ConnectionRefusedError"],
            *["mixed.test 8.8.8.8"] * 2,
            *["no.test gaierror"] * 2,
        ], result
        assert {address for _, address, port in reached(net) if port != 53} == {"8.8.8.8", "1.1.1.1"}


def test_a_name_that_ends_early_for_some_leads_no_further(pyro: Installation, net: Internet) -> None:
    """With a NUL in it, which parsers disagree about: asked for byte by byte, it is an address like any other."""
    net.resolve("public.test", ["8.8.8.8"])
    net.resolve("public.test\0.private.test", ["10.9.8.7"])
    ask = """
import socket
name = [b"public", b"test\\0", b"private", b"test"]
labels = b"".join(bytes([len(label)]) + label for label in name)
query = b"\\x12\\x34\\1\\0\\0\\1" + bytes(6) + labels + b"\\0\\0\\1\\0\\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
    resolver.settimeout(15)
    resolver.connect(("100.127.254.3", 53))
    resolver.send(query)
    address = socket.inet_ntoa(resolver.recv(512)[-4:])
print(address)
try:
    socket.create_connection((address, 80), 15)
except OSError as error:
    print(type(error).__name__)
"""
    with workspace(pyro, network_policy="egress") as workspace_id:
        net.reached()
        result = pyro.sdk().exec_workspace(workspace_id, command=["python3", "-c", ask], timeout_seconds=60)
        assert result["stdout"].split() == ["10.9.8.7", "ConnectionRefusedError"], result
        assert {address for _, address, port in reached(net) if port != 53} == set()


def test_a_new_address_of_the_host_is_closed_at_once(pyro: Installation, net: Internet) -> None:
    def ip(*words: str) -> None:
        subprocess.run([*net.enter, "ip", "address", *words], check=True)

    address = "1.1.1.1"  # one that was somebody else's until now
    with workspace(pyro, network_policy="egress") as workspace_id:
        assert outcomes(pyro, workspace_id, [("tcp", address, 80)]) == {("tcp", address, 80): "open"}
        ip("add", f"{address}/32", "dev", "lo")
        try:
            assert until(
                lambda: (
                    True
                    if outcomes(pyro, workspace_id, [("tcp", address, 80)])["tcp", address, 80] == "refused"
                    else None
                )
            )
            net.reached()
            assert outcomes(pyro, workspace_id, [("udp", address, 7000)]) == {("udp", address, 7000): "refused"}
            assert reached(net) == set()
        finally:
            ip("del", f"{address}/32", "dev", "lo")


def test_a_range_that_is_routed_to_the_host_is_closed_at_once(pyro: Installation, net: Internet) -> None:
    def route(change: str) -> None:
        subprocess.run([*net.enter, "ip", "route", change, "local", "151.101.1.0/24", "dev", "lo"], check=True)

    probe = ("tcp", "151.101.1.69", 80)
    with workspace(pyro, network_policy="egress") as workspace_id:
        assert outcomes(pyro, workspace_id, [probe]) == {probe: "open"}
        route("add")
        try:
            assert until(lambda: True if outcomes(pyro, workspace_id, [probe])[probe] == "refused" else None)
            denied = status(pyro, workspace_id)["network"]["denied"]
            assert "151.101.1.69" in {entry["address"] for entry in denied}
        finally:
            route("del")


def test_many_connections_are_open_at_once(pyro: Installation) -> None:
    connect = """
import socket
connections = [socket.create_connection(("8.8.8.8", 80), 30) for _ in range(300)]
print(sum(bool(connection.recv(100)) for connection in connections))
"""
    with workspace(pyro, network_policy="egress") as workspace_id:
        result = pyro.sdk().exec_workspace(workspace_id, command=["python3", "-c", connect], timeout_seconds=120)
        assert result["stdout"] == "300\n", result


def test_root_of_a_guest_gets_no_further(pyro: Installation, net: Internet) -> None:
    """Another source, another protocol, IPv6 by hand, a forged neighbour: nothing of it leaves."""
    forge = """
set -u
ip address add 100.127.255.77/32 dev eth0
ip address add 8.8.8.8/32 dev lo
sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0
ip -6 address add fd77::2/64 dev eth0 nodad
ip -6 route add default via fd77::1 dev eth0
ip -6 neighbour replace fd77::1 lladdr 02:50:59:52:4f:01 dev eth0
python3 - <<'P'
import socket
for source, target in (("100.127.255.77", "151.101.1.69"), ("8.8.8.8", "151.101.1.69")):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((source, 0))
        for _ in range(3):
            s.sendto(b"forged", (target, 7000))
for protocol in (41, 47, 50, 89):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as s:
        try:
            s.sendto(b"x" * 60, ("151.101.1.69", 0))
        except OSError:
            pass
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    for _ in range(3):
        try:
            s.sendto(b"six", ("2001:4860:4860::8888", 7000))
        except OSError:
            pass
P
true
"""
    with workspace(pyro, network_policy="egress") as workspace_id:
        net.reached()
        said(pyro, workspace_id, forge)
        # Behind all of that, on the same wire: when this has arrived, the others would have.
        assert outcomes(pyro, workspace_id, [("udp", "1.1.1.1", 7000)]) == {("udp", "1.1.1.1", 7000): "open"}
        assert reached(net) == {("udp", "1.1.1.1", 7000)}


def test_workspaces_do_not_see_each_other(pyro: Installation) -> None:
    serve = "python3 -m http.server --bind 0.0.0.0 8080 >/dev/null 2>&1 &"
    connect = 'import socket; socket.create_connection(("127.0.0.1", 8080))'
    with (
        workspace(pyro, network_policy="egress") as one,
        workspace(pyro, network_policy="egress") as other,
    ):
        said(
            pyro,
            one,
            f"{serve} until python3 -c '{connect}' 2>&-; do :; done",
        )
        found = outcomes(pyro, other, [("tcp", address, 8080) for address in ("100.127.255.2", *INNER, HOST, HOST_LAN)])
        assert set(found.values()) == {"refused"}


def network_processes(pyro: Installation, workspace_id: str) -> dict[str, int]:
    machine = status(pyro, workspace_id)["metadata"]["vm_id"]
    record = json.loads((pyro.state_dir / "machines" / machine / "network.json").read_text())
    return {name: int(process["pid"]) for name, process in record.items()}


def test_the_way_out_is_confined(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        for pid in network_processes(pyro, workspace_id).values():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert "0" not in facts["Uid"].split() or pyro.prefix[1] == "--preserve-credentials"
        slirp = facts  # the last of the two
        assert slirp["Name"] == "slirp4netns"
        assert (slirp["Seccomp"], slirp["NoNewPrivs"]) == ("2", "1")
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max open files +4096 +4096 ", limits)
        assert re.search(rf"Max address space +{2 << 30} +{2 << 30} ", limits)
        assert int(slirp["CapEff"], 16) in (0, 1 << 10)  # to listen below 1024, which it is never asked to


@pytest.mark.parametrize("victim", ["holder", "slirp"])
def test_without_its_network_a_guest_is_cut_off_and_goes_in_peace(
    pyro: Installation, net: Internet, victim: str
) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        os.kill(network_processes(pyro, workspace_id)[victim], signal.SIGKILL)
        net.reached()
        found = outcomes(pyro, workspace_id, [("tcp", "10.9.8.7", 80)])
        assert found != {("tcp", "10.9.8.7", 80): "open"}
        assert reached(net) == set()
        assert status(pyro, workspace_id)["state"] == "started"


@pytest.mark.usefixtures("net")
def test_a_way_out_that_was_killed_is_there_again(pyro: Installation) -> None:
    probes: list[Probe] = [("tcp", "8.8.8.8", 80), ("tcp", "10.9.8.7", 80)]

    def kill_way_out(workspace_id: str) -> None:
        victim = network_processes(pyro, workspace_id)["slirp"]
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: True if network_processes(pyro, workspace_id)["slirp"] != victim else None)
        right = ["open", "refused"]
        assert until(lambda: True if list(outcomes(pyro, workspace_id, probes).values()) == right else None)

    with workspace(pyro, network_policy="egress") as workspace_id:
        kill_way_out(workspace_id)
        os.kill(pyro.daemon_pid(), signal.SIGKILL)
        pyro.json("env", "list", "--json")
        kill_way_out(workspace_id)


def test_a_network_outlives_its_daemon_and_is_kept_true_by_the_next(pyro: Installation, net: Internet) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        outcomes(pyro, workspace_id, [("tcp", "169.254.169.254", 80)])
        os.kill(pyro.daemon_pid(), signal.SIGKILL)
        pyro.json("env", "list", "--json")
        require_matrix(pyro, net, workspace_id, "egress")
        assert ("169.254.169.254", 80) in {
            (entry["address"], entry["port"]) for entry in status(pyro, workspace_id)["network"]["denied"]
        }


def test_run_has_a_network_only_if_asked(pyro: Installation, net: Internet) -> None:
    connect = "import socket; print(socket.create_connection(('8.8.8.8', 80), 15).recv(50).decode().strip())"
    net.reached()
    without = pyro.cli("run", "debian:12", "--", "python3", "-c", connect)
    assert without.returncode == 1
    assert b"Network is unreachable" in without.stderr
    assert reached(net) == set()
    assert pyro.cli("run", "--network", "debian:12", "--", "python3", "-c", connect).stdout == b"tcp 8.8.8.8 80\n"
    sdk = pyro.sdk()
    vm = sdk.create_vm(environment="debian:12", network=True, allow=["10.9.8.7"])
    sdk.start_vm(vm["vm_id"])
    info = sdk.network_info_vm(vm["vm_id"])
    assert (info["network_enabled"], info["policy"], info["allow"]) == (True, "egress", ["10.9.8.7/32"])
    assert info["denied"] == []
    assert sdk.exec_vm(vm["vm_id"], command=["python3", "-c", connect.replace("8.8.8.8", "10.9.8.7")])["exit_code"] == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"network_policy": "sometimes"}, "invalid-argument"),
        ({"allow": ["10.0.0.0/8"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["10.0.0.1/8"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["10.0.0.0/8:0"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["10.0.0.0/8:http"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["fd00::/8"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["127.0.0.1"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["example.com"]}, "invalid-allow"),
        ({"network_policy": "egress", "allow": "10.0.0.0/8"}, "invalid-allow"),
        ({"network_policy": "egress", "allow": ["10.0.0.0/8\n} drop"]}, "invalid-allow"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(pyro: Installation, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        pyro.sdk().create_workspace(environment="debian:12", **arguments)
    assert refused.value.code == code


def test_ports_need_their_policy(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id, pytest.raises(ConflictError) as refused:
        pyro.sdk().start_service(workspace_id, "web", command="sleep 60", published_ports=[{"guest_port": 80}])
    assert refused.value.code == "ports-not-allowed"
