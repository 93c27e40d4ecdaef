"""The tools for what goes on inside a workspace between calls: shells and services, each one row."""

from __future__ import annotations

from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.sdk.client import Pyro

ROWS = (
    Tool(
        "shell_open",
        Pyro.open_shell,
        "Open a shell",
        "Open a login shell on a terminal of its own in a started workspace, and return its id. It stays between "
        "calls, with its directory, variables and whatever runs in it. For single commands workspace_exec is simpler.",
        open_world=True,
        parameters={"cwd": {"description": "Directory in which it begins; a relative one begins in /workspace."}},
    ),
    Tool(
        "shell_read",
        Pyro.read_shell,
        "Read a shell's output",
        "Return what a shell's terminal wrote from a cursor on, and the cursor to go on at. With plain and "
        "wait_for_idle_ms it is the text of what was done last.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "shell_write",
        Pyro.write_shell,
        "Type into a shell",
        "Type a text into a shell's terminal. What comes of it is for shell_read.",
        destructive=True,
        open_world=True,
    ),
    Tool(
        "shell_signal",
        Pyro.signal_shell,
        "Send a signal to a shell",
        "Send a signal to what runs in the foreground of a shell's terminal, or else to the shell itself.",
        destructive=True,
    ),
    Tool(
        "shell_close",
        Pyro.close_shell,
        "Close a shell",
        "End a shell with all that it started, and forget what it wrote.",
        destructive=True,
    ),
    Tool(
        "service_start",
        Pyro.start_service,
        "Start a service",
        "Start a command that runs on in the background of a started workspace, under a name, and wait until it is "
        "ready. If it is not ready in time, or ends before, its state is failed; service_logs shows what it wrote.",
        destructive=True,
        open_world=True,
    ),
    Tool(
        "service_list",
        Pyro.list_services,
        "List services",
        "List the services that were started in a workspace since its last reset, with their state.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "service_status",
        Pyro.status_service,
        "Show a service",
        "Show a service's state, published ports and, if it has ended, how.",
        read_only=True,
        idempotent=True,
    ),
    Tool(
        "service_logs",
        Pyro.logs_service,
        "Show a service's output",
        "Return the last lines that a service of a started workspace wrote to stdout and stderr.",
        read_only=True,
        idempotent=True,
        hidden=frozenset({"follow"}),
    ),
    Tool(
        "service_stop",
        Pyro.stop_service,
        "Stop a service",
        "End a service with all that it started. What it wrote is kept.",
        destructive=True,
        idempotent=True,
    ),
)
