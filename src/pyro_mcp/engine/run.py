"""One command in a VM that is gone afterwards."""

from __future__ import annotations

import time

from pyro_mcp.agent.messages import Exited, Output, OutputStream
from pyro_mcp.config import OUTPUT_BYTES
from pyro_mcp.engine.sink import KeptOutput, Sink
from pyro_mcp.engine.vms import Vms
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.payloads import RunPayload
from pyro_mcp.model.record import EndReason, MachineRecord, MachineState
from pyro_mcp.model.requests import Command, MachineRequest


async def run_in_vm(
    vms: Vms,
    request: MachineRequest,
    command: Command,
    timeout_seconds: int,
    sink: Sink,
    *,
    vmm: str,
    require_isolation: Isolation | None,
) -> RunPayload:
    """Create, start, run one command, delete: the VM is gone whatever happens in between."""
    await sink.event({"event": "phase", "phase": "create", "environment": request.environment})
    record = await vms.create(request, sink, vmm=vmm, require_isolation=require_isolation, ephemeral=True)
    try:
        await sink.event({"event": "phase", "phase": "start", "vm_id": record.vm_id})
        await vms.start(record.vm_id)
        return await exec_vm(vms, record.vm_id, command, timeout_seconds, sink)
    finally:
        await _delete_if_there(vms, record.vm_id)


async def exec_vm(vms: Vms, vm_id: str, command: Command, timeout_seconds: int, sink: Sink) -> RunPayload:
    """Run one command in a running VM and delete the VM, also when the command fails, is cut off or times out."""
    record = vms.find(vm_id)
    if record.state is not MachineState.RUNNING:
        raise ConflictError(f"VM {vm_id} is {record.state.value}, not running", hint="start it first")
    with vms.executing(vm_id, command.text) as execution:
        try:
            await sink.event({"event": "phase", "phase": "execute", "vm_id": vm_id})
            payload = await _execute(execution.machine, record, command, timeout_seconds, sink)
            execution.exit_code = payload["exit_code"]
        except GuestError as error:
            raise vms.why_gone(vm_id) or error from error
        finally:
            started = time.perf_counter()
            await _delete_if_there(vms, vm_id)
    payload["timings_ms"]["destroy"] = round((time.perf_counter() - started) * 1000, 1)
    return payload


async def _execute(
    machine: Machine, record: MachineRecord, command: Command, timeout_seconds: int, sink: Sink
) -> RunPayload:
    kept = {stream: KeptOutput(OUTPUT_BYTES) for stream in OutputStream}
    ending: Exited | None = None
    started = time.perf_counter()
    async for event in machine.run(command.argv, timeout_seconds=timeout_seconds):
        if isinstance(event, Output):
            kept[event.stream].add(event.data)
            await sink.output(event.stream, event.data)
        else:
            ending = event
    assert ending is not None, "the agent client ends every execution with its exit"
    out, err = kept[OutputStream.STDOUT], kept[OutputStream.STDERR]
    return {
        "vm_id": record.vm_id,
        "environment": record.environment,
        "environment_version": record.environment_version,
        "command": command.text,
        "execution_mode": record.execution_mode.value,
        "isolation": record.isolation.value,
        "exit_code": ending.exit_code,
        "timed_out": ending.timed_out,
        "duration_ms": ending.duration_ms,
        "stdout": out.text(),
        "stderr": err.text(),
        "stdout_truncated": out.truncated,
        "stderr_truncated": err.truncated,
        "timings_ms": {**record.timings_ms, "exec": round((time.perf_counter() - started) * 1000, 1)},
        "cleanup": {"deleted": True, "reason": EndReason.POST_EXEC.value, "vm_id": record.vm_id},
    }


async def _delete_if_there(vms: Vms, vm_id: str) -> None:
    try:
        await vms.delete(vm_id, reason=EndReason.POST_EXEC)
    except NotFoundError:
        return  # expired or deleted by somebody else meanwhile: gone either way
