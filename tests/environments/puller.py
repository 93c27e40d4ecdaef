"""A pull in a process of its own, as root or as another user: it can be killed, and its end be looked at."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyro_mcp.environments.store import Store
from pyro_mcp.errors import PyroError
from pyro_mcp.model.environment import Progress


class Puller:
    """Pulls `name` into `root`. `events` yields each Progress as a dict, last `{"installed": …}` or `{"error": …}`."""

    def __init__(self, root: Path, name: str, user: str | None = None) -> None:
        reader, writer = os.pipe()
        # Forked, not started: an ordinary user may not be able to read the interpreter that runs these tests.
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reader)
            _child(writer, root, name, user)
        os.close(writer)
        self._events = os.fdopen(reader)
        self._reaped = False

    def events(self) -> Iterator[dict[str, Any]]:
        for line in self._events:
            yield json.loads(line)

    def wait_for(self, phase: str) -> None:
        for event in self.events():
            assert "error" not in event, event
            if event.get("phase") == phase:
                return
        raise AssertionError(f"the pull ended before phase {phase}")

    def result(self) -> dict[str, Any]:
        """Wait for its end; the last event."""
        *_, last = self.events()
        self.end()
        return last

    def end(self) -> None:
        """Kill it, if it still runs. Idempotent."""
        if not self._reaped:
            self._reaped = True
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._events.close()


@contextmanager
def pulling(root: Path, name: str, user: str | None = None) -> Iterator[Puller]:
    puller = Puller(root, name, user)
    try:
        yield puller
    finally:
        puller.end()


@contextmanager
def ordinary_user(name: str, *, subordinate_ids: bool = True) -> Iterator[Path]:
    """A fresh user with an empty home that nobody else may enter; yields the home. Needs root."""
    # Not below pytest's own directory, which only root may enter.
    with tempfile.TemporaryDirectory(prefix="pyro-home-") as directory:
        # Some distributions grant a range by themselves.
        _run("useradd", "--no-create-home", "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0", "-d", directory, name)
        try:
            shutil.chown(directory, name, name)
            if subordinate_ids:
                span = "2000000000-2000065535"
                _run("usermod", "--add-subuids", span, "--add-subgids", span, name)
            yield Path(directory)
        finally:
            _run("userdel", "--force", name)


def _run(tool: str, *arguments: str) -> None:
    subprocess.run([f"/usr/sbin/{tool}", *arguments], check=True, capture_output=True)


def _child(writer: int, root: Path, name: str, user: str | None) -> None:
    """Never returns: what comes after belongs to the parent."""
    try:
        with os.fdopen(writer, "w", buffering=1) as events:
            if user is not None:
                _become(pwd.getpwnam(user))
            last = _pull(root, name, events)
            print(json.dumps(last), file=events)
    finally:
        os._exit(0)


def _pull(root: Path, name: str, events: Any) -> dict[str, Any]:
    def report(progress: Progress) -> None:
        event = {"phase": progress.phase, "current": progress.current, "total": progress.total}
        print(json.dumps(event), file=events)

    try:
        return {"installed": Store(root).pull(name, progress=report).digest}
    except PyroError as error:
        return {"error": error.to_payload()}


def _become(user: pwd.struct_passwd) -> None:
    os.chdir("/")
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(HOME=user.pw_dir, PATH="/usr/bin:/bin")
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
