"""Records of workspaces to public payloads."""

from __future__ import annotations

from pyro_mcp.model.living_payloads import NetworkStatusPayload
from pyro_mcp.model.payloads import LastCommand
from pyro_mcp.model.record import MachineRecord, MachineState
from pyro_mcp.model.times import timestamp
from pyro_mcp.model.workspace import WORKSPACE_PATH, HistoryRecord, WorkspaceRecord
from pyro_mcp.model.workspace_payloads import SeedPayload, WorkspacePayload


def workspace_payload(
    record: WorkspaceRecord,
    machine: MachineRecord,
    *,
    command_count: int,
    last: HistoryRecord | None,
    network: NetworkStatusPayload | None,
    services: tuple[int, int],
) -> WorkspacePayload:
    """`services`: how many there are, and how many of them run."""
    return {
        "workspace_id": record.workspace_id,
        "name": record.name,
        "labels": dict(record.labels),
        "state": _state(machine),
        "environment": record.environment,
        "environment_version": record.environment_version,
        "execution_mode": machine.execution_mode.value,
        "isolation": machine.isolation.value,
        "workspace_path": WORKSPACE_PATH,
        "workspace_seed": _seed(record),
        "vcpu_count": record.vcpu_count,
        "mem_mib": record.mem_mib,
        "ttl_seconds": record.ttl_seconds,
        "created_at": timestamp(record.created_at),
        "expires_at": None if record.expires_at is None else timestamp(record.expires_at),
        "last_activity_at": timestamp(record.last_activity_at),
        "network_policy": record.network_policy.value,
        "network": network,
        "secrets": [{"name": secret.name, "source_kind": secret.source_kind.value} for secret in record.secrets],
        "command_count": command_count,
        "last_command": _last(last) if last is not None else None,
        "reset_count": record.reset_count,
        "last_reset_at": None if record.last_reset_at is None else timestamp(record.last_reset_at),
        "service_count": services[0],
        "running_service_count": services[1],
        "timings_ms": dict(machine.timings_ms),
        "metadata": {"vmm": machine.driver, "vm_id": machine.vm_id},
    }


def _state(machine: MachineRecord) -> str:
    if machine.state is MachineState.RUNNING:
        return "started"
    return "starting" if machine.state is MachineState.STARTING else "stopped"


def _seed(record: WorkspaceRecord) -> SeedPayload:
    seed = record.seed
    return {
        "mode": seed.mode.value,
        "seed_path": seed.path,
        "destination": WORKSPACE_PATH,
        "entry_count": seed.entry_count,
        "bytes_written": seed.bytes_written,
        "skipped": list(seed.skipped),
        "skipped_count": seed.skipped_count,
    }


def _last(record: HistoryRecord) -> LastCommand:
    return {
        "command": record.command,
        "state": record.state.value,
        "exit_code": record.exit_code,
        "started_at": timestamp(record.started_at),
        "ended_at": None if record.ended_at is None else timestamp(record.ended_at),
    }
