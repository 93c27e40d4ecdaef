"""The daemon's process: lock, readiness, signals, serving, leaving."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pyro_mcp._version import __version__
from pyro_mcp.config import Settings
from pyro_mcp.daemon.app import App
from pyro_mcp.daemon.clock import Clock
from pyro_mcp.daemon.redacted import RedactedFormatter
from pyro_mcp.engine.engine import Engine
from pyro_mcp.errors import PyroError
from pyro_mcp.host import sockets
from pyro_mcp.host.private import keep_memory_private
from pyro_mcp.host.statedir import open_private, prepare_state_dir

_LOG_BYTES = 1 << 20
_OPEN_FILES = 1 << 20

_log = logging.getLogger(__name__)


class _OwnersOnly(H11Protocol):
    """Refuses peers of another user. The socket's mode does too; this holds if somebody loosens that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        uid = int.from_bytes(credentials[4:8], sys.byteorder)
        if uid not in (0, os.geteuid()):
            transport.abort()
            return
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handling: the daemon has its own way to leave."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(readiness: int) -> None:
    """Serve until idle or told to stop. One JSON line on descriptor `readiness` says how the start went."""
    if os.fork():
        os._exit(0)  # whoever started us waits for this process only; the daemon is nobody's child
    _forget_the_starter()
    try:
        settings = Settings.from_environment()
        with _locked(settings.state_dir), _listening(settings.daemon_socket) as listener:
            log = _log_to(settings.daemon_log)
            asyncio.run(_serve(settings, listener, readiness, log))
    except PyroError as error:
        _report(readiness, error.to_wire())
        raise SystemExit(error.exit_status) from None


async def _serve(settings: Settings, listener: socket.socket, readiness: int, log: RedactedFormatter) -> None:
    stop = asyncio.Event()
    engine = Engine(settings, on_change=lambda: clock.changed())
    log.redact = engine.secrets.redact
    app = App(engine, on_change=lambda: clock.changed(), on_stop=stop.set)
    clock = Clock(engine, busy=lambda: app.operations > 0, idle_seconds=settings.daemon_idle_seconds)
    server = _Server(
        uvicorn.Config(
            app.asgi,
            http=_OwnersOnly,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=3,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await engine.recover()
    _log.info("serving %s, version %s, pid %d", settings.state_dir, __version__, os.getpid())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    _report(readiness, {"ok": True, "pid": os.getpid()})
    reasons = asyncio.create_task(clock.run()), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, *reasons}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Clients are told to look for the next daemon from here on; that one waits for our lock.
        for reason in reasons:
            reason.cancel()
        await app.leave()
        await engine.close()
        server.should_exit = True
        await serving
        _log.info("left")


def _forget_the_starter() -> None:
    """Limits and file mode of whoever happened to start us are not those of everybody whom we serve."""
    os.umask(0o077)
    keep_memory_private()
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_AS):
        _soft, hard = resource.getrlimit(limit)
        if limit == resource.RLIMIT_NOFILE and hard == resource.RLIM_INFINITY:
            hard = _OPEN_FILES
        resource.setrlimit(limit, (hard, hard))


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Be the only daemon of this state directory; waits for one that is just leaving."""
    prepare_state_dir(state_dir)
    with open_private(state_dir / "daemon.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """The daemon's socket, 0600 from its first moment. A file a killed daemon left is replaced: we hold the lock."""
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener = sockets.listen(path, backlog=128)
    finally:
        os.umask(mask)
    bound = path.stat().st_ino
    with listener:
        try:
            yield listener
        finally:
            # If somebody cleared the directory under us, the socket there may be our successor's.
            with contextlib.suppress(OSError):
                if path.stat().st_ino == bound:
                    path.unlink()


def _log_to(path: Path) -> RedactedFormatter:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    formatter = RedactedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return formatter


def _report(readiness: int, message: dict[str, object]) -> None:
    """Tell whoever started us, who may have left in the meantime, and let go of the pipe."""
    with contextlib.suppress(OSError):
        os.write(readiness, json.dumps(message).encode() + b"\n")
        os.close(readiness)
