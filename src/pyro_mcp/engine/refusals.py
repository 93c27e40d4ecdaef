"""What a guest could not do, as an error that a caller can act on.

The guest says which of a few things happened; what people read is written here. A code that is not among them is a
guest that makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pyro_mcp.agent.wire import violation
from pyro_mcp.errors import ConflictError, GuestError, NotFoundError, PyroError, UsageError

_WORK_FAILED = "work-failed"


Refusals = Mapping[str, Callable[[str, Mapping[str, object]], PyroError]]
"""The guest's word for it → the error, made of the subject and what the guest told beside."""


@contextmanager
def explained(subject: str, refusals: Refusals | None = None) -> Iterator[None]:
    """Errors of work on `subject`, a path or what else the caller named, become errors of the public tree.

    Without `refusals` they are those of work in /workspace.
    """
    try:
        yield
    except GuestError as error:
        if error.code != _WORK_FAILED:
            raise
        raise explain(error, subject, _ERRORS if refusals is None else refusals) from error


def explain(error: GuestError, subject: str, refusals: Refusals) -> PyroError:
    """Pure. `error` is one with code `work-failed` (`agent/messages.py`); one without a code of its own gets its."""
    code = str(error.details.get("guest_code"))
    make = refusals.get(code)
    if make is None:
        return violation(f"failed with the unknown code {code}")
    failure = make(subject, error.details)
    if failure.code == failure.default_code:
        failure.code = code
    failure.details.update({name: value for name, value in error.details.items() if not name.startswith("guest_")})
    return failure


def _usage(text: str, hint: str = "") -> Callable[[str, Mapping[str, object]], PyroError]:
    return lambda subject, details: UsageError(text.format(subject=subject, **_Known(details)), hint=hint)


class _Known(dict[str, object]):
    """Details that a text may name, though a guest may have left them out."""

    def __missing__(self, key: str) -> str:
        return f"(no {key})"


def _too_large(subject: str, details: Mapping[str, object]) -> PyroError:
    return UsageError(
        f"{subject} is too large for this: {details.get('size')} bytes, at most {details.get('limit')}",
        hint="`pyro workspace export` takes files of any size",
    )


def _patch_failed(_subject: str, details: Mapping[str, object]) -> PyroError:
    hunk = f", hunk {details['hunk']}" if details.get("hunk") else ""
    return ConflictError(
        f"the patch does not fit: {details.get('file')}{hunk}: {details.get('reason')}",
        hint="nothing was changed; read the file and make the patch anew",
    )


def _bad_patch(_subject: str, details: Mapping[str, object]) -> PyroError:
    return UsageError(
        f"line {details.get('line')} of the patch makes no sense: {details.get('reason')}",
        hint="give a unified diff, as `git diff` or `diff -u` write it",
    )


_ERRORS: Refusals = {
    "path-not-found": lambda subject, _: NotFoundError(f"there is no {subject} in the workspace"),
    "path-outside-workspace": _usage("{subject} leads out of /workspace", "only what lies in /workspace can be named"),
    "not-a-file": _usage("{subject} is no regular file"),
    "not-a-directory": _usage("{subject} is no directory"),
    "is-a-directory": _usage("{subject} is a directory", "name a file in it"),
    "path-exists": _usage("{subject} exists already"),
    "not-text": _usage("{subject} is not UTF-8 text", "`pyro workspace export` takes files of any kind"),
    "file-too-large": _too_large,
    "file-changed": lambda subject, _: ConflictError(f"{subject} changed while it was read", hint="try again"),
    "bad-archive": lambda _subject, details: UsageError(f"what was sent is no good archive: {details['guest_error']}"),
    "patch-failed": _patch_failed,
    "bad-patch": _bad_patch,
    "no-space": lambda *_: ConflictError("the workspace's disk is full", hint="delete something in it"),
    "too-many-entries": _usage("{subject} holds more entries than can be told at once", "ask for less"),
    "io-error": lambda subject, details: ConflictError(f"{subject}: {details['guest_error']}"),
}
