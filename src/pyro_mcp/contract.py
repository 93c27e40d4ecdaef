"""The public names of this version, written down once more on purpose.

`tests/contract` compares this with the code, the help texts and `docs/public-contract.md`: a name that is changed,
forgotten or added in only one place fails there. From 4.0.0 on names are added, never changed (SemVer).
"""

from __future__ import annotations

from collections.abc import Mapping

_MACHINE_FLAGS = (
    "--vcpu-count",
    "--mem-mib",
    "--ttl-seconds",
    "--network",
    "--allow-host-compat",
    "--require-isolation",
)

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("ENVIRONMENT", "COMMAND", *_MACHINE_FLAGS, "--timeout-seconds", "--json"),
    "env list": ("--json",),
    "env pull": ("ENVIRONMENT", "--json"),
    "env inspect": ("ENVIRONMENT", "--json"),
    "env prune": ("--json",),
    "mcp serve": ("--profile",),
    "doctor": ("--boot", "--json"),
    "demo": ("--network", "--json"),
    "daemon status": ("--json",),
    "daemon stop": ("--json",),
    "daemon logs": ("--tail-lines", "--json"),
}
"""Command → its arguments and options."""

_MACHINE_PARAMETERS = (
    "environment",
    "vcpu_count",
    "mem_mib",
    "ttl_seconds",
    "network",
    "allow_host_compat",
    "require_isolation",
)

METHODS: Mapping[str, tuple[str, ...]] = {
    "run_in_vm": (*_MACHINE_PARAMETERS, "command", "timeout_seconds", "on_event", "on_output"),
    "create_vm": (*_MACHINE_PARAMETERS, "on_event"),
    "start_vm": ("vm_id",),
    "exec_vm": ("vm_id", "command", "timeout_seconds", "on_output"),
    "stop_vm": ("vm_id",),
    "delete_vm": ("vm_id",),
    "status_vm": ("vm_id",),
    "network_info_vm": ("vm_id",),
    "reap_expired": (),
    "list_environments": (),
    "pull_environment": ("environment", "on_event"),
    "inspect_environment": ("environment",),
    "prune_environments": (),
    "daemon_status": (),
    "stop_daemon": (),
}
"""Method of `Pyro` and `AsyncPyro` → its parameters."""

TOOLS: Mapping[str, str] = {
    "vm_run": "run_in_vm",
    "vm_list_environments": "list_environments",
    "vm_create": "create_vm",
    "vm_start": "start_vm",
    "vm_exec": "exec_vm",
    "vm_stop": "stop_vm",
    "vm_delete": "delete_vm",
    "vm_status": "status_vm",
    "vm_network_info": "network_info_vm",
    "vm_reap_expired": "reap_expired",
}
"""MCP tool → the method it is; its arguments are the method's parameters without callbacks."""

PROFILES: Mapping[str, tuple[str, ...]] = {
    "vm-run": ("vm_run",),
    "workspace-core": ("vm_run",),
    "workspace-full": tuple(TOOLS),
}
"""Profile of `mcp serve` → its tools."""

VARIABLES: tuple[str, ...] = (
    "PYRO_STATE_DIR",
    "PYRO_ENVIRONMENT_CACHE_DIR",
    "PYRO_RUNTIME_BUNDLE_DIR",
    "PYRO_VMM",
    "PYRO_REQUIRE_ISOLATION",
    "PYRO_BOOT_TIMEOUT_SECONDS",
    "PYRO_DAEMON_IDLE_SECONDS",
    "PYRO_TEMPLATES",
)
