"""What the VMM under test looks like from outside, written down here on purpose: code must not vouch for itself."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VmmFacts:
    """`executable` is the file name of its process, `room` what it may write to in its jail, `device` what it needs.

    `restored`: whether its machines are restored from templates where nobody asks for anything else.
    `notices_poweroff`: whether a kernel that switches the power off ends the VMM; Firecracker has no power to switch.
    """

    name: str
    isolation: str
    execution_mode: str
    executable: str
    room: str | None
    device: str | None
    restored: bool
    notices_poweroff: bool


_FACTS = {
    facts.name: facts
    for facts in (
        VmmFacts(
            "qemu", "emulated", "guest_serial", "qemu-system-x86_64", None, None, restored=True, notices_poweroff=True
        ),
        VmmFacts(
            "firecracker",
            "kvm",
            "guest_vsock",
            "firecracker",
            "room",
            "/dev/kvm",
            restored=False,
            notices_poweroff=False,
        ),
    )
}

VMM = _FACTS[os.environ.get("PYRO_VMM") or "qemu"]
"""The one that PYRO_VMM names for this session; QEMU where it names none."""
