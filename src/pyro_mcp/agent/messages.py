"""What a guest says, as values; nothing becomes one before every field was checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pyro_mcp.agent.wire import GENERATION, violation
from pyro_mcp.errors import GuestError
from pyro_mcp.model.printable import printable

TIMEOUT_STATUS = 124
NOTHING_RAN = (126, 127)
"""Exit codes of a command that could not be executed, and of one that was not found."""

_ERROR_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_DETAILS = 16
_DETAIL_CHARACTERS = 4096
_LARGEST = 2**53  # beyond it JSON numbers are not exact everywhere


class GuestState(StrEnum):
    """How far a guest has come."""

    BOOTED = "booted"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Hello:
    """A guest's description of itself. `version` and `boot_id` are claims, made printable."""

    version: str
    boot_id: str
    uptime_ms: int
    state: GuestState


@dataclass(frozen=True, slots=True)
class Started:
    """The command runs; `pid` is its number inside the guest."""

    pid: int


class OutputStream(StrEnum):
    """Which of a command's outputs."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Output:
    """The next bytes of one output, as the command wrote them."""

    stream: OutputStream
    data: bytes


@dataclass(frozen=True, slots=True)
class Exited:
    """How the command ended. `exit_code` is 0–255; `signal` is 0 unless one ended it; `error` says why nothing ran."""

    exit_code: int
    signal: int
    timed_out: bool
    duration_ms: int
    error: str


ExecEvent = Started | Output | Exited


def parse_object(text: bytes, what: str) -> dict[str, object]:
    """The JSON object in `text`. Raises GuestError for anything else; depth and numbers cannot hurt."""
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise violation(f"sent {what} that is not JSON") from error
    if not isinstance(value, dict):
        raise violation(f"sent {what} that is not an object")
    return value


def parse_hello(members: Mapping[str, object]) -> Hello:
    """Raises GuestError, `guest-generation` where only the generation is wrong."""
    generation = integer_of(members, "generation")
    if generation != GENERATION:
        raise GuestError(
            f"the guest speaks generation {generation} of the protocol, this pyro speaks {GENERATION}",
            code="guest-generation",
            hint="delete the machine and create it again with this version of pyro",
        )
    return Hello(
        version=printable(text_of(members, "version"), 100),
        boot_id=printable(text_of(members, "boot_id"), 100),
        uptime_ms=integer_of(members, "uptime_ms"),
        state=GuestState(_one_of(members, "state", GuestState)),
    )


def parse_clock(members: Mapping[str, object], *, asked_ns: int, tolerance_ns: int) -> int:
    """The clock that the guest has set: what it was told, plus the time that the answer may have taken."""
    clock_ns = integer_of(members, "clock_ns", largest=2**63)
    if not asked_ns <= clock_ns <= asked_ns + tolerance_ns:
        raise violation("set its clock to another time than it was told")
    return clock_ns


def parse_state(members: Mapping[str, object], expected: str) -> None:
    _one_of(members, "state", (expected,))


def parse_started(members: Mapping[str, object]) -> Started:
    return Started(integer_of(members, "pid", largest=2**31))


def parse_exited(members: Mapping[str, object]) -> Exited:
    exited = Exited(
        exit_code=integer_of(members, "exit_code", largest=255),
        signal=integer_of(members, "signal", largest=127),
        timed_out=_boolean(members, "timed_out"),
        duration_ms=integer_of(members, "duration_ms"),
        error=printable(text_of(members, "error")),
    )
    expected = TIMEOUT_STATUS if exited.timed_out else 128 + exited.signal
    if (exited.timed_out or exited.signal) and exited.exit_code != expected:
        raise violation(f"reported an exit code of {exited.exit_code} where {expected} belongs")
    return exited


def refusal(status: int, body: bytes, what: str) -> GuestError:
    """The error for an answer that is not 200; the guest's own words are shown, never obeyed."""
    members = parse_object(body, "an error")
    code, text = text_of(members, "code"), text_of(members, "error")
    if not 400 <= status <= 599 or not _ERROR_CODE.fullmatch(code):
        raise violation(f"refused with status {status} and a code that is none")
    return GuestError(
        f"the guest refused {what}: {printable(text)}",
        code="guest-refused",
        details={"guest_code": code, "status": status},
    )


def parse_failed(members: Mapping[str, object]) -> GuestError:
    """The error for work that the guest could not do. Its words are shown, never obeyed.

    `details` has `guest_code`, and of what the guest added the texts and numbers, made printable and bounded.
    """
    code, details = text_of(members, "code"), members.get("details") or {}
    if not _ERROR_CODE.fullmatch(code) or not isinstance(details, dict) or len(details) > _DETAILS:
        raise violation("failed with a code or details that are none")
    told = {printable(name, 64): _detail(value) for name, value in details.items()}
    return GuestError(
        f"the guest could not do that: {printable(text_of(members, 'error'))}",
        code="work-failed",
        details={**told, "guest_code": code, "guest_error": printable(text_of(members, "error"), _DETAIL_CHARACTERS)},
    )


def _detail(value: object) -> object:
    if isinstance(value, str):
        return printable(value, _DETAIL_CHARACTERS)
    if type(value) is int and abs(value) <= _LARGEST:
        return value
    raise violation("failed with details that are neither text nor numbers")


def _member(members: Mapping[str, object], name: str) -> object:
    if name not in members:
        raise violation(f"left out {name}")
    return members[name]


def integer_of(members: Mapping[str, object], name: str, *, largest: int = _LARGEST) -> int:
    """A whole number that is not negative. Raises GuestError."""
    value = _member(members, name)
    # bool is a subclass of int: true must not pass for 1.
    if type(value) is not int or not 0 <= value <= largest:
        raise violation(f"sent a value of {name} that is no integer in range")
    return value


def text_of(members: Mapping[str, object], name: str) -> str:
    value = _member(members, name)
    if not isinstance(value, str):
        raise violation(f"sent a value of {name} that is no string")
    return value


def _boolean(members: Mapping[str, object], name: str) -> bool:
    value = _member(members, name)
    if not isinstance(value, bool):
        raise violation(f"sent a value of {name} that is neither true nor false")
    return value


def _one_of(members: Mapping[str, object], name: str, allowed: type[StrEnum] | tuple[str, ...]) -> str:
    value = text_of(members, name)
    if value not in tuple(allowed):
        raise violation(f"sent a value of {name} that has no meaning")
    return value
