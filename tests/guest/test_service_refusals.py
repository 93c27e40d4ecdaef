"""What services cannot be, and how many: refused in a line, with nothing started."""

from __future__ import annotations

from typing import Any

import pytest

from pyro_mcp.errors import ConflictError, NotFoundError, PyroError
from tests.guest.test_shells import alive
from tests.guest.test_workspace_life import workspace
from tests.harness.installation import Installation

SERVICES = 64


def test_there_are_64_at_a_time(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        for number in range(SERVICES):
            sdk.start_service(workspace_id, f"s{number}", command=["sleep", "1000"])
        with pytest.raises(ConflictError) as refused:
            sdk.start_service(workspace_id, "one-more", command=["sleep", "1000"])
        assert refused.value.code == "too-many-services"
        sdk.stop_service(workspace_id, "s7")
        assert sdk.start_service(workspace_id, "one-more", command=["sleep", "1000"])["state"] == "running"


NONSENSE: tuple[tuple[dict[str, Any], str], ...] = (
    *(
        ({"readiness": readiness}, "invalid-readiness")
        for readiness in (
            {},
            "tcp",
            {"type": "tcp"},
            {"type": "tcp", "url": "127.0.0.1:80"},
            {"type": "tcp", "address": "127.0.0.1:80", "path": "too"},
            {"type": "tcp", "address": "example.com:80"},
            {"type": "tcp", "address": "127.0.0.1:65536"},
            {"type": "http", "url": "https://127.0.0.1/"},
            {"type": "http", "url": "http://127.0.0.1:99999/"},
            {"type": "http", "url": "http://127.0.0.1/\r\nHost: x"},
            {"type": "file", "path": "a\0b"},
            {"type": "magic", "path": "x"},
        )
    ),
    ({"readiness": {"type": "file", "path": ""}}, "invalid-argument"),
    ({"readiness": {"type": "tcp", "address": "999.0.0.1:80"}}, "invalid-readiness"),
    ({"ready_timeout_seconds": 0}, "out-of-range"),
    ({"ready_timeout_seconds": 3601}, "out-of-range"),
    ({"ready_interval_ms": 9}, "out-of-range"),
    ({"command": ""}, "empty-command"),
    ({"command": []}, "empty-command"),
    ({"cwd": ""}, "invalid-argument"),
    ({"secret_env": {"UNKNOWN": "X"}}, "secret-not-found"),
    ({"published_ports": [{"guest_port": 8080}]}, "ports-not-allowed"),
)


def test_what_makes_no_sense_is_refused_in_a_line_and_starts_nothing(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        for arguments, code in NONSENSE:
            with pytest.raises(PyroError) as refused:
                sdk.start_service(workspace_id, "web", **{"command": "exec sleep 6666", **arguments})
            assert (arguments, refused.value.code) == (arguments, code)
            assert "\n" not in refused.value.message
        for name in ("", "a/b", "../x", "-x", "x" * 65, "a b", "\u00e9", None):
            with pytest.raises(PyroError) as refused:
                sdk.start_service(workspace_id, name, command="exec sleep 6666")  # type: ignore[arg-type]
            assert refused.value.code in ("invalid-name", "invalid-argument")
        assert sdk.list_services(workspace_id)["count"] == 0
        assert alive(pyro, workspace_id, "^sleep 6666") == 0
        for ask in (sdk.status_service, sdk.logs_service, sdk.stop_service):
            with pytest.raises(NotFoundError) as unknown:
                ask(workspace_id, "unknown")
            assert unknown.value.code == "service-not-found"
