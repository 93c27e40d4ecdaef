"""The tools, each one row. What a tool takes and returns is the method's own; here is what a model is told about it.

The texts are neutral and never change at run time: nothing from a guest or a catalog gets into what every
conversation begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyro_mcp.config import MEM_MIB_RANGE, TIMEOUT_RANGE, TTL_RANGE, VCPU_RANGE
from pyro_mcp.mcp_server.schema import Schema, input_schema, output_schema
from pyro_mcp.sdk.client import Pyro


@dataclass(frozen=True, slots=True)
class Tool:
    """A method of the SDK under the name a model calls it by.

    The flags are MCP's hints: `destructive` may end or delete what existed before, `idempotent` says that a second
    call changes nothing more, `open_world` that the outside may be reached.
    """

    name: str
    method: Callable[..., object]
    title: str
    text: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False

    @property
    def input_schema(self) -> Schema:
        return input_schema(self.method, PARAMETERS)

    @property
    def output_schema(self) -> Schema:
        return output_schema(self.method)


def _between(text: str, bounds: tuple[int, int]) -> Schema:
    return {"description": text, "minimum": bounds[0], "maximum": bounds[1]}


PARAMETERS: Mapping[str, Schema] = {
    "environment": {"description": "The Linux system to run in, for example debian:12."},
    "command": {
        "description": "A string is a line for sh -lc. A list of strings is a program with its arguments, passed as "
        "they are."
    },
    "vcpu_count": _between("Virtual CPUs.", VCPU_RANGE),
    "mem_mib": _between("Memory in MiB.", MEM_MIB_RANGE),
    "timeout_seconds": _between("Time limit of the command. Past it the command is killed.", TIMEOUT_RANGE),
    "ttl_seconds": _between("Longest life of the VM. Past it the VM is deleted.", TTL_RANGE),
    "network": {"description": "Let the VM reach the outside."},
    "allow_host_compat": {
        "description": "Permit running on the host itself, without isolation, where no VM can be started."
    },
    "require_isolation": {"description": "Fail rather than use anything weaker.", "enum": ["kvm"]},
    "vm_id": {"description": "The VM's id, as vm_create returned it."},
}
"""Parameter → what its type does not say. A name means the same in all tools."""

_ROWS = (
    Tool(
        "vm_run",
        Pyro.run_in_vm,
        "Run a command in a fresh VM",
        "Run one command in a fresh Linux microVM and return its exit status and output. The VM is deleted afterwards; "
        "nothing in it lasts. Commands run as root in /workspace, without a terminal. A missing environment is "
        "installed first, which can take a minute.",
        open_world=True,
    ),
    Tool(
        "vm_list_environments",
        Pyro.list_environments,
        "List environments",
        "List the Linux systems that VMs can run, and which of them are installed.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "vm_create",
        Pyro.create_vm,
        "Create a VM",
        "Reserve a VM without starting it, and return its id. It is deleted when its time to live is over, used or "
        "not. For a single command, vm_run does everything in one call.",
    ),
    Tool("vm_start", Pyro.start_vm, "Start a VM", "Boot a VM that was created or stopped.", open_world=True),
    Tool(
        "vm_exec",
        Pyro.exec_vm,
        "Run the command of a VM",
        "Run one command in a started VM, return its exit status and output, and delete the VM, whatever became of "
        "the command.",
        destructive=True,
        open_world=True,
    ),
    Tool(
        "vm_stop",
        Pyro.stop_vm,
        "Stop a VM",
        "Shut a VM down. Its disk stays until the VM is deleted or its time to live is over.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "vm_delete",
        Pyro.delete_vm,
        "Delete a VM",
        "End a VM, whatever it is doing, and delete its disk.",
        destructive=True,
        idempotent=True,
    ),
    Tool(
        "vm_status",
        Pyro.status_vm,
        "Show a VM",
        "Show a VM's state, size and remaining time.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "vm_network_info",
        Pyro.network_info_vm,
        "Show a VM's network",
        "Show what a VM can reach and at which addresses.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "vm_reap_expired",
        Pyro.reap_expired,
        "Delete expired VMs",
        "Delete every VM whose time to live is over, now. This happens by itself, too.",
        destructive=True,
        idempotent=True,
    ),
)

TOOLS: Mapping[str, Tool] = {row.name: row for row in _ROWS}
"""Name → tool."""
