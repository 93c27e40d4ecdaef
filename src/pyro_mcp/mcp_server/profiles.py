"""Which tools a server offers. Fewer tools leave a model less to choose wrongly from."""

from __future__ import annotations

from collections.abc import Mapping

from pyro_mcp.errors import UsageError
from pyro_mcp.mcp_server.tools import TOOLS, Tool

DEFAULT_PROFILE = "workspace-core"

PROFILES: Mapping[str, tuple[str, ...]] = {
    "vm-run": ("vm_run",),
    "workspace-core": ("vm_run",),
    "workspace-full": tuple(TOOLS),
}
"""Profile → names of its tools."""


def tools_of(profile: str) -> tuple[Tool, ...]:
    """The tools of a profile. Raises UsageError for one that does not exist."""
    if profile not in PROFILES:
        raise UsageError(f"there is no profile {profile[:64]!r}", hint=f"profiles: {', '.join(PROFILES)}")
    return tuple(TOOLS[name] for name in PROFILES[profile])
