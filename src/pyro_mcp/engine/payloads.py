"""Records to public payloads."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_mcp.model.payloads import LastCommand, StartPayload, VmPayload
from pyro_mcp.model.record import CommandRecord, MachineRecord
from pyro_mcp.model.times import timestamp


def vm_payload(record: MachineRecord, commands: Sequence[CommandRecord]) -> VmPayload:
    return {
        "vm_id": record.vm_id,
        "state": record.state.value,
        "environment": record.environment,
        "environment_version": record.environment_version,
        "execution_mode": record.execution_mode.value,
        "isolation": record.isolation.value,
        "vcpu_count": record.vcpu_count,
        "mem_mib": record.mem_mib,
        "ttl_seconds": record.ttl_seconds,
        "created_at": timestamp(record.created_at),
        "expires_at": timestamp(record.expires_at),
        "ended_at": None if record.ended_at is None else timestamp(record.ended_at),
        "end_reason": record.end_reason.value if record.end_reason else None,
        "network_enabled": record.network,
        "allow_host_compat": record.allow_host_compat,
        "timings_ms": dict(record.timings_ms),
        "command_count": len(commands),
        "last_command": _last_command(commands[-1]) if commands else None,
        "metadata": {"vmm": record.driver},
    }


def start_payload(record: MachineRecord) -> StartPayload:
    return {
        "vm_id": record.vm_id,
        "environment": record.environment,
        "vmm": record.driver,
        "restored": "restore" in record.timings_ms,
        "total_ms": round(sum(record.timings_ms.values()), 1),
        "timings_ms": dict(record.timings_ms),
    }


def _last_command(command: CommandRecord) -> LastCommand:
    return {
        "command": command.command,
        "state": command.state.value,
        "exit_code": command.exit_code,
        "started_at": timestamp(command.started_at),
        "ended_at": None if command.ended_at is None else timestamp(command.ended_at),
    }
