"""Is this host fit to run guests, and if not, what makes it so? Looks and tries; boots nothing, starts no daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pyro_mcp.config import BUNDLE_PLATFORM, Settings
from pyro_mcp.errors import HostError, PyroError
from pyro_mcp.host import bundle, probe, subids
from pyro_mcp.host.statedir import prepare_state_dir
from pyro_mcp.model.payloads import DoctorPayload, StartPayload
from pyro_mcp.model.printable import printable
from pyro_mcp.sdk.client import Pyro

# What each capability needs of `probe.missing_tools()`.
_EMULATOR = "qemu-system-x86_64"  # where KVM runs guests, none needs it
_BOOT_TOOLS = {_EMULATOR, "bwrap", "mke2fs", "prlimit", "choom", "setpriv", "unshare"}
_BOOT_FILES = {bundle.MANIFEST, bundle.GUEST}
_BUILD_TOOLS = {"mmdebstrap", "newuidmap"}
_NETWORK_TOOLS = {"nft", "slirp4netns", "ip", "nsenter", "unshare"}
_REASON_CHARACTERS = 200
_TOO_FEW_IDS = (
    "this root's user namespace has no ids for the users that VMMs run as: run pyro as an ordinary user, or give the "
    "container more ids"
)


def diagnose(settings: Settings) -> DoctorPayload:
    """Everything `pyro doctor` shows. Never raises for a host that lacks something: that is an entry in `issues`."""
    missing = {tool.name: tool.package for tool in probe.missing_tools()}
    namespaces = "bwrap" not in missing and probe.user_namespaces_allowed()
    refused = not (namespaces or "bwrap" in missing)  # without bwrap nothing is known about them
    broken = bundle.issues(settings.bundle_dir / BUNDLE_PLATFORM)
    kvm, trial = probe.kvm_access(), probe.known_trial(probe.kvm_cache(settings.state_dir))
    # Only a guest that has run on it proves this; none was booted yet, or the last one did not answer.
    usable = trial is not None and not trial.reason
    if usable and bundle.FIRECRACKER not in broken:
        missing.pop(_EMULATOR, None)
    too_few_ids = probe.jail_ids_missing()
    can_boot = namespaces and not (too_few_ids or _BOOT_TOOLS & missing.keys() or _BOOT_FILES & broken.keys())
    network_tools, tun = not (_NETWORK_TOOLS & missing.keys()), probe.tun_remedy()
    build_issues = list(_build_issues())
    issues = [
        *broken.values(),
        *_state_issues(settings.state_dir),
        *(f"{tool} is not installed: sudo apt-get install {package}" for tool, package in missing.items()),
        *(_namespace_issues() if refused else build_issues),
        *([_TOO_FEW_IDS] if too_few_ids else []),
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
        "networking": {"tools": network_tools, "tun": not tun, "user_namespaces": namespaces},
        "environment_cache": str(settings.environment_cache_dir),
        "capabilities": {
            "vm_boot": can_boot,
            "guest_exec": can_boot,
            "guest_network": can_boot and network_tools and not tun,
            "environment_build": not (_BUILD_TOOLS & missing.keys() or build_issues),
        },
        "issues": issues,
        "notes": [*_kvm_notes(kvm, trial), *_network_notes(tun)],
        "starts": _starts(settings),
    }


def forget_failed_trial(settings: Settings) -> None:
    """Have KVM tried again with the next machine, if it is on record that no guest ran on it."""
    cache = probe.kvm_cache(settings.state_dir)
    if (trial := probe.known_trial(cache)) is not None and trial.reason:
        probe.forget_trial(cache)


def _starts(settings: Settings) -> list[StartPayload]:
    try:
        return Pyro(settings).daemon_status().get("starts", [])
    except PyroError:
        return []  # there is one that does not answer, which is another command's business


def _state_issues(state_dir: Path) -> Iterator[str]:
    try:
        prepare_state_dir(state_dir)
    except HostError as error:
        yield f"{error.message}: {error.hint}"


def _namespace_issues() -> Iterator[str]:
    yield f"user namespaces are not allowed, the jail cannot be made: {probe.user_namespaces_remedy()}"


def _build_issues() -> Iterator[str]:
    """What keeps an ordinary user from building environments."""
    if os.geteuid() == 0:
        return
    try:
        subids.require()
    except HostError as error:
        yield f"environments cannot be built: {error.message}: {error.hint}"


def _network_notes(remedy: str) -> Iterator[str]:
    """Guests run without it, so it is no issue."""
    if remedy:
        yield f"guests can have no network, /dev/net/tun does not open: {remedy}"


def _kvm_notes(kvm: probe.KvmAccess, trial: probe.KvmTrial | None) -> Iterator[str]:
    """Why guests are emulated here, as far as that is known without booting one."""
    if not kvm.exists:
        why = "there is no /dev/kvm: switch virtualisation on in the firmware or, in a cloud, nested virtualisation"
    elif not (kvm.readable and kvm.writable):
        why = f"this user may not open /dev/kvm: {probe.kvm_remedy()}"
    elif trial is not None and trial.reason:
        reason = printable(trial.reason, _REASON_CHARACTERS)
        why = f"KVM is there but ran no guest ({reason}): `pyro doctor --boot` tries it again"
    else:
        return
    yield f"guests are emulated, {why}"
