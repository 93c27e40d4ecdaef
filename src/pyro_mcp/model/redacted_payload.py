"""What in a payload may hold what somebody else wrote, and what only ever holds words of ours.

A value may be any text, `running` or `secret` too. Clients must be able to read a payload all the same: its keys, the
states and kinds in it, ids and times are left alone. Whoever reads those learns nothing about a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from pyro_mcp.model.workspace import WORKSPACE_PATH

_OURS = frozenset(
    {
        # Chosen from a few words, by us.
        *("state", "service_state", "status", "kind", "mode", "isolation", "execution_mode", "artifact_type", "reason"),
        *("end_reason", "network_policy", "policy", "protocol", "type", "source_kind", "event", "phase"),
        *("vmm", "signal_name", "code", "unit"),
        # Ids that we made, and what else is the name of a thing of ours.
        *("workspace_id", "vm_id", "shell_id", "environment", "environment_version"),
    }
)
"""Keys of values that are words of ours."""

_PLACES = frozenset({"workspace_path", "destination", "cwd", "path"})
"""Keys whose value is most often /workspace, which is no secret."""

_NAMED_BY_OTHERS = frozenset({"labels", "details"})
"""Keys of objects whose own keys and values are somebody else's, a guest's or a caller's; only ids in them are ours."""

_NAMES_ONLY = frozenset({"secrets"})
"""Keys of what is about values without holding any: their names."""

_CUT_SHORT = frozenset({"skipped"})
"""Keys of names that are shown up to some length."""

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_ID = re.compile(r"(?:ws|vm|sh)-[0-9a-f]{12}")
_SEPARATOR = "\0"


class Rules(NamedTuple):
    """What is done to a text, to a key that is somebody else's, and to what may have been cut short."""

    text: Callable[[str], str]
    key: Callable[[str], str]
    cut: Callable[[str], str]


def redacted_payload(value: object, rules: Rules) -> object:
    """`value` with `rules` applied to all its texts that are not ours. The same object where that changes nothing."""
    together = _SEPARATOR.join(_texts(value))
    cut = any(f"{_SEPARATOR}{key}{_SEPARATOR}" in together for key in _CUT_SHORT)
    return value if not cut and rules.text(together) == together else _redacted(value, rules, theirs=False)


def _redacted(value: object, rules: Rules, *, theirs: bool) -> object:
    if isinstance(value, str):
        return rules.text(value)
    if isinstance(value, Mapping):
        return _object(value, rules, theirs=theirs)
    if isinstance(value, list | tuple):
        return [_redacted(item, rules, theirs=theirs) for item in value]
    return value


def _object(value: Mapping[str, object], rules: Rules, *, theirs: bool) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, item in value.items():
        inside = rules._replace(text=rules.cut) if key in _CUT_SHORT else rules
        shown = key if not theirs and _KEY.fullmatch(key) else _free(rules.key(key), result)
        result[shown] = (
            item
            if _is_ours(key, item, theirs=theirs)
            else _redacted(item, inside, theirs=theirs or key in _NAMED_BY_OTHERS)
        )
    return result


def _is_ours(key: str, item: object, *, theirs: bool) -> bool:
    if theirs:
        return isinstance(item, str) and _ID.fullmatch(item) is not None
    if key in _PLACES:
        return item == WORKSPACE_PATH
    if isinstance(item, str):
        return key in _OURS or key.endswith("_at")
    return key in _NAMES_ONLY


def _free(key: str, taken: Mapping[str, object]) -> str:
    """`key`, or with a number behind it where another has become the same."""
    names: Iterable[str] = (key, *(f"{key} {number}" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
