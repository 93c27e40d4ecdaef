"""When something must happen although nobody calls: expiry of VMs, and the daemon's own end when it is idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from pyro_mcp.engine.engine import Engine
from pyro_mcp.errors import PyroError

_log = logging.getLogger(__name__)

# The wall clock may be stepped while we wait (suspend, NTP): look at it at least this often.
_LONGEST_WAIT_SECONDS = 60.0


class Clock:
    """Waits for the next deadline; `changed()` makes it look again."""

    def __init__(self, engine: Engine, *, busy: Callable[[], bool], idle_seconds: float) -> None:
        """`busy` says whether operations are under way."""
        self._engine = engine
        self._busy = busy
        self._idle_seconds = idle_seconds
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Reap what expires. Returns when nothing has run or existed for the idle time."""
        idle_since = time.monotonic()
        while True:
            self._changed.clear()
            expiry = self._engine.next_expiry()
            if self._busy() or self._engine.busy:
                idle_since = time.monotonic()
            idle_left = idle_since + self._idle_seconds - time.monotonic()
            if idle_left <= 0:
                return
            wait = idle_left if expiry is None else max(0.0, expiry - time.time())
            if wait <= 0 and await self._reap():
                continue
            try:
                # After a failed reaping `wait` is 0: that is tried again after the longest wait, not at once.
                async with asyncio.timeout(min(wait or _LONGEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _reap(self) -> bool:
        try:
            reaped = await self._engine.reap_expired()
        except (PyroError, OSError):
            _log.exception("what is expired could not be deleted")
            return False
        _log.info("expired: %s", ", ".join(reaped))
        return True
