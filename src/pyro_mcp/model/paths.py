"""Paths in a workspace, as callers write them. Pure."""

from __future__ import annotations

import posixpath

from pyro_mcp.errors import UsageError
from pyro_mcp.model.workspace import WORKSPACE_PATH

_PATH_BYTES = 4096


def workspace_path(name: str, value: object) -> str:
    """`value` as an absolute path in normal form, /workspace itself or beneath it; a relative one begins there.

    Raises UsageError `path-outside-workspace`. Symbolic links are the guest's to follow, and to refuse.
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} must be a non-empty path")
    if "\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise UsageError(f"{name} has a character that no path can have")
    if len(value.encode()) > _PATH_BYTES:
        raise UsageError(f"{name} is longer than {_PATH_BYTES} bytes")
    # normpath keeps two leading slashes, which mean nothing on Linux.
    path = "/" + posixpath.normpath(posixpath.join(WORKSPACE_PATH, value)).lstrip("/")
    if path != WORKSPACE_PATH and not path.startswith(f"{WORKSPACE_PATH}/"):
        raise UsageError(
            f"{value!r} is not in {WORKSPACE_PATH}",
            code="path-outside-workspace",
            hint=f"only what lies in {WORKSPACE_PATH} can be named",
        )
    return path


def machine_path(name: str, value: object) -> str:
    """`value` as an absolute path in normal form, anywhere in the guest; a relative one begins in /workspace."""
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value.encode("utf-8", "replace")) > 4096:
        raise UsageError(f"{name} must be a path")
    return "/" + posixpath.normpath(posixpath.join(WORKSPACE_PATH, value)).lstrip("/")


def in_guest(path: str) -> str:
    """A path of `workspace_path` as the guest's agent takes it: relative to /workspace, `.` for that itself."""
    return posixpath.relpath(path, WORKSPACE_PATH)


def working_directory(value: object) -> str:
    """Where a command begins: any directory of the guest; a relative one begins in /workspace. Raises UsageError."""
    if not isinstance(value, str) or not value or "\0" in value or len(value.encode("utf-8", "replace")) > _PATH_BYTES:
        raise UsageError("cwd must be a path")
    return posixpath.normpath(posixpath.join(WORKSPACE_PATH, value))
