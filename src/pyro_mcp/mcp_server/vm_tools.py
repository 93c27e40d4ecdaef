"""The tools for VMs, each one row."""

from __future__ import annotations

from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.sdk.client import Pyro

ROWS = (
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
        "Show what a VM can reach, and what it tried to reach and was refused.",
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
