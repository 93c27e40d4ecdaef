"""JSON Schemas from signatures: what a method of the SDK takes and returns is declared there and nowhere else."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, BinaryIO, NotRequired, Union

from pyro_mcp.model import living_payloads, payloads, workspace_payloads

Schema = dict[str, Any]

# The SDK names these types for readers and checkers only.
_PAYLOADS = {**vars(payloads), **vars(workspace_payloads), **vars(living_payloads)}

_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    object: {},
}

# What a program can hand over and JSON cannot.
_NOT_IN_JSON: tuple[object, ...] = (types.NoneType, bytes, BinaryIO, Callable, os.PathLike)


def input_schema(method: Callable[..., object], texts: Mapping[str, Schema], *, hidden: Collection[str] = ()) -> Schema:
    """The arguments of a method as an object; `texts` adds to each what its type does not say, or says all of it.

    The latter where there is a `type` in it. Left out are those in `hidden`, and what only a program can hand over:
    callbacks, open files, bytes.
    """
    hints = typing.get_type_hints(method, localns=_PAYLOADS)
    properties: Schema = {}
    required = []
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        members = _members_in_json(hints[name])
        if not members or name in hidden:
            continue
        properties[name] = {**({} if "type" in texts[name] else _schema_of_any(members)), **texts[name]}
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        elif parameter.default is not None:
            properties[name]["default"] = parameter.default
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def output_schema(method: Callable[..., object]) -> Schema:
    return schema_of(typing.get_type_hints(method, localns=_PAYLOADS)["return"])


def schema_of(hint: Any) -> Schema:
    """The schema of a type that public signatures use. Raises TypeError for one that has none."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if hint is types.NoneType:
        return {"type": "null"}
    if typing.is_typeddict(hint):
        return _object_of(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, Union):
        return _schema_of_any(arguments)
    if origin in (list, Sequence):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    raise TypeError(f"no JSON Schema for {hint!r}")


def _object_of(typed_dict: type) -> Schema:
    # `__required_keys__` does not see NotRequired where annotations are strings.
    hints = typing.get_type_hints(typed_dict, include_extras=True)
    optional = {name for name, hint in hints.items() if typing.get_origin(hint) is NotRequired}
    plain = {name: typing.get_args(hint)[0] if name in optional else hint for name, hint in hints.items()}
    return {
        "type": "object",
        "properties": {name: schema_of(hint) for name, hint in plain.items()},
        "required": [name for name in hints if name not in optional],
    }


def _schema_of_any(hints: Sequence[Any]) -> Schema:
    return schema_of(hints[0]) if len(hints) == 1 else {"anyOf": [schema_of(hint) for hint in hints]}


def _members_in_json(hint: Any) -> Sequence[Any]:
    """What an argument may be, as far as JSON can say it.

    One that may be None may be left out; clients understand that better than a type of two kinds.
    """
    is_union = typing.get_origin(hint) in (types.UnionType, Union)
    members = typing.get_args(hint) if is_union else (hint,)
    return [member for member in members if (typing.get_origin(member) or member) not in _NOT_IN_JSON]
