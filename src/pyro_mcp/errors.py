"""The one error tree.

    PyroError                      something the caller can read: text, code, hint, details
    ├── UsageError                 the request itself is wrong; change it (exit status 2)
    ├── NotFoundError              the named thing does not exist
    ├── ConflictError              the thing exists but is in the wrong state for this
    ├── HostError                  this host lacks something: a package, a capability, space
    ├── IntegrityError             stored bytes are not what their digest says
    ├── BuildError                 an environment could not be built
    ├── VmmError                   the VMM could not be started or driven
    ├── GuestError                 the guest failed, fell silent or broke the protocol
    └── DaemonError                the daemon could not be reached or refused the client

The class says what a caller can do about it, `code` is stable and meant for programs, `hint` is the next step for a
person. Foreign exceptions are mapped to this tree once, at the boundary of the package that talks to them.
"""

from __future__ import annotations

from collections.abc import Mapping


class PyroError(Exception):
    """Base of all errors pyro raises on purpose.

    `message` is one line of text. `code` is a stable kebab-case identifier. `hint`, if not empty, is the next step.
    `details` carries JSON-able facts for programs; it never holds secrets.
    """

    exit_status = 1
    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.details = dict(details or {})

    def to_payload(self) -> dict[str, object]:
        """The JSON object every face prints for a failure."""
        return {"ok": False, "error": self.message, "code": self.code, "hint": self.hint, "details": self.details}

    def to_wire(self) -> dict[str, object]:
        """The payload and the class, so that another process of pyro can raise the same error (`from_wire`)."""
        return {**self.to_payload(), "type": type(self).__name__}


class UsageError(PyroError):
    exit_status = 2
    default_code = "invalid-argument"


class NotFoundError(PyroError):
    default_code = "not-found"


class ConflictError(PyroError):
    default_code = "wrong-state"


class HostError(PyroError):
    default_code = "host-unsupported"


class IntegrityError(PyroError):
    default_code = "digest-mismatch"


class BuildError(PyroError):
    default_code = "environment-build-failed"


class VmmError(PyroError):
    default_code = "vmm-failed"


class GuestError(PyroError):
    default_code = "guest-failed"


class DaemonError(PyroError):
    default_code = "daemon-unreachable"


def from_wire(payload: Mapping[str, object]) -> PyroError:
    """The error that `to_wire` described. An unknown class becomes a plain PyroError."""
    known = {kind.__name__: kind for kind in PyroError.__subclasses__()}
    details = payload.get("details")
    return known.get(str(payload.get("type")), PyroError)(
        str(payload.get("error")),
        code=str(payload.get("code")),
        hint=str(payload.get("hint") or ""),
        details=details if isinstance(details, dict) else {},
    )
