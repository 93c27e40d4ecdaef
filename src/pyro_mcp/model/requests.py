"""What callers ask for, checked once: out of range never gets further than this module."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyro_mcp.config import MEM_MIB_RANGE, TIMEOUT_RANGE, TTL_RANGE, VCPU_RANGE, WORKSPACE_TTL_RANGE
from pyro_mcp.errors import NotFoundError, UsageError
from pyro_mcp.model.machine import Isolation
from pyro_mcp.model.network import Allowed, require_allowed

_VM_ID = re.compile(r"vm-[0-9a-f]{12}")
_WORKSPACE_ID = re.compile(r"ws-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# One argument may be 128 KiB (Linux MAX_ARG_STRLEN); all of them together travel in one 1 MiB frame as JSON.
_MAX_COMMAND_BYTES = 128 * 1024

_LABELS = 64
_LABEL_CHARACTERS = 256
_TITLE_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """Parameters of `create_vm` and `run_in_vm`, in range."""

    environment: str
    vcpu_count: int = 1
    mem_mib: int = 1024
    ttl_seconds: int = 600
    network: bool = False
    allow_host_compat: bool = False
    allow: Sequence[str] | None = None

    def __post_init__(self) -> None:
        require_text("environment", self.environment)
        require_range("vcpu_count", self.vcpu_count, VCPU_RANGE)
        require_range("mem_mib", self.mem_mib, MEM_MIB_RANGE)
        require_range("ttl_seconds", self.ttl_seconds, TTL_RANGE)
        require_bool("network", self.network)
        require_bool("allow_host_compat", self.allow_host_compat)
        require_allowed(self.allow, networked=self.network)

    @property
    def allowed(self) -> tuple[Allowed, ...]:
        return require_allowed(self.allow, networked=self.network)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as an argument vector, and the text that names it to people."""

    argv: tuple[str, ...]
    text: str

    @classmethod
    def parse(cls, command: object) -> Command:
        """A string is a shell line (`sh -lc`); a sequence of strings is an argv, passed without re-quoting.

        Raises UsageError `empty-command` where there is nothing to run.
        """
        if isinstance(command, str):
            argv, text = ("sh", "-lc", command), command
            empty = not command.strip()
        elif isinstance(command, Sequence) and all(isinstance(word, str) for word in command):
            argv, text = tuple(command), shlex.join(command)
            empty = not argv or not argv[0].strip()
        else:
            raise UsageError("command must be a string or a list of strings")
        if empty:
            raise UsageError(
                "the command is empty", code="empty-command", hint="give it after --, e.g. -- git --version"
            )
        if any("\0" in word for word in argv):
            raise UsageError("the command contains a NUL character, which no argument can")
        if any(0xD800 <= ord(character) <= 0xDFFF for word in argv for character in word):
            raise UsageError("the command is not valid UTF-8", hint="write such bytes to a file and name that instead")
        if sum(len(word.encode()) for word in argv) > _MAX_COMMAND_BYTES:
            raise UsageError(f"the command is longer than {_MAX_COMMAND_BYTES} bytes", hint="put it into a script")
        return cls(argv, text)


def require_range(name: str, value: object, bounds: tuple[int, int]) -> int:
    """An integer within `bounds`, both included. Raises UsageError `out-of-range`."""
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise UsageError(
            f"{name} is {value}; it must be between {low} and {high}",
            code="out-of-range",
            details={"name": name, "minimum": low, "maximum": high},
        )
    return value


def require_timeout(value: object) -> int:
    """A command's time limit in seconds."""
    return require_range("timeout_seconds", value, TIMEOUT_RANGE)


def require_text(name: str, value: object) -> str:
    """A non-empty string of reasonable length."""
    if not isinstance(value, str) or not value.strip() or len(value) > 1024:
        raise UsageError(f"{name} must be a non-empty text")
    return value


def require_bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be true or false, not {value!r}")
    return value


def require_vm_id(value: object) -> str:
    """Something that can be a VM's id. What cannot be one names no VM: NotFoundError, and no path is made of it."""
    if not isinstance(value, str) or not _VM_ID.fullmatch(value):
        raise NotFoundError(f"there is no VM {str(value)[:64]!r}", code="vm-not-found")
    return value


def require_workspace_id(value: object) -> str:
    """Something that can be a workspace's id. What cannot be one names none: NotFoundError."""
    if not isinstance(value, str) or not _WORKSPACE_ID.fullmatch(value):
        raise NotFoundError(f"there is no workspace {str(value)[:64]!r}", code="workspace-not-found")
    return value


def require_identifier(name: str, value: object) -> str:
    """A name that may be part of a file's name: letters, digits, `.`, `_`, `-`, at most 64, no punctuation first."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise UsageError(
            f"{name} is {str(value)[:80]!r}, which is no name",
            code="invalid-name",
            hint="take 1 to 64 letters, digits, dots, underscores or hyphens, a letter or digit first",
        )
    return value


def require_labels(value: object) -> dict[str, str]:
    """Keys are identifiers, values texts of at most 256 characters; at most 64 of them."""
    if not isinstance(value, dict):
        raise UsageError("labels must be an object of texts")
    for key, text in require_few_labels(value).items():
        require_identifier("a label's key", key)
        if not isinstance(text, str) or len(text) > _LABEL_CHARACTERS or not _storable(text):
            raise UsageError(f"the label {key} must be a text of at most {_LABEL_CHARACTERS} characters")
    return dict(value)


def require_few_labels(labels: dict[str, str]) -> dict[str, str]:
    """At most 64."""
    if len(labels) > _LABELS:
        raise UsageError(f"there are {len(labels)} labels; at most {_LABELS} can be given")
    return labels


def require_title(value: object) -> str:
    """What people call a workspace: 1 to 120 printable characters."""
    if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= _TITLE_CHARACTERS:
        raise UsageError(f"name must be a text of 1 to {_TITLE_CHARACTERS} characters", code="invalid-name")
    if not value.isprintable():
        raise UsageError("name must be printable", code="invalid-name")
    return value


def require_life(value: object) -> int:
    """A workspace's time to live in seconds; 0 is for ever."""
    return 0 if value == 0 and not isinstance(value, bool) else require_range("ttl_seconds", value, WORKSPACE_TTL_RANGE)


def require_environment_variables(value: object) -> dict[str, str]:
    """Variables for a command. Raises UsageError."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise UsageError("env must be an object of texts")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name + text or not _storable(name + text):
            raise UsageError(f"env has a variable that cannot be: {name[:64]!r}")
    return dict(value)


def _storable(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def parse_isolation(value: object) -> Isolation | None:
    """What must at least be given: `kvm`, or None for whatever there is."""
    if value is None:
        return None
    if value != Isolation.KVM:
        raise UsageError(f"required isolation is {value!r}; only 'kvm' can be required")
    return Isolation.KVM


def new_workspace_id() -> str:
    return f"ws-{secrets.token_hex(6)}"


def new_vm_id() -> str:
    return f"vm-{secrets.token_hex(6)}"
