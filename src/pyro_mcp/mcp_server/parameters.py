"""What a model is told about parameters: all that their types do not say."""

from __future__ import annotations

from collections.abc import Mapping

from pyro_mcp.config import MEM_MIB_RANGE, TIMEOUT_RANGE, TTL_RANGE, VCPU_RANGE, WORKSPACE_TTL_RANGE
from pyro_mcp.mcp_server.schema import Schema

_READ_RANGE = (1, 1 << 20)


def between(text: str, bounds: tuple[int, int]) -> Schema:
    return {"description": text, "minimum": bounds[0], "maximum": bounds[1]}


PARAMETERS: Mapping[str, Schema] = {
    "environment": {"description": "The Linux system to run in, for example debian:12."},
    "command": {
        "description": "A string is a line for sh -lc. A list of strings is a program with its arguments, passed as "
        "they are."
    },
    "vcpu_count": between("Virtual CPUs.", VCPU_RANGE),
    "mem_mib": between("Memory in MiB.", MEM_MIB_RANGE),
    "timeout_seconds": between("Time limit of the command. Past it the command is killed.", TIMEOUT_RANGE),
    "ttl_seconds": between("Longest life of the VM. Past it the VM is deleted.", TTL_RANGE),
    "network": {"description": "Let the VM reach the outside."},
    "allow_host_compat": {
        "description": "Permit running on the host itself, without isolation, where no VM can be started."
    },
    "require_isolation": {"description": "Fail rather than use anything weaker.", "enum": ["kvm"]},
    "vm_id": {"description": "The VM's id, as vm_create returned it."},
    "workspace_id": {"description": "The workspace's id, as workspace_create returned it."},
    "network_policy": {
        "description": "What the workspace may reach.",
        "enum": ["off", "egress", "egress+published-ports"],
    },
    "seed_path": {
        "description": "A directory or archive (.tar, .tar.gz, .tgz, .tar.zst) on the user's machine, which /workspace "
        "begins as a copy of. It must lie in a directory that the server allows."
    },
    "name": {"description": "What people call the workspace; need not be unique. At most 120 characters."},
    "labels": {"description": "Texts by name, shown in lists."},
    "clear_name": {"description": "Take the name away."},
    "clear_labels": {"description": "Names of labels to take away."},
    "cwd": {"description": "Directory in which the command begins; a relative one begins in /workspace."},
    "env": {"description": "Environment variables for the command."},
    "path": {"description": "A path in /workspace, absolute or relative to it."},
    "recursive": {"description": "Also list what is in the directories in it."},
    "max_bytes": between("How much of the file is returned.", _READ_RANGE),
    "text": {"description": "What the file holds afterwards. At most 1 MiB."},
    "patch": {
        "description": "A unified diff of one file or several, with paths relative to /workspace. At most 2 MiB."
    },
    "source_path": {
        "description": "A directory or archive (.tar, .tar.gz, .tgz, .tar.zst) on the user's machine. It must lie in a "
        "directory that the server allows."
    },
    "dest": {"description": "Directory in /workspace that it is brought into."},
    "output_path": {
        "description": "Where to on the user's machine; nothing may be there yet. It must lie in a directory that the "
        "server allows."
    },
    "snapshot": {"description": "The snapshot to go back to."},
    "snapshot_name": {"description": "Name of the snapshot: 1 to 64 letters, digits, '.', '_' and '-'."},
}
"""Parameter → what its type does not say. A name means the same in all tools, but where a tool says otherwise."""

WORKSPACE_LIFE: Mapping[str, Schema] = {
    "ttl_seconds": between(
        "How long the workspace lives from now on. Past it the workspace is deleted, used or not.", WORKSPACE_TTL_RANGE
    )
}
