"""The state directory as every face needs it: there, ours, and private."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pyro_mcp.errors import HostError

LONGEST_PATH = 400
"""SQLite opens files of paths up to 512 bytes; ours lie below this. Sockets have no limit (`host/paths.py`)."""


def prepare_state_dir(path: Path) -> None:
    """Make the directory (0700) unless it is there. Raises HostError `state-unreadable` where it cannot be used."""
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise HostError(
            f"the path of the state directory has {length} bytes; at most {LONGEST_PATH} can be used",
            code="state-path-too-long",
            hint="name a shorter directory in PYRO_STATE_DIR",
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
        owner = path.stat().st_uid
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if owner not in (os.geteuid(), 0):
        raise _unusable(path, f"it belongs to another user (uid {owner})")


def open_private(path: Path) -> BinaryIO:
    """A file of the state directory, made if need be; nobody else may open it, whatever the umask. Raises HostError."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise _unusable(path.parent, error.strerror or str(error)) from error


def _unusable(path: Path, reason: str) -> HostError:
    return HostError(
        f"the state directory {path} cannot be used: {reason.lower()}",
        code="state-unreadable",
        hint="check its owner and mode, or name another directory in PYRO_STATE_DIR",
    )
