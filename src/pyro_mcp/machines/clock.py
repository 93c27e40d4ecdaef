"""The wall clock of a guest: set when it starts, and again when the host's clock has not gone as time has passed."""

from __future__ import annotations

import time
from dataclasses import dataclass

_STEP_SECONDS = 0.05
# How long a guest's clock is left to itself: what is measured of this host's TSC is some millionths wrong.
_AGE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class HostClocks:
    """`offset` of the wall clock from the clock that stands while the host sleeps; `now` counts that time as well."""

    offset: float
    now: float

    @classmethod
    def read(cls) -> HostClocks:
        monotonic = time.clock_gettime(time.CLOCK_MONOTONIC)
        return cls(time.clock_gettime(time.CLOCK_REALTIME) - monotonic, time.clock_gettime(time.CLOCK_BOOTTIME))


class ClockWatch:
    """Whether a guest's clock has to be set: the host slept, its clock was set, or it is long ago."""

    def __init__(self) -> None:
        self._at: HostClocks | None = None

    def was_set(self) -> None:
        self._at = HostClocks.read()

    def due(self) -> bool:
        if self._at is None:
            return True
        now = HostClocks.read()
        return abs(now.offset - self._at.offset) > _STEP_SECONDS or now.now - self._at.now > _AGE_SECONDS
