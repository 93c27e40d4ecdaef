"""Finding the daemon, or starting it: a lock so that one client starts it, a pipe that says when it serves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pyro_mcp import errors
from pyro_mcp.config import Settings, daemon_environment
from pyro_mcp.errors import DaemonError
from pyro_mcp.host.statedir import open_private, prepare_state_dir
from pyro_mcp.sdk.transport import Exchange, NobodyThereError

T = TypeVar("T")

_START_SECONDS = 60.0
_STARTS = 5


def with_daemon(settings: Settings, exchange: Callable[[], T]) -> T:
    """The result of `exchange`, with a daemon started for it if there is none.

    An exchange that found nobody, or a daemon that is leaving, has done nothing: it is safe to repeat. A daemon may
    leave between its start and our call, for example with a very short idle time, but not again and again.
    """
    failure: DaemonError | None = None
    for _ in range(_STARTS):
        try:
            return exchange()
        except DaemonError as error:
            if not (isinstance(error, NobodyThereError) or error.details.get("stopping")):
                raise
            failure = error
        with _starting(settings.state_dir):
            # Whoever held the lock before us may have started one.
            if not _is_serving(settings):
                start(settings)
    assert failure is not None
    raise failure


def _is_serving(settings: Settings) -> bool:
    exchange = Exchange(settings.daemon_socket, settings.fingerprint)
    try:
        found = exchange.call("daemon_status", {}, lambda _event: None, lambda _stream, _data: None)
    except DaemonError:
        return False
    return not found.get("leaving")


def start(settings: Settings) -> int:
    """Start a daemon and wait until it serves; returns its pid. Raises the error that kept it from starting."""
    from pyro_mcp.host.detach import start_detached  # noqa: PLC0415 - most calls find a daemon

    ready, report = _pipe()
    try:
        command = [sys.executable, "-m", "pyro_mcp.daemon", str(report)]
        start_detached(command, environment=daemon_environment(settings), inherit=(report,))
    finally:
        os.close(report)
    try:
        message = _read_line(ready)
    finally:
        os.close(ready)
    if message.get("ok"):
        return int(str(message["pid"]))
    raise errors.from_wire(message)


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are none of 0 to 2, even where those are closed: a child's own streams go there."""
    low = os.pipe()
    try:
        reader, writer = (fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3) for descriptor in low)
    finally:
        for descriptor in low:
            os.close(descriptor)
    return reader, writer


def _read_line(descriptor: int) -> dict[str, object]:
    readable, _, _ = select.select([descriptor], [], [], _START_SECONDS)
    line = os.read(descriptor, 65536) if readable else b""
    if not line:
        why = "it ended at once" if readable else f"it was not ready within {_START_SECONDS:g} s"
        raise DaemonError(f"the daemon could not be started: {why}", hint="see `pyro daemon logs`")
    message = json.loads(line)
    assert isinstance(message, dict)
    return message


@contextlib.contextmanager
def _starting(state_dir: Path) -> Iterator[None]:
    """Be the only client that starts a daemon here."""
    prepare_state_dir(state_dir)
    with open_private(state_dir / "start.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
