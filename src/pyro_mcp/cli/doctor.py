"""`pyro doctor`: is this host fit to run guests?"""

from __future__ import annotations

import click

from pyro_mcp.cli import options, output
from pyro_mcp.cli.progress import PullProgress
from pyro_mcp.config import Settings
from pyro_mcp.errors import PyroError
from pyro_mcp.model.payloads import DoctorPayload
from pyro_mcp.sdk.client import Pyro

ENVIRONMENT = "debian:12"


@click.command(short_help="Check this host.")
@click.option("--boot", is_flag=True, help="Also boot a guest and say which VMM ran it.")
@options.as_json
def doctor(boot: bool, json_output: bool) -> int:
    """Say what this host can do for guests, and for each thing it lacks the one line that gets it.

    Ends with status 1 if guests cannot run. Without --boot nothing is booted.
    """
    from pyro_mcp.sdk.doctor import diagnose  # noqa: PLC0415 - loads slowly, which a help text need not wait for

    settings = Settings.from_environment()
    tried = _try_boot(settings, quiet=json_output) if boot else None
    found = diagnose(settings)  # after the boot, which shows whether KVM runs guests
    if tried is not None:
        found["boot"] = tried
        found["runtime_ok"] = found["runtime_ok"] and tried["ok"] is True
    if json_output:
        output.json_object(found)
    else:
        _show(found)
    return 0 if found["runtime_ok"] else 1


def _try_boot(settings: Settings, *, quiet: bool) -> dict[str, object]:
    from pyro_mcp.sdk.doctor import forget_failed_trial  # noqa: PLC0415 - see above

    forget_failed_trial(settings)
    sdk = Pyro()
    try:
        with PullProgress(quiet=quiet) as progress:
            vm = sdk.create_vm(environment=ENVIRONMENT, on_event=progress.on_event)
        sdk.start_vm(vm["vm_id"])
        result = sdk.exec_vm(vm["vm_id"], command=["uname", "-r"])
    except PyroError as error:
        return {"ok": False, "error": error.message, "code": error.code}
    return {
        "ok": result["exit_code"] == 0,
        "vmm": vm["metadata"]["vmm"],
        "isolation": result["isolation"],
        "kernel": result["stdout"].strip(),
        "timings_ms": result["timings_ms"],
    }


def _show(found: DoctorPayload) -> None:
    kvm, capabilities, networking = found["kvm"], found["capabilities"], found["networking"]
    output.human(f"Platform: {found['platform']}")
    output.human(f"Runtime: {'PASS' if found['runtime_ok'] else 'FAIL'}")
    output.human(
        f"KVM: exists={_yes(kvm['exists'])} readable={_yes(kvm['readable'])} writable={_yes(kvm['writable'])} "
        f"usable={_yes(kvm['usable'])}"
    )
    if found["runtime"]["absent"]:
        output.human("Firecracker: not in this build; QEMU runs every guest")
    output.human(f"Environment cache: {found['environment_cache']}")
    output.human(
        f"Capabilities: vm_boot={_yes(capabilities['vm_boot'])} guest_exec={_yes(capabilities['guest_exec'])} "
        f"guest_network={_yes(capabilities['guest_network'])}"
    )
    output.human("Networking: " + " ".join(f"{name}={_yes(there)}" for name, there in networking.items()))
    if "boot" in found:
        facts = " ".join(f"{name}={value}" for name, value in found["boot"].items() if name != "timings_ms")
        output.human(f"Boot: {facts}")
    for start in found["starts"]:
        steps = " ".join(f"{name}={milliseconds:g}" for name, milliseconds in start["timings_ms"].items())
        how = "restored" if start["restored"] else "booted"
        output.human(f"Start: {start['vm_id']} {how} in {start['total_ms']:g} ms ({steps})")
    for issue in found["issues"]:
        output.human(f"Issue: {issue}")
    for note in found["notes"]:
        output.human(f"Note: {note}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"
