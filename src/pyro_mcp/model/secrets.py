"""Secrets as callers give and use them. Values are in `SecretRequest.value` alone, which shows itself nowhere.

No error names a value, nor what may be one: a name that is none, a path, a member that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pyro_mcp.errors import NotFoundError, UsageError

MOST = 64
"""Secrets of one workspace."""

VALUE_BYTES = 65_536

_LONG_CHARACTERS = 8

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What decides how programs are found and started, and what a shell runs before anything else.
_RESERVED = re.compile(r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|TERM|LANG|IFS|ENV|BASH_ENV|LD_.*")
_LITERAL, _FROM_FILE = {"name", "value"}, {"name", "file_path"}
_HINT = 'give {"name": …, "value": …} or {"name": …, "file_path": …}'


class SecretSource(StrEnum):
    """Where a value came from."""

    LITERAL = "literal"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What is on record of a secret: everything but its value."""

    name: str
    source_kind: SecretSource


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """A secret that a workspace is to have."""

    name: str
    source_kind: SecretSource
    value: str = field(repr=False)

    @property
    def info(self) -> SecretInfo:
        return SecretInfo(self.name, self.source_kind)


def require_secrets(value: object, read: Callable[[Path, int], bytes]) -> tuple[SecretRequest, ...]:
    """At most 64, names unique, values UTF-8 of 1 to 65,536 bytes without NUL.

    `read` gives the first bytes of a regular file, at most so many, or raises OSError. Raises UsageError:
    `invalid-secret`, `duplicate-secret`, `secret-too-large`, `unreadable-secret-file`.
    """
    if not isinstance(value, list) or len(value) > MOST:
        raise _invalid(f"secrets must be a list of at most {MOST}")
    secrets: dict[str, SecretRequest] = {}
    for number, entry in enumerate(value, 1):
        secret = _secret(number, entry, read)
        if secret.name in secrets:
            raise UsageError(f"there are two secrets {secret.name}", code="duplicate-secret")
        secrets[secret.name] = secret
    return tuple(secrets.values())


def require_secret_env(value: object, env: Iterable[str] = ()) -> dict[str, str]:
    """Names of secrets to the variables that they become for one command, which must not be in `env` as well.

    Raises UsageError, `reserved-name` for variables that decide what runs, NotFoundError `secret-not-found`.
    """
    if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise UsageError("secret_env must be an object of texts: name of a secret to name of a variable")
    taken = set(env)
    for name, variable in value.items():
        if not _NAME.fullmatch(name):
            raise NotFoundError("there is no secret of that name", code="secret-not-found", hint=_names_hint())
        if not _VARIABLE.fullmatch(variable) or len(variable) > VALUE_BYTES:
            raise UsageError(f"the variable for the secret {name} has no possible name", code="invalid-name")
        if _RESERVED.fullmatch(variable):
            raise UsageError(
                f"the secret {name} cannot be the variable {variable[:64]}",
                code="reserved-name",
                hint="programs are found and started by what is in it; take another name",
            )
        if variable in taken:
            raise UsageError(f"the variable {variable[:64]!r} is given twice")
        taken.add(variable)
    return dict(value)


def refuse_in_names(values: Iterable[str], names: Iterable[str]) -> None:
    """Names of files and records cannot be redacted. Raises UsageError `secret-in-name` for one with a value in it.

    Short values do not count: they are in many names by chance.
    """
    long = [value for value in values if len(value) >= _LONG_CHARACTERS]
    if any(value in name for name in names for value in long):
        raise UsageError("a name holds the value of a secret", code="secret-in-name", hint="take another name")


def not_found(name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a secret that a workspace does not have; `known` are the names of those that it has."""
    return NotFoundError(
        f"the workspace has no secret {name}", code="secret-not-found", hint=_names_hint(sorted(known))
    )


def _secret(number: int, entry: object, read: Callable[[Path, int], bytes]) -> SecretRequest:
    if not isinstance(entry, Mapping) or set(entry) not in (_LITERAL, _FROM_FILE):
        raise _invalid(f"secret number {number} has not the members of one")
    name = entry["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"the name of secret number {number} is none",
            code="invalid-secret",
            hint="take 1 to 64 letters, digits or underscores, no digit first",
        )
    if "file_path" in entry:
        return SecretRequest(name, SecretSource.FILE, _text(name, _read(name, entry["file_path"], read)))
    value = entry["value"]
    if not isinstance(value, str):
        raise _invalid(f"the value of the secret {name} is no text")
    try:
        return SecretRequest(name, SecretSource.LITERAL, _text(name, value.encode()))
    except UnicodeEncodeError:
        pass  # not chained: the error holds the value
    raise _not_utf8(name)


def _read(name: str, path: object, read: Callable[[Path, int], bytes]) -> bytes:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise _invalid(f"file_path of the secret {name} is no absolute path")
    try:
        return read(Path(path), VALUE_BYTES + 1)
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it has no possible name"
    raise UsageError(
        f"the file of the secret {name} cannot be read: {reason.lower()}",
        code="unreadable-secret-file",
        hint="name a regular file that you can read",
    )


def _text(name: str, data: bytes) -> str:
    if not data:
        raise _invalid(f"the secret {name} is empty")
    if len(data) > VALUE_BYTES:
        raise UsageError(
            f"the secret {name} has more than {VALUE_BYTES} bytes",
            code="secret-too-large",
            hint="push large files into the workspace",
            details={"name": name, "limit": VALUE_BYTES},
        )
    if b"\0" in data:
        raise _invalid(f"the secret {name} has a NUL character, which no variable can hold")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass  # not chained: the error holds the value
    raise _not_utf8(name)


def _invalid(text: str) -> UsageError:
    return UsageError(text, code="invalid-secret", hint=_HINT)


def _not_utf8(name: str) -> UsageError:
    return UsageError(
        f"the secret {name} is not UTF-8", code="invalid-secret", hint="encode it, with base64 for example"
    )


def _names_hint(known: Iterable[str] = ()) -> str:
    names = ", ".join(known)
    return f"it has {names}" if names else "secrets are given when a workspace is created"
