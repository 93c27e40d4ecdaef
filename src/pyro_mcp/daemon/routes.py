"""The operations a client may ask for, each one row: name → what the engine does.

A row's keyword-only parameters are the operation's arguments; the SDK's methods of the same name document them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping

from pyro_mcp.daemon import living_routes, workspace_routes
from pyro_mcp.daemon.call import Call, Operation, Payload
from pyro_mcp.engine import run
from pyro_mcp.errors import NotFoundError, UsageError
from pyro_mcp.model.requests import Command, MachineRequest, parse_isolation, require_text, require_timeout


async def run_in_vm(
    call: Call, *, command: object, timeout_seconds: int = 30, require_isolation: str | None = None, **machine: object
) -> Payload:
    request = _machine_request(machine)
    return await run.run_in_vm(
        call.engine.vms,
        request,
        Command.parse(command),
        require_timeout(timeout_seconds),
        call.sink,
        vmm=call.vmm,
        require_isolation=parse_isolation(require_isolation or call.require_isolation),
    )


async def create_vm(call: Call, *, require_isolation: str | None = None, **machine: object) -> Payload:
    request = _machine_request(machine)
    record = await call.engine.vms.create(
        request,
        call.sink,
        vmm=call.vmm,
        require_isolation=parse_isolation(require_isolation or call.require_isolation),
    )
    return call.engine.vms.payload(record)


async def start_vm(call: Call, *, vm_id: str) -> Payload:
    return await call.engine.vms.start(vm_id)


async def exec_vm(call: Call, *, vm_id: str, command: object, timeout_seconds: int = 30) -> Payload:
    return await run.exec_vm(
        call.engine.vms, vm_id, Command.parse(command), require_timeout(timeout_seconds), call.sink
    )


async def stop_vm(call: Call, *, vm_id: str) -> Payload:
    return await call.engine.vms.stop(vm_id)


async def delete_vm(call: Call, *, vm_id: str) -> Payload:
    return await call.engine.vms.delete(vm_id)


async def status_vm(call: Call, *, vm_id: str) -> Payload:
    return call.engine.vms.status(vm_id)


async def network_info_vm(call: Call, *, vm_id: str) -> Payload:
    return await call.engine.vms.network_info(vm_id)


async def reap_expired(call: Call) -> Payload:
    return await call.engine.vms.reap_expired()


async def list_environments(call: Call) -> Payload:
    return await call.engine.environments.list()


async def pull_environment(call: Call, *, environment: str) -> Payload:
    return await call.engine.pull(
        require_text("environment", environment),
        call.sink,
        vmm=call.vmm,
        require_isolation=parse_isolation(call.require_isolation),
    )


async def inspect_environment(call: Call, *, environment: str) -> Payload:
    return await call.engine.environments.inspect(require_text("environment", environment))


async def prune_environments(call: Call) -> Payload:
    return await call.engine.environments.prune()


OPERATIONS: Mapping[str, Operation] = {
    operation.__name__: operation
    for operation in (
        run_in_vm,
        create_vm,
        start_vm,
        exec_vm,
        stop_vm,
        delete_vm,
        status_vm,
        network_info_vm,
        reap_expired,
        list_environments,
        pull_environment,
        inspect_environment,
        prune_environments,
        *workspace_routes.ROWS,
        *living_routes.ROWS,
    )
}


def prepare(name: str, call: Call, arguments: Mapping[str, object]) -> Awaitable[Payload]:
    """The operation, ready to be awaited. Raises NotFoundError for its name, UsageError for its arguments."""
    operation = OPERATIONS.get(name)
    if operation is None:
        raise NotFoundError(f"there is no operation {name[:64]!r}", code="operation-not-found")
    try:
        inspect.signature(operation).bind(call, **arguments)
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from error
    return operation(call, **arguments)


def _machine_request(arguments: Mapping[str, object]) -> MachineRequest:
    try:
        return MachineRequest(**arguments)  # type: ignore[arg-type]  # it checks each type itself
    except TypeError as error:
        raise UsageError(str(error).replace("MachineRequest.__init__() ", "")) from error
