"""The daemon: there when needed, one only, gone when idle."""

from __future__ import annotations

import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyro_mcp._version import __version__
from tests.harness.installation import Installation, installation, wait_gone


def test_many_first_clients_at_once_share_one_daemon(own_pyro: Installation) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own_pyro.cli("env", "list", "--json"), range(8)))

    assert [answer.returncode for answer in answers] == [0] * 8
    assert len({json.loads(answer.stdout)["catalog_version"] for answer in answers}) == 1
    assert own_pyro.logs().count("serving ") == 1


def test_status_starts_none_and_tells_of_the_one_there_is(own_pyro: Installation) -> None:
    assert own_pyro.json("daemon", "status", "--json")["running"] is False

    own_pyro.json("env", "list", "--json")
    status = own_pyro.json("daemon", "status", "--json")

    assert (status["running"], status["version"], status["machines"]) == (True, __version__, 0)
    assert Path(f"/proc/{status['pid']}").exists()
    assert own_pyro.json("daemon", "stop", "--json")["pid"] == status["pid"]
    wait_gone(status["pid"])
    assert own_pyro.json("daemon", "status", "--json")["running"] is False
    assert b"serving" in own_pyro.cli("daemon", "logs").stdout


def test_its_socket_and_state_are_private(own_pyro: Installation) -> None:
    own_pyro.json("env", "list", "--json")

    modes = {
        name: stat.S_IMODE((own_pyro.state_dir / name).stat().st_mode) for name in ("daemon.sock", "state.sqlite3")
    }
    assert modes == {"daemon.sock": 0o600, "state.sqlite3": 0o600}
    assert stat.S_IMODE(own_pyro.state_dir.stat().st_mode) == 0o700


def test_it_leaves_when_idle() -> None:
    with installation(PYRO_DAEMON_IDLE_SECONDS="0.2") as pyro:
        pyro.json("env", "list", "--json")
        status = pyro.json("daemon", "status", "--json")
        if status["running"]:
            wait_gone(status["pid"])
        assert pyro.json("daemon", "status", "--json")["running"] is False
        # And the next call brings another.
        assert pyro.cli("env", "list").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_went_away_is_replaced(own_pyro: Installation, number: signal.Signals) -> None:
    own_pyro.json("env", "list", "--json")
    first = own_pyro.daemon_pid()
    os.kill(first, number)
    wait_gone(first)

    assert own_pyro.cli("env", "list").returncode == 0
    assert own_pyro.daemon_pid() != first


def test_an_idle_daemon_with_other_settings_is_replaced_and_a_busy_one_is_named(own_pyro: Installation) -> None:
    own_pyro.json("env", "list", "--json")
    first = own_pyro.daemon_pid()
    other = Installation(own_pyro.state_dir, PYRO_BOOT_TIMEOUT_SECONDS="77")

    assert other.cli("env", "list").returncode == 0
    second = other.daemon_pid()
    assert second != first

    vm_id = other.sdk().create_vm(environment="debian:12")["vm_id"]
    other.sdk().start_vm(vm_id)
    refused = own_pyro.cli("env", "list", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "daemon-mismatch"
    assert other.sdk().delete_vm(vm_id)["deleted"]


def test_a_deep_state_directory_works(own_pyro: Installation) -> None:
    deep = own_pyro.state_dir / ("d" * 100) / ("e" * 100)
    pyro = Installation(deep)

    assert pyro.cli("run", "debian:12", "--", "true").returncode == 0
    pyro.stop()
