"""A pyro of its own for a test: state directory, daemon, command line and SDK, and the logs when something fails."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pyro_mcp import Pyro
from pyro_mcp.config import Settings
from tests.harness.census import Census, processes_of, take

T = TypeVar("T")

DEADLINE = 240.0
"""Seconds that nothing in a test may take; generous, since these tests also run on busy machines."""


class Installation:
    def __init__(self, state_dir: Path, *prefix: str, **environment: str) -> None:
        """`prefix`: what its commands, and so its daemon, are started by; see `tests/harness/hosts.py`."""
        self.state_dir = state_dir
        self.prefix = prefix
        # Which VMM suits a host is found out once per installation, and has tests of its own.
        vmm = os.environ.get("PYRO_VMM", "qemu")
        self.environment = {**os.environ, "PYRO_VMM": vmm, "PYRO_STATE_DIR": str(state_dir), **environment}

    def cli(self, *arguments: str | bytes, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
        """Run `pyro` to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            stdin=stdin,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """The payload of a command that is expected to succeed."""
        done = self.cli(*arguments)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def start_cli(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def command(self, *arguments: str | bytes) -> list[str | bytes]:
        return [*self.prefix, sys.executable, "-m", "pyro_mcp", *arguments]

    def sdk(self) -> Pyro:
        with _environment(self.environment):
            return Pyro(Settings.from_environment())

    def census(self) -> Census:
        return take(self.state_dir)

    def wait_clean(self, before: Census) -> None:
        """Until nothing is left of what began after `before`; fails with a list of what is."""
        leaks = until(lambda: None if self.census().leaks_since(before) else True)
        assert leaks, self.census().leaks_since(before)

    def daemon_pid(self) -> int:
        return int(self.sdk().daemon_status()["pid"])

    def stop(self) -> None:
        self.sdk().stop_daemon()

    def logs(self) -> str:
        log = self.state_dir / "daemon.log"
        return log.read_text(errors="replace")[-20_000:] if log.exists() else "(no daemon log)"


@contextmanager
def installation(*prefix: str, **environment: str) -> Iterator[Installation]:
    """A fresh installation; afterwards its daemon is stopped and everything of it is gone."""
    state_dir = Path(tempfile.mkdtemp(prefix="pyro-test-"))
    pyro = Installation(state_dir, *prefix, **environment)
    try:
        yield pyro
        pyro.stop()
        left = processes_of(state_dir)
        assert not left, f"processes outlived their daemon: {left}"
    finally:
        pyro.stop()
        shutil.rmtree(state_dir)


INSTALLATION = pytest.StashKey[Installation]()
"""Whose log is printed when a test fails."""


def left_as_found(shared: Installation, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """`shared` for one test, which must leave it as it found it."""
    before = shared.census()
    request.node.stash[INSTALLATION] = shared
    yield shared
    shared.wait_clean(before)


def until(look: Callable[[], T | None]) -> T | None:
    """The first result of `look` that is not None; None after the deadline. For facts that no descriptor announces."""
    deadline = time.monotonic() + DEADLINE
    while (found := look()) is None and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    return found


def wait_gone(pid: int) -> None:
    """Until a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], DEADLINE)[0], f"process {pid} lives on"
    finally:
        os.close(descriptor)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
