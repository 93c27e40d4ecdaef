"""How it looks when a host lets nobody make a user namespace, or gives no rights in it."""

from __future__ import annotations

from pyro_mcp.errors import HostError

_REFUSED = (
    "No permissions to create new namespace",
    "No permissions to creating new namespace",
    "Creating new namespace failed",
    "setting up uid map",
    "Failed RTM_NEWADDR",
    "unshare failed",
)
_HINT = (
    "allow it: `sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000`, and on Ubuntu 24.04 "
    "or later `sysctl kernel.apparmor_restrict_unprivileged_userns=0` or an AppArmor profile for bwrap"
)


def refused(printed: str) -> HostError | None:
    """The error for what bubblewrap or unshare printed, if that is what they say."""
    if any(refusal in printed for refusal in _REFUSED):
        return HostError("this host does not allow user namespaces", code="userns-disabled", hint=_HINT)
    return None
