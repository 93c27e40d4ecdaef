"""Running the tools of a build: as root in namespaces, stoppable, with failures told in our words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.environments.layout import Workspace
from pyro_mcp.errors import BuildError, HostError, PyroError
from pyro_mcp.host import command, subids

DEADLINE_SECONDS = 3600
"""For one tool: a slow mirror is slow, a dead one is noticed by apt itself."""

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "dpkg-deb": "dpkg", "tar": "tar", "find": "findutils"}


@dataclass(frozen=True, slots=True)
class Tools:
    """What a build's steps share: where they work, and how they are stopped."""

    work: Workspace
    cancel: command.Cancellation | None

    def run(
        self,
        step: str,
        argv: Sequence[str | Path],
        *,
        on_line: Callable[[str], None] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Raises BuildError naming `step`, with the last words of the tool, or HostError (`no-space`)."""
        finished = command.run(
            subids.as_root(argv, {"TMPDIR": str(self.work.path), **(variables or {})}),
            deadline_seconds=DEADLINE_SECONDS,
            cancel=self.cancel,
            on_line=on_line,
            # The tools hold the lock of their directory too: while one of them lives it is no leftover.
            pass_fds=(self.work.lock.fileno(),),
        )
        if finished.succeeded:
            return
        if finished.ended is command.Ended.CANCELLED:
            raise cancelled()
        if any(os.strerror(number) in finished.output for number in (errno.ENOSPC, errno.EDQUOT)):
            raise no_space(self.work.path)
        reason = "took too long" if finished.ended is command.Ended.DEADLINE else f"ended with status {finished.status}"
        raise BuildError(
            f"building failed in step {step!r}: {argv[0]} {reason}: {finished.last_words()}",
            hint="pyro env pull tries again; the archive of the distribution must be reachable from this host",
            details={"step": step, "status": finished.status},
        )


def require(free_bytes: int, directory: Path) -> None:
    """Check everything a build needs before it starts. Raises HostError with a one-line remedy."""
    missing = [package for tool, package in _PACKAGES.items() if subids.find(tool) is None]
    if not _KEYRING.exists():
        # Present on Debian; elsewhere the archive's signature could not be checked.
        missing.append("debian-archive-keyring")
    if missing:
        raise HostError(
            f"building an environment needs {', '.join(missing)}",
            code="tool-missing",
            hint=f"sudo apt-get install {' '.join(missing)}",
            details={"packages": missing},
        )
    subids.require()
    found = os.statvfs(directory)
    available = found.f_bavail * found.f_frsize
    if available < free_bytes:
        raise no_space(directory, f"{available >> 20} MiB free, about {free_bytes >> 20} MiB needed")


@contextmanager
def space_errors(directory: Path) -> Iterator[None]:
    """Map a full disk met by our own code to HostError (`no-space`); other failures of the disk to BuildError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(directory) from error
        raise BuildError(f"building failed in {directory}: {error}") from error


def no_space(directory: Path, facts: str = "") -> HostError:
    return HostError(
        f"no space left in {directory}" + (f": {facts}" if facts else ""),
        code="no-space",
        hint="free some space there, or set PYRO_ENVIRONMENT_CACHE_DIR to a larger disk",
        details={"directory": str(directory)},
    )


def cancelled() -> PyroError:
    return BuildError("the installation was cancelled", code="cancelled")
