"""Running a piece of a test where the disk is small, or as a user who may read only what everybody may."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

NOBODY = 65534

T = TypeVar("T")


def on_small_disk(directory: Path, program: str, size: str = "1m") -> str:
    """What `program` prints, a Python text, with a disk of its own mounted on `directory`."""
    mount = f'mount -t tmpfs -o size={size} none "$1" && shift && exec "$@"'
    program = f"import sys; sys.path[:0] = {sys.path!r}\n{program}"
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(directory)]
    done = subprocess.run([*argv, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def directory_of_everybody() -> Iterator[Path]:
    """A directory that other users reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        yield Path(made)


def as_nobody(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in a child without any rights if we are root, or else as who we are."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                told: tuple[bool, object] = (True, work())
            except Exception as error:  # noqa: BLE001
                told = (False, error)
            with os.fdopen(sending, "wb") as pipe:
                pickle.dump(told, pipe)
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        returned, what = pickle.load(pipe)
    os.waitpid(child, 0)
    if not returned:
        raise what
    return what  # type: ignore[no-any-return]
