"""How long a guest may take for what, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Generous for a guest on a busy host, and still soon enough for somebody who waits in front of a broken one."""

    request: float = 10.0
    """A request that asks for next to no work."""
    mount: float = 60.0
    poweroff: float = 30.0
    first_frame: float = 30.0
    """From a command's request to the first frame of the answer; a process starts in milliseconds."""
    grace: float = 15.0
    """Beyond a command's own timeout: to kill it, and to send what it had still written."""
    end: float = 10.0
    """From a command's EXIT to the end of the answer."""
    silence: float = 120.0
    """Of a guest at work in /workspace: without a byte from it or to it."""
