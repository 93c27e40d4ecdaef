"""Is this host fit to run guests, and if not, what makes it so? Looks and tries; boots nothing, starts no daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from pyro_mcp.errors import HostError
from pyro_mcp.host import bundle, probe, subids
from pyro_mcp.host.statedir import prepare_state_dir
from pyro_mcp.model.payloads import DoctorPayload

# What each capability needs of `probe.missing_tools()`.
_EMULATOR = "qemu-system-x86_64"  # where KVM runs guests, none needs it
_BOOT_TOOLS = {_EMULATOR, "bwrap", "mke2fs", "prlimit", "choom", "setpriv", "unshare"}
_BUILD_TOOLS = {"mmdebstrap", "newuidmap"}
_NETWORK_TOOLS = {"nft", "slirp4netns"}


def diagnose(settings: Settings) -> DoctorPayload:
    """Everything `pyro doctor` shows. Never raises for a host that lacks something: that is an entry in `issues`."""
    missing = {tool.name: tool.package for tool in probe.missing_tools()}
    namespaces = "bwrap" not in missing and probe.user_namespaces_allowed()
    bundle_issues = list(bundle.issues(settings.bundle_dir / BUNDLE_PLATFORM))
    kvm, trial = probe.kvm_access(), probe.known_trial(probe.kvm_cache(settings.state_dir))
    # Only a guest that has run on it proves this; none was booted yet, or the last one did not answer.
    usable = trial is not None and not trial.reason
    if usable:
        missing.pop(_EMULATOR, None)
    can_boot = not (_BOOT_TOOLS & missing.keys() or bundle_issues) and namespaces
    issues = [
        *bundle_issues,
        *_state_issues(settings.state_dir),
        *(f"{tool} is not installed: sudo apt-get install {package}" for tool, package in missing.items()),
        *_namespace_issues(namespaces, "bwrap" in missing),
    ]
    return {
        "platform": BUNDLE_PLATFORM,
        "runtime_ok": can_boot and not issues,
        "runtime": {
            "bundle_dir": str(settings.bundle_dir),
            "state_dir": str(settings.state_dir),
            "missing_tools": sorted(missing),
            "user_namespaces": namespaces,
            "absent": list(bundle.absent(settings.bundle_dir / BUNDLE_PLATFORM)),
        },
        "kvm": {
            "exists": kvm.exists,
            "readable": kvm.readable,
            "writable": kvm.writable,
            "usable": usable,
        },
        "networking": {
            "tools": not (_NETWORK_TOOLS & missing.keys()),
            "tun": os.access("/dev/net/tun", os.R_OK | os.W_OK),
        },
        "environment_cache": str(settings.environment_cache_dir),
        "capabilities": {
            "vm_boot": can_boot,
            "guest_exec": can_boot,
            "guest_network": False,
            "environment_build": not _BUILD_TOOLS & missing.keys(),
        },
        "issues": issues,
    }


def forget_failed_trial(settings: Settings) -> None:
    """Have KVM tried again with the next machine, if it is on record that no guest ran on it."""
    cache = probe.kvm_cache(settings.state_dir)
    if (trial := probe.known_trial(cache)) is not None and trial.reason:
        probe.forget_trial(cache)


def _state_issues(state_dir: Path) -> Iterator[str]:
    try:
        prepare_state_dir(state_dir)
    except HostError as error:
        yield f"{error.message}: {error.hint}"


def _namespace_issues(allowed: bool, bwrap_missing: bool) -> Iterator[str]:
    if not allowed and not bwrap_missing:
        yield (
            "user namespaces are not allowed, the jail cannot be made: sudo sysctl kernel.unprivileged_userns_clone=1 "
            "user.max_user_namespaces=15000"
        )
    if os.geteuid() != 0:
        try:
            subids.require()
        except HostError as error:
            yield f"environments cannot be built: {error.message}: {error.hint}"
