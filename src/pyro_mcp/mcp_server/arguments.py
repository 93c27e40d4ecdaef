"""From what a model gave to what the SDK gets.

Names are checked here, against the schema that the model was shown, and so is what a model may ask for less of than
others: life without end, and paths of the user's machine. Types and ranges are the daemon's business, as for every
face, so that a mistake has one error and one code wherever it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_mcp.config import WORKSPACE_TTL_RANGE
from pyro_mcp.errors import UsageError
from pyro_mcp.host.allowed import AllowedRoots
from pyro_mcp.mcp_server.schema import Schema
from pyro_mcp.model.requests import require_range

_EXISTING = {"seed_path": "seed-not-found", "source_path": "source-not-found"}
_NEW = {"output_path": "output-parent-missing"}
_SECRETS, _SECRET_FILE, _SECRET_MISSING = "secrets", "file_path", "unreadable-secret-file"


def check(schema: Schema, arguments: Mapping[str, object]) -> None:
    """Raises UsageError for what a model may not ask for."""
    check_names(schema, arguments)
    if arguments.get("ttl_seconds") == 0:  # for ever: people may say so
        require_range("ttl_seconds", arguments["ttl_seconds"], WORKSPACE_TTL_RANGE)


def name_host_paths(arguments: Mapping[str, object]) -> bool:
    return any(arguments.get(name) is not None for name in (*_EXISTING, *_NEW, _SECRETS))


def with_real_paths(arguments: Mapping[str, object], roots: AllowedRoots) -> dict[str, Any]:
    """`arguments` with paths of the user's machine as the real ones. Looks at the file system.

    Raises UsageError: `path-not-allowed`, and for what is or is not there the codes that the daemon has for that.
    """
    real: dict[str, object] = dict(arguments)
    for name, missing in _EXISTING.items():
        if arguments.get(name) is not None:
            real[name] = roots.existing(name, arguments[name], missing=missing)
    for name, missing in _NEW.items():
        if arguments.get(name) is not None:
            real[name] = roots.new(name, arguments[name], missing=missing)
    if isinstance(secrets := arguments.get(_SECRETS), list):
        real[_SECRETS] = [_with_real_file(secret, roots) for secret in secrets]
    return real


def _with_real_file(secret: object, roots: AllowedRoots) -> object:
    """What is no secret is the daemon's to refuse; no path gets there unseen in it, as it refuses what it knows not."""
    if not isinstance(secret, dict) or _SECRET_FILE not in secret:
        return secret
    return {**secret, _SECRET_FILE: roots.existing(_SECRET_FILE, secret[_SECRET_FILE], missing=_SECRET_MISSING)}


def check_names(schema: Schema, arguments: Mapping[str, object]) -> None:
    """Raises UsageError for an argument that the schema does not have, or one that it asks for and that is missing."""
    known = schema["properties"]
    unknown = sorted(arguments.keys() - known.keys())
    missing = [name for name in schema["required"] if name not in arguments]
    hint = f"arguments: {', '.join(known) or 'none'}"
    if unknown:
        raise UsageError(f"unknown arguments: {', '.join(name[:64] for name in unknown[:8])}", hint=hint)
    if missing:
        raise UsageError(f"missing arguments: {', '.join(missing)}", hint=hint)
