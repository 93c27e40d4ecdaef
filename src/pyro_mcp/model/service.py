"""What a service is asked to be, checked once, and its lasting record."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pyro_mcp.config import PORT_RANGE
from pyro_mcp.errors import UsageError
from pyro_mcp.model.requests import require_range, require_text

_READINESS = {"file": "path", "tcp": "address", "http": "url", "command": "command"}
# An IP address or localhost: looking up a name could leave the guest.
_HOST = r"(?:localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\])"
_ADDRESS = re.compile(rf"(?P<host>{_HOST}):(?P<port>[0-9]{{1,5}})")
_URL = re.compile(rf"http://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?:/(?:[!-$&-~]|%[0-9A-Fa-f]{{2}})*)?")
_PORTS = 16


class ServiceState(StrEnum):
    """STOPPED was ended, EXITED ended by itself, FAILED was never ready."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    EXITED = "exited"
    FAILED = "failed"

    @property
    def alive(self) -> bool:
        return self in (ServiceState.STARTING, ServiceState.RUNNING)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """`host_port` 0 is any that is free."""

    guest_port: int
    host_port: int = 0


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One row of `services`. Times are seconds since the epoch; `command` is for people, and redacted."""

    workspace_id: str
    name: str
    state: ServiceState
    command: str
    cwd: str
    readiness: Mapping[str, str] | None
    ports: tuple[PublishedPort, ...]
    started_at: float
    pid: int | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    stop_reason: str | None = None


def require_readiness(value: object) -> dict[str, str] | None:
    """What shows that a service is ready: exactly one thing of one type. Raises UsageError `invalid-readiness`."""
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    member = _READINESS.get(kind) if isinstance(kind, str) else None
    if not isinstance(value, dict) or member is None or set(value) != {"type", member}:
        raise _unready(
            "it is not one of "
            '{"type": "file", "path"}, {"type": "tcp", "address"}, {"type": "http", "url"}, '
            '{"type": "command", "command"}'
        )
    subject = require_text(f"readiness {member}", value[member])
    if "\0" in subject or any(0xD800 <= ord(character) <= 0xDFFF for character in subject):
        raise _unready(f"the {member} holds what cannot be")
    pattern = {"tcp": _ADDRESS, "http": _URL}.get(str(kind))
    if pattern is not None:
        match = pattern.fullmatch(subject)
        if match is None or not _is_host(match["host"]) or not 1 <= int(match["port"] or 80) <= 65535:
            example = "127.0.0.1:8080" if kind == "tcp" else "http://127.0.0.1:8080/health"
            raise _unready(f"{subject[:80]!r} is not like {example}")
    return {"type": str(kind), member: subject}


def _is_host(text: str) -> bool:
    try:
        return text == "localhost" or bool(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return False


def require_ports(value: object) -> tuple[PublishedPort, ...]:
    """The ports to publish. Raises UsageError, `out-of-range` or `invalid-ports`."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _PORTS:
        raise UsageError(f"published_ports must be a list of at most {_PORTS} objects", code="invalid-ports")
    ports = []
    for entry in value:
        if not isinstance(entry, dict) or not {"guest_port"} <= set(entry) <= {"guest_port", "host_port"}:
            raise UsageError(
                'a published port must be {"guest_port": N} or {"guest_port": N, "host_port": N}', code="invalid-ports"
            )
        host = entry.get("host_port")
        ports.append(
            PublishedPort(
                require_range("guest_port", entry["guest_port"], PORT_RANGE),
                0 if host is None else require_range("host_port", host, PORT_RANGE),
            )
        )
    chosen = [port.host_port for port in ports if port.host_port]
    if len(set(chosen)) < len(chosen):
        raise UsageError("the same host_port is given twice", code="invalid-ports")
    return tuple(ports)


def _unready(why: str) -> UsageError:
    return UsageError(
        f"the readiness makes no sense: {why}",
        code="invalid-readiness",
        hint="exactly one of --ready-file PATH, --ready-tcp HOST:PORT, --ready-http URL, --ready-command COMMAND",
    )
