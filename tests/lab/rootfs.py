"""What the lab's machine runs: Debian with what pyro asks of a host, made by the code that makes environments."""

from __future__ import annotations

import hashlib

from pyro_mcp.config import Settings
from pyro_mcp.environments import install, records
from pyro_mcp.environments.layout import Layout
from pyro_mcp.model.environment import CatalogEntry, InstalledEnvironment, Progress

# No QEMU: in there a machine can run on KVM or not at all.
_PACKAGES = (
    "bubblewrap",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "nftables",
    "procps",
    "python3",
    "slirp4netns",
    "util-linux",
)

# The name carries what the packages are: another list never finds the file system of this one.
_ENTRY = CatalogEntry(
    name=f"lab-{hashlib.sha256(' '.join(_PACKAGES).encode()).hexdigest()[:12]}",
    description="the host in the KVM lab",
    distribution="debian",
    distribution_version="12",
    suite="bookworm",
    packages=_PACKAGES,
    build_bytes=900 << 20,
)


def pull() -> InstalledEnvironment:
    """The lab's file system out of the environment cache, built now (half a minute) if it is not there."""
    layout = Layout(Settings.from_environment().environment_cache_dir)
    found = records.find_whole(layout, _ENTRY.name)
    return records.describe(layout, found or install.install(layout, _ENTRY, _ignore, None))


def _ignore(_: Progress) -> None:
    pass
