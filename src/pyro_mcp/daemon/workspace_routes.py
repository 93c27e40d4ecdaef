"""The operations on workspaces, each one row of `routes.OPERATIONS`."""

from __future__ import annotations

from pathlib import Path

from pyro_mcp.daemon.call import Call, Payload
from pyro_mcp.engine.executions import Execution
from pyro_mcp.engine.files import TEXT_BYTES
from pyro_mcp.errors import UsageError
from pyro_mcp.model.network import NetworkPolicy, require_policy
from pyro_mcp.model.paths import working_directory
from pyro_mcp.model.record import EndReason
from pyro_mcp.model.requests import (
    Command,
    MachineRequest,
    parse_isolation,
    require_bool,
    require_environment_variables,
    require_few_labels,
    require_labels,
    require_life,
    require_range,
    require_text,
    require_timeout,
    require_title,
)
from pyro_mcp.model.secrets import require_secret_env
from pyro_mcp.model.workspace import BASELINE, WORKSPACE_PATH

_READ_BYTES = 65_536


async def create_workspace(
    call: Call,
    *,
    environment: str,
    vcpu_count: int = 1,
    mem_mib: int = 1024,
    ttl_seconds: int = 600,
    network_policy: str = "off",
    allow: list[str] | None = None,
    allow_host_compat: bool = False,
    require_isolation: str | None = None,
    seed_path: str | None = None,
    name: str | None = None,
    labels: object = None,
    secrets: object = None,
) -> Payload:
    given = await call.engine.secrets.requested(secrets if secrets is not None else [])
    call.redaction.redactor = redactor = given.redactor  # from here on, of whatever this says
    policy = require_policy(network_policy)
    networked = policy is not NetworkPolicy.OFF
    request = MachineRequest(environment, vcpu_count=vcpu_count, mem_mib=mem_mib, network=networked, allow=allow)
    require_bool("allow_host_compat", allow_host_compat)  # it permits nothing here: a workspace is always a VM
    record = await call.engine.workspaces.create(
        request,
        call.sink,
        policy=policy,
        ttl_seconds=require_life(ttl_seconds),
        seed_path=_host_path("seed_path", seed_path) if seed_path is not None else None,
        name=redactor.redact_text(require_title(name)) if name is not None else None,
        labels=given.labels(require_labels(labels if labels is not None else {})),
        secrets=given,
        vmm=call.vmm,
        require_isolation=parse_isolation(require_isolation or call.require_isolation),
    )
    return await call.engine.workspace(record.workspace_id)


async def list_workspaces(call: Call) -> Payload:
    return await call.engine.list_workspaces()


async def status_workspace(call: Call, *, workspace_id: str) -> Payload:
    return await call.engine.workspace(workspace_id)


async def update_workspace(
    call: Call,
    *,
    workspace_id: str,
    name: str | None = None,
    clear_name: bool = False,
    labels: object = None,
    clear_labels: object = None,
    ttl_seconds: int | None = None,
) -> Payload:
    record = call.engine.workspaces.find(workspace_id)
    if name is not None and require_bool("clear_name", clear_name):
        raise UsageError("name and clear_name exclude each other")
    redact = call.redaction.redactor.redact_text
    added = {key: redact(text) for key, text in require_labels(labels if labels is not None else {}).items()}
    removed = clear_labels if clear_labels is not None else []
    if not isinstance(removed, list) or not all(isinstance(key, str) for key in removed):
        raise UsageError("clear_labels must be a list of keys")
    life = require_life(ttl_seconds) if ttl_seconds is not None else None
    title = None if clear_name else redact(require_title(name)) if name is not None else record.name
    kept = {key: value for key, value in record.labels.items() if key not in removed}
    # What is stored was checked when it was given, and redaction may have made it longer since.
    described = require_few_labels({**kept, **added})
    call.engine.workspaces.describe(workspace_id, name=title, labels=described)
    if life is not None:
        call.engine.workspaces.set_life(workspace_id, life)
    return await call.engine.workspace(workspace_id)


async def delete_workspace(call: Call, *, workspace_id: str) -> Payload:
    reason = await call.engine.workspaces.delete(workspace_id, EndReason.EXPLICIT_DELETE)
    return {"workspace_id": workspace_id, "deleted": True, "reason": reason.value}


async def start_workspace(call: Call, *, workspace_id: str) -> Payload:
    await call.engine.workspaces.start(workspace_id)
    return await call.engine.workspace(workspace_id)


async def stop_workspace(call: Call, *, workspace_id: str) -> Payload:
    await call.engine.workspaces.stop(workspace_id)
    return await call.engine.workspace(workspace_id)


