"""What the process in a jail prints: kept as it comes, however much it is."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from pyro_mcp.errors import PyroError, VmmError
from pyro_mcp.model.printable import printable

_KEPT_BYTES = 65536
_SHOWN_CHARACTERS = 2000
# Between two readings of a process that has printed more than is kept: one that never stops costs next to nothing.
_PAUSE_SECONDS = 0.05


class Log:
    """A FIFO at `path`, for a process to print to.

    A FIFO that its writers also hold open for reading neither blocks nor grows nor breaks, whoever reads it or not, and
    a later daemon finds it by its name. We hold it too: it forgets what is in it when the last descriptor is closed, so
    the last words of a process that died would be lost. `close` lets go.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._kept = bytearray()
        self._news = asyncio.Event()
        self._pause: asyncio.TimerHandle | None = None

    def make(self) -> int:
        """The FIFO, made anew; the process is to have this descriptor, which stays ours."""
        self.close()
        os.mkfifo(self._path, 0o600)
        self._descriptor = self._open()
        return self._descriptor

    def reopen(self) -> None:
        """Find the FIFO that somebody before us made, if it is still there."""
        with suppress(FileNotFoundError):
            self._descriptor = self._open()

    def follow(self) -> None:
        """From now on take in what is printed as it is printed: what is kept is then the last of it, not the first."""
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._take)

    def text(self) -> str:
        """The last 64 KiB that were printed, decoded with replacement."""
        if self._descriptor is not None:
            with suppress(BlockingIOError):
                self._kept += os.read(self._descriptor, _KEPT_BYTES)
            del self._kept[:-_KEPT_BYTES]
        return self._kept.decode("utf-8", "replace")

    async def printed(self, text: str) -> None:
        """Wait until `text` was printed. Only while following."""
        while text not in self.text():
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """Remove the FIFO. Idempotent; the process goes on, and what it printed so far can still be read here."""
        if self._descriptor is not None:
            self.text()
            self._stop_following(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def _take(self) -> None:
        self.text()
        self._news.set()
        if len(self._kept) == _KEPT_BYTES and self._descriptor is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._descriptor)
            self._pause = loop.call_later(_PAUSE_SECONDS, self.follow)

    def _stop_following(self, descriptor: int) -> None:
        if self._pause is not None:
            self._pause.cancel()
        with suppress(RuntimeError):  # no loop runs: then nobody follows
            asyncio.get_running_loop().remove_reader(descriptor)


class Logged:
    """What launchers of a process share (`vmm.driver.Launcher`): its log, in the machine's directory."""

    def __init__(self, directory: Path) -> None:
        self._log = Log(directory / "vmm.log")

    def reopen_log(self) -> None:
        """Find the log of a process that an earlier daemon started in this directory."""
        self._log.reopen()
        self._log.follow()

    def explain(self, failure: VmmError) -> PyroError:
        """`failure` with what the process has printed."""
        log = self.process_log().strip()
        said = f"; it printed: {printable(log, _SHOWN_CHARACTERS)}" if log else ""
        return VmmError(failure.message + said, code=failure.code, hint=failure.hint, details=failure.details)

    def process_log(self) -> str:
        return self._log.text()

    async def printed(self, text: str) -> None:
        await self._log.printed(text)

    def close(self) -> None:
        """Remove the log. Idempotent; what was printed so far can still be read here."""
        self._log.close()
