"""Records of services to public payloads."""

from __future__ import annotations

from pyro_mcp.engine.ports import HOST
from pyro_mcp.model.living_payloads import ServicePayload
from pyro_mcp.model.service import ServiceRecord
from pyro_mcp.model.times import timestamp


def service_payload(service: ServiceRecord) -> ServicePayload:
    return {
        "workspace_id": service.workspace_id,
        "service_name": service.name,
        "state": service.state.value,
        "command": service.command,
        "cwd": service.cwd,
        "pid": service.pid,
        "readiness": None if service.readiness is None else dict(service.readiness),
        "ready_at": None if service.ready_at is None else timestamp(service.ready_at),
        "started_at": timestamp(service.started_at),
        "ended_at": None if service.ended_at is None else timestamp(service.ended_at),
        "exit_code": service.exit_code,
        "stop_reason": service.stop_reason,
        "published_ports": [
            {"host": HOST, "host_port": port.host_port, "guest_port": port.guest_port, "protocol": "tcp"}
            for port in service.ports
        ],
    }