async def reset_workspace(call: Call, *, workspace_id: str, snapshot: str = BASELINE) -> Payload:
    await call.engine.workspaces.reset(
        workspace_id,
        require_text("snapshot", snapshot),
        call.sink,
        vmm=call.vmm,
        require_isolation=parse_isolation(call.require_isolation),
    )
    payload = await call.engine.workspace(workspace_id)
    return {**payload, "workspace_reset": {"snapshot_name": snapshot, "destination": WORKSPACE_PATH}}


async def exec_workspace(
    call: Call,
    *,
    workspace_id: str,
    command: object,
    timeout_seconds: int = 30,
    cwd: str = WORKSPACE_PATH,
    env: object = None,
    secret_env: object = None,
    stdin: bool = False,
) -> Payload:
    if require_bool("stdin", stdin):
        await call.sink.event({"event": "stdin"})  # from here on it can be sent
    variables = require_environment_variables(env if env is not None else {})
    execution = Execution(
        Command.parse(command),
        require_timeout(timeout_seconds),
        cwd=working_directory(cwd),
        env=variables,
        secret_env=require_secret_env(secret_env if secret_env is not None else {}, variables),
        stdin=call.stdin if stdin else None,
    )
    return await call.engine.executions.run(workspace_id, execution, call.sink)


async def logs_workspace(call: Call, *, workspace_id: str) -> Payload:
    return call.engine.executions.logs(workspace_id)


async def push_workspace_sync(
    call: Call, *, workspace_id: str, source_path: str, dest: str = WORKSPACE_PATH
) -> Payload:
    return await call.engine.transfers.push(workspace_id, _host_path("source_path", source_path), dest)


async def export_workspace(call: Call, *, workspace_id: str, path: str, output_path: str) -> Payload:
    return await call.engine.transfers.export(workspace_id, path, _host_path("output_path", output_path))


async def diff_workspace(call: Call, *, workspace_id: str) -> Payload:
    return await call.engine.files.diff(workspace_id, redactor=call.redaction.redactor)


async def list_workspace_files(
    call: Call, *, workspace_id: str, path: str = WORKSPACE_PATH, recursive: bool = False
) -> Payload:
    return await call.engine.files.list(workspace_id, path, recursive=require_bool("recursive", recursive))


async def read_workspace_file(call: Call, *, workspace_id: str, path: str, max_bytes: int = _READ_BYTES) -> Payload:
    limit = require_range("max_bytes", max_bytes, (1, TEXT_BYTES))
    return await call.engine.files.read(workspace_id, path, max_bytes=limit, redactor=call.redaction.redactor)


async def write_workspace_file(call: Call, *, workspace_id: str, path: str, text: str) -> Payload:
    return await call.engine.files.write(workspace_id, path, text)


async def apply_workspace_patch(call: Call, *, workspace_id: str, patch: str) -> Payload:
    return await call.engine.files.patch(workspace_id, patch, redactor=call.redaction.redactor)


async def list_workspace_disk(
    call: Call, *, workspace_id: str, path: str = WORKSPACE_PATH, recursive: bool = False
) -> Payload:
    return await call.engine.disks.list(workspace_id, path, recursive=require_bool("recursive", recursive))


async def read_workspace_disk(call: Call, *, workspace_id: str, path: str, max_bytes: int = _READ_BYTES) -> Payload:
    limit = require_range("max_bytes", max_bytes, (1, TEXT_BYTES))
    return await call.engine.disks.read(workspace_id, path, max_bytes=limit, redactor=call.redaction.redactor)


async def export_workspace_disk(call: Call, *, workspace_id: str, output_path: str) -> Payload:
    return await call.engine.disks.export(workspace_id, _host_path("output_path", output_path))


async def create_snapshot(call: Call, *, workspace_id: str, snapshot_name: str) -> Payload:
    return await call.engine.snapshots.create(workspace_id, snapshot_name)


async def list_snapshots(call: Call, *, workspace_id: str) -> Payload:
    return call.engine.snapshots.list(workspace_id)


async def delete_snapshot(call: Call, *, workspace_id: str, snapshot_name: str) -> Payload:
    return await call.engine.snapshots.delete(workspace_id, snapshot_name)


ROWS = (
    create_workspace,
    list_workspaces,
    status_workspace,
    update_workspace,
    delete_workspace,
    start_workspace,
    stop_workspace,
    reset_workspace,
    exec_workspace,
    logs_workspace,
    push_workspace_sync,
    export_workspace,
    diff_workspace,
    list_workspace_files,
    read_workspace_file,
    write_workspace_file,
    apply_workspace_patch,
    list_workspace_disk,
    read_workspace_disk,
    export_workspace_disk,
    create_snapshot,
    list_snapshots,
    delete_snapshot,
)


def _host_path(name: str, value: object) -> Path:
    """A path of this host, absolute: the client knows what relative ones are relative to. Raises UsageError."""
    text = require_text(name, value)
    path = Path(text)
    if "\0" in text or not path.is_absolute():
        raise UsageError(f"{name} must be an absolute path")
    return path
