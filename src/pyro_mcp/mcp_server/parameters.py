"""What a model is told about parameters: all that their types do not say."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pyro_mcp.config import (
    IDLE_MS_RANGE,
    MEM_MIB_RANGE,
    PORT_RANGE,
    READY_INTERVAL_MS_RANGE,
    READY_SECONDS_RANGE,
    SHELL_CHARS_RANGE,
    TAIL_LINES_RANGE,
    TERMINAL_RANGE,
    TIMEOUT_RANGE,
    TTL_RANGE,
    VCPU_RANGE,
    WORKSPACE_TTL_RANGE,
)
from pyro_mcp.mcp_server.schema import Schema

_READ_RANGE = (1, 1 << 20)


def between(text: str, bounds: tuple[int, int]) -> Schema:
    return {"description": text, "minimum": bounds[0], "maximum": bounds[1]}


def exactly(required: Mapping[str, Schema], optional: Mapping[str, Schema] = MappingProxyType({})) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _ready(kind: str, member: str, text: str) -> Schema:
    return exactly({"type": {"const": kind}, member: {"type": "string", "description": text}})


_PORT: Schema = {"type": "integer", "minimum": PORT_RANGE[0], "maximum": PORT_RANGE[1]}
_SECRET_NAME: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"}

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
    "network": {"description": "Let the VM reach the internet."},
    "allow": {
        "description": "What may be reached beside the internet: IPv4 ranges, with or without a port, such as "
        "10.1.2.0/24 or 192.168.1.5:5432. Private addresses are closed otherwise."
    },
    "allow_host_compat": {
        "description": "Permit running on the host itself, without isolation, where no VM can be started."
    },
    "require_isolation": {"description": "Fail rather than use anything weaker.", "enum": ["kvm"]},
    "vm_id": {"description": "The VM's id, as vm_create returned it."},
    "workspace_id": {"description": "The workspace's id, as workspace_create returned it."},
    "network_policy": {
        "description": "What the workspace may reach: nothing (off) or the internet (egress). With "
        "egress+published-ports its services may have ports on the user's machine, too.",
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
    "secrets": {
        "type": "array",
        "description": "Private texts. Each becomes a file in /run/pyro-secrets; results have [REDACTED] in its place.",
        "items": {
            "oneOf": [
                exactly({"name": _SECRET_NAME, "value": {"type": "string", "description": "The text."}}),
                exactly(
                    {
                        "name": _SECRET_NAME,
                        "file_path": {
                            "type": "string",
                            "description": "A file with it on the user's machine. It must lie in a directory that the "
                            "server allows.",
                        },
                    }
                ),
            ]
        },
    },
    "secret_env": {"description": "Secrets as environment variables: name of the secret, name of the variable."},
    "shell_id": {"description": "The shell's id, as shell_open returned it."},
    "cols": between("Columns of the terminal.", TERMINAL_RANGE),
    "rows": between("Lines of the terminal.", TERMINAL_RANGE),
    "cursor": {"description": "Where to begin: 0, or next_cursor of the last read.", "minimum": 0},
    "max_chars": between("How much of it is returned.", SHELL_CHARS_RANGE),
    "plain": {"description": "Return plain text: without colours and cursor movements, lines as they look."},
    "wait_for_idle_ms": between("First wait until nothing was written for so long.", IDLE_MS_RANGE),
    "input": {"description": "What to type."},
    "append_newline": {"description": "Press Enter behind it."},
    "signal_name": {"description": "The signal; INT is what Ctrl-C does.", "enum": ["INT", "TERM", "KILL", "HUP"]},
    "service_name": {"description": "Name of the service: 1 to 64 letters, digits, '.', '_' and '-'."},
    "readiness": {
        "type": "object",
        "description": "What shows that the service is ready. Without it that is so at once.",
        "oneOf": [
            _ready("file", "path", "A file that is there then; a relative path begins in cwd."),
            _ready("tcp", "address", "An address in the VM that can be connected to then, such as 127.0.0.1:8080."),
            _ready("http", "url", "A URL in the VM that answers with 200 to 399 then, such as http://127.0.0.1:8080/."),
            _ready("command", "command", "A line for sh -lc that ends with 0 then."),
        ],
    },
    "ready_timeout_seconds": between("How long that may take. Past it the service is ended.", READY_SECONDS_RANGE),
    "ready_interval_ms": between("How often URL and line are tried.", READY_INTERVAL_MS_RANGE),
    "published_ports": {
        "type": "array",
        "description": "Ports of the service to make reachable at 127.0.0.1 of the user's machine, there at host_port "
        "or any free port. The workspace needs the network policy egress+published-ports.",
        "items": exactly({"guest_port": _PORT}, {"host_port": _PORT}),
    },
    "tail_lines": between("How many lines of each output are returned.", TAIL_LINES_RANGE),
    "all": {"description": "Return all lines, up to 1 MiB of each output."},
    "snapshot": {"description": "The snapshot to go back to."},
    "snapshot_name": {"description": "Name of the snapshot: 1 to 64 letters, digits, '.', '_' and '-'."},
}
"""Parameter → what its type does not say. A name means the same in all tools, but where a tool says otherwise."""

WORKSPACE_LIFE: Mapping[str, Schema] = {
    "ttl_seconds": between(
        "How long the workspace lives from now on. Past it the workspace is deleted, used or not.", WORKSPACE_TTL_RANGE
    )
}
