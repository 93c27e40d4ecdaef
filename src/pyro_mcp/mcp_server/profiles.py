"""Which tools a server offers. Fewer tools leave a model less to choose wrongly from."""

from __future__ import annotations

from collections.abc import Mapping

from pyro_mcp.errors import UsageError
from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.mcp_server.tools import TOOLS

DEFAULT_PROFILE = "workspace-core"

PROFILES: Mapping[str, tuple[str, ...]] = {
    "vm-run": ("vm_run",),
    "workspace-core": (
        "vm_run",
        "workspace_create",
        "workspace_list",
        "workspace_update",
        "workspace_status",
        "workspace_sync_push",
        "workspace_exec",
        "workspace_logs",
        "workspace_file_list",
        "workspace_file_read",
        "workspace_file_write",
        "workspace_patch_apply",
        "workspace_diff",
        "workspace_export",
        "workspace_reset",
        "workspace_delete",
    ),
    "workspace-full": tuple(TOOLS),
}
"""Profile → names of its tools."""

# What opens more than the internet is for whoever chooses the full profile.
_RUN: Mapping[str, frozenset[str]] = {"vm_run": frozenset({"allow"})}

HIDDEN: Mapping[str, Mapping[str, frozenset[str]]] = {
    "vm-run": _RUN,
    "workspace-core": {
        **_RUN,
        "workspace_create": frozenset({"network_policy", "allow", "secrets", "allow_host_compat"}),
        "workspace_exec": frozenset({"secret_env"}),
    },
}
"""Profile → tool → parameters that are not offered in it."""


def tools_of(profile: str) -> tuple[Tool, ...]:
    """The tools of a profile. Raises UsageError for one that does not exist."""
    if profile not in PROFILES:
        raise UsageError(f"there is no profile {profile[:64]!r}", hint=f"profiles: {', '.join(PROFILES)}")
    hidden = HIDDEN.get(profile, {})
    return tuple(TOOLS[name].without(hidden.get(name, frozenset())) for name in PROFILES[profile])
