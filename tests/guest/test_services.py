"""Services: started until they are ready, ended with all that they started, remembered across stops and deaths."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError
from pyro_mcp.model.living_payloads import ServicePayload
from tests.guest.test_shells import alive
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import DEADLINE, Installation, until, wait_gone

UP = {"type": "file", "path": "up"}


def state_of(pyro: Installation, workspace_id: str, name: str) -> tuple[str, int | None, str | None]:
    found = pyro.sdk().status_service(workspace_id, name)
    return found["state"], found["exit_code"], found["stop_reason"]


def ended(pyro: Installation, workspace_id: str, name: str) -> ServicePayload:
    """Its status, once it is noted that it runs no more; nobody asks the guest for it."""
    found = until(lambda: s if (s := pyro.sdk().status_service(workspace_id, name))["ended_at"] is not None else None)
    assert found is not None
    return found


def counts(pyro: Installation, workspace_id: str) -> tuple[int, int]:
    found = pyro.sdk().status_workspace(workspace_id)
    return found["service_count"], found["running_service_count"]


READY: dict[str, tuple[str, dict[str, str] | None, str]] = {
    # name: what runs, what shows that it is ready, and what must be true as soon as it is said to be
    "at-once": ("exec sleep 1000", None, "true"),
    "file": ("sleep 0.5; touch up; sleep 1000", {"type": "file", "path": "up"}, "test -e /srv/up"),
    "file-elsewhere": ("sleep 0.5; ln -s up /tmp/link; sleep 1000", {"type": "file", "path": "/tmp/../srv/up"}, "true"),
    "tcp": ("exec python3 -m http.server 8001", {"type": "tcp", "address": "127.0.0.1:8001"}, "curl -s localhost:8001"),
    "tcp6": (
        "sleep 0.3; exec python3 -m http.server 8002 --bind ::1",
        {"type": "tcp", "address": "[::1]:8002"},
        "curl -s http://[::1]:8002/",
    ),
    "http": (
        "(sleep 2; touch there) & exec python3 -m http.server 8003",
        {"type": "http", "url": "http://localhost:8003/there?a=b"},
        "test -e /srv/there",
    ),
    "command": (
        "export A=b; sleep 0.5; echo half > step; sleep 0.5; echo done > step; sleep 1000",
        {"type": "command", "command": "grep done step"},
        "grep done /srv/step",
    ),
}


def test_a_start_returns_when_the_service_is_ready(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        for name, (command, readiness, holds) in READY.items():
            started = sdk.start_service(
                workspace_id, name, command=command, cwd="/srv", readiness=readiness, ready_interval_ms=100
            )
            said(pyro, workspace_id, holds)
            assert (started["state"], started["command"], started["cwd"]) == ("running", command, "/srv"), started
            assert (started["readiness"], started["exit_code"], started["ended_at"]) == (readiness, None, None)
            assert started["ready_at"] is not None
            assert started["started_at"] is not None
            assert started["ready_at"] >= started["started_at"]
            assert started["pid"] is not None
            assert said(pyro, workspace_id, f"tr '\\0' ' ' < /proc/{started['pid']}/cmdline")
            assert sdk.status_service(workspace_id, name) == started
        listed = sdk.list_services(workspace_id)
        assert (listed["count"], listed["running_count"]) == counts(pyro, workspace_id) == (len(READY), len(READY))
        assert [service["service_name"] for service in listed["services"]] == sorted(READY)


def test_one_that_is_not_ready_in_time_is_ended_and_its_logs_stay(pyro: Installation) -> None:
    script = "echo trying; echo because >&2; setsid sh -c 'trap \"\" TERM; sleep 2222.1' & sleep 2222.2"
    with workspace(pyro) as workspace_id:
        start = ("workspace", "service", "start", workspace_id, "slow", "--ready-timeout-seconds", "1")
        for ready, why in (
            (("--ready-file", "never"), "never"),
            (("--ready-tcp", "127.0.0.1:9"), "refused"),
            (("--ready-http", "http://127.0.0.1:9/"), "refused"),
            (("--ready-command", "exit 3"), "status 3"),
        ):
            done = pyro.cli(*start, *ready, "--json", "--", script)
            payload = json.loads(done.stdout)
            assert (done.returncode, payload["state"], payload["ready_at"]) == (1, "failed", None)
            assert re.match(f"not-ready: .*{why}", payload["stop_reason"]), payload
            assert alive(pyro, workspace_id, "sleep 2222") == 0
            logs = pyro.sdk().logs_service(workspace_id, "slow")
            assert (logs["stdout"], logs["stderr"], logs["state"]) == ("trying\n", "because\n", "failed")
        done = pyro.cli(*start, "--ready-file", "never", "--", script)
        assert (done.returncode, b"state: failed" in done.stdout, b"slow failed: not-ready" in done.stderr) == (
            1,
            True,
            True,
        )


@pytest.mark.parametrize(
    ("command", "cwd", "code", "reason"),
    [
        ("echo oh; exit 3", "/workspace", 3, "ended"),
        ("kill -9 $$", "/workspace", 137, "ended"),
        (["no-such-program"], "/workspace", 127, "not-found"),
        (["/etc/passwd"], "/workspace", 126, "not-executable"),
        ("true", "/not/there", 126, "not-executable"),
    ],
)
def test_one_that_ends_before_it_is_ready_or_never_runs_has_failed(
    pyro: Installation, command: Any, cwd: str, code: int, reason: str
) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        ready = {"type": "file", "path": "never"}
        failed = sdk.start_service(workspace_id, "bad", command=command, cwd=cwd, readiness=ready)
        assert (failed["state"], failed["exit_code"], failed["ready_at"]) == ("failed", code, None)
        assert failed["stop_reason"] is not None
        assert failed["stop_reason"].startswith(reason)
        assert sdk.logs_service(workspace_id, "bad")["stdout"] == ("oh\n" if code == 3 else "")
        assert sdk.stop_service(workspace_id, "bad") == failed
        assert counts(pyro, workspace_id) == (1, 0)


def test_a_stop_lets_a_service_end_by_itself_and_what_does_not_is_killed(pyro: Installation) -> None:
    sdk = pyro.sdk()
    stubborn = (
        "trap '' TERM; setsid sh -c 'trap \"\" TERM INT HUP; sleep 3333.1; :' & touch up; sleep 3333.2; sleep 3333.3"
    )
    with workspace(pyro) as workspace_id:
        polite = "trap 'echo bye; touch asked; exit 4' TERM; touch polite; while :; do sleep 0.05; done"
        sdk.start_service(workspace_id, "polite", command=polite, readiness={"type": "file", "path": "polite"})
        stopped = sdk.stop_service(workspace_id, "polite")
        assert (stopped["state"], stopped["exit_code"], stopped["stop_reason"]) == ("stopped", 4, "stopped")
        assert stopped["ended_at"] is not None
        assert sdk.logs_service(workspace_id, "polite")["stdout"] == "bye\n"
        said(pyro, workspace_id, "test -e asked")

        sdk.start_service(workspace_id, "stubborn", command=stubborn, readiness=UP)
        assert alive(pyro, workspace_id, "^sleep 3333") == 2
        stopped = sdk.stop_service(workspace_id, "stubborn")
        assert (stopped["state"], stopped["exit_code"]) == ("stopped", 137)
        assert alive(pyro, workspace_id, "3333") == 0
        assert sdk.stop_service(workspace_id, "stubborn") == stopped
        assert counts(pyro, workspace_id) == (2, 0)


def test_an_end_is_noted_though_nobody_asks_and_takes_the_rest_along(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        command = "setsid sleep 4444 & until [ -e go ]; do sleep 0.05; done; echo done; exit 5"
        sdk.start_service(workspace_id, "once", command=command)
        assert counts(pyro, workspace_id) == (1, 1)
        said(pyro, workspace_id, "touch go")
        assert ended(pyro, workspace_id, "once")["state"] == "exited"
        assert state_of(pyro, workspace_id, "once") == ("exited", 5, "exited")
        assert alive(pyro, workspace_id, "^sleep 4444") == 0
        assert counts(pyro, workspace_id) == (1, 0)


def test_a_name_is_taken_while_the_service_runs_and_then_starts_anew(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        sdk.start_service(workspace_id, "web", command="echo first; touch up; exec sleep 1000", readiness=UP)
        with pytest.raises(ConflictError) as taken:
            sdk.start_service(workspace_id, "web", command="echo second; exec sleep 1000")
        assert taken.value.code == "service-exists"
        assert sdk.logs_service(workspace_id, "web")["stdout"] == "first\n"
        sdk.stop_service(workspace_id, "web")
        said(pyro, workspace_id, "rm up")
        again = sdk.start_service(workspace_id, "web", command="echo third; touch up; exec sleep 1000", readiness=UP)
        assert (again["state"], again["stop_reason"], again["ended_at"]) == ("running", None, None)
        assert sdk.logs_service(workspace_id, "web")["stdout"] == "third\n"
        assert counts(pyro, workspace_id) == (1, 1)


def test_a_stop_of_the_workspace_is_remembered_and_a_reset_forgets(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        sdk.start_service(workspace_id, "web", command="echo up; exec sleep 1000")
        sdk.start_service(workspace_id, "job", command="echo job; exit 6")
        assert ended(pyro, workspace_id, "job")["exit_code"] == 6
        sdk.stop_workspace(workspace_id)
        before = sdk.list_services(workspace_id)
        assert [(s["service_name"], s["state"], s["stop_reason"]) for s in before["services"]] == [
            ("job", "exited", "exited"),
            ("web", "stopped", "workspace-stopped"),
        ]
        assert counts(pyro, workspace_id) == (2, 0)
        with pytest.raises(ConflictError) as refused:
            sdk.logs_service(workspace_id, "web")
        assert refused.value.code == "workspace-stopped"
        with pytest.raises(ConflictError) as refused:
            sdk.start_service(workspace_id, "web", command="true")
        assert refused.value.code == "workspace-stopped"

        sdk.start_workspace(workspace_id)
        assert sdk.list_services(workspace_id) == before
        assert [sdk.logs_service(workspace_id, name)["stdout"] for name in ("web", "job")] == ["up\n", "job\n"]
        assert sdk.start_service(workspace_id, "web", command="exec sleep 1000")["state"] == "running"
        sdk.reset_workspace(workspace_id)
        assert (sdk.list_services(workspace_id)["services"], counts(pyro, workspace_id)) == ([], (0, 0))
        with pytest.raises(NotFoundError) as gone:
            sdk.logs_service(workspace_id, "web")
        assert gone.value.code == "service-not-found"


def test_a_service_its_watch_and_its_logs_outlive_the_daemon(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    with workspace(own_pyro) as workspace_id:
        for name in ("ends-later", "ends-meanwhile"):
            command = f"echo begun; until [ -e {name} ]; do sleep 0.05; done; echo ended; exit 8"
            sdk.start_service(workspace_id, name, command=command)
        running = sdk.status_service(workspace_id, "ends-later")
        daemon = own_pyro.daemon_pid()
        said(own_pyro, workspace_id, "(sleep 0.3; touch ends-meanwhile) > /dev/null 2>&1 &")
        os.kill(daemon, signal.SIGKILL)
        wait_gone(daemon)

        assert sdk.status_service(workspace_id, "ends-later") == running
        assert ended(own_pyro, workspace_id, "ends-meanwhile")["exit_code"] == 8
        said(own_pyro, workspace_id, "touch ends-later")
        assert ended(own_pyro, workspace_id, "ends-later")["exit_code"] == 8
        assert sdk.logs_service(workspace_id, "ends-later")["stdout"] == "begun\nended\n"
        sdk.start_service(workspace_id, "last", command="exec sleep 1000")
        own_pyro.stop()
        assert state_of(own_pyro, workspace_id, "last") == ("stopped", None, "workspace-stopped")


def test_a_start_that_is_broken_off_ends_the_service(own_pyro: Installation) -> None:
    with workspace(own_pyro) as workspace_id:
        for name in ("by-the-client", "by-the-daemon"):
            start = ("workspace", "service", "start", workspace_id, name, "--ready-file", "never")
            starting = own_pyro.start_cli(
                *start, "--ready-timeout-seconds", "600", "--", "setsid sleep 5555 & sleep 5555"
            )
            assert until(lambda: True if alive(own_pyro, workspace_id, "^sleep 5555") == 2 else None)
            assert state_of(own_pyro, workspace_id, name) == ("starting", None, None)
            if name == "by-the-client":
                starting.send_signal(signal.SIGINT)
            else:
                os.kill(own_pyro.daemon_pid(), signal.SIGKILL)
            starting.communicate(timeout=DEADLINE)
            assert starting.returncode == (130 if name == "by-the-client" else 1)
            found = ended(own_pyro, workspace_id, name)
            assert (found["state"], found["stop_reason"]) == ("failed", "its start was broken off")
            assert alive(own_pyro, workspace_id, "sleep 5555") == 0
