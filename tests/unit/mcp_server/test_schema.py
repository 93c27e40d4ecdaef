"""Schemas come from signatures: what is in them, and what is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, NotRequired, TypedDict

import jsonschema
import pytest

from pyro_mcp.mcp_server.parameters import PARAMETERS
from pyro_mcp.mcp_server.schema import input_schema, output_schema, schema_of
from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.mcp_server.tools import TOOLS


class Inner(TypedDict):
    names: list[str]
    facts: dict[str, float]


class Answer(TypedDict):
    inner: Inner
    end: str | None
    size: NotRequired[int]


class Face:
    def method(
        self, name: str, *, words: str | Sequence[str], count: int = 1, kind: str | None = None,
        on_event: Callable[[object], None] | None = None, stdin: bytes | BinaryIO | None = None,
        place: str | os.PathLike[str] | None = None, labels: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        raise NotImplementedError


def test_arguments_come_from_the_signature_but_not_what_only_a_program_can_give() -> None:
    texts = {name: {"description": name} for name in ("name", "words", "count", "kind", "place", "labels")}

    assert input_schema(Face.method, texts) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "name"},
            "words": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                "description": "words",
            },
            "count": {"type": "integer", "description": "count", "default": 1},
            "kind": {"type": "string", "description": "kind"},
            "place": {"type": "string", "description": "place"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "labels"},
        },
        "required": ["name", "words"],
        "additionalProperties": False,
    }


def test_a_text_with_a_type_says_all_of_it_and_what_is_hidden_is_left_out() -> None:
    texts = {name: {"description": name} for name in ("name", "words", "count", "kind", "place")}
    labels = {"type": "object", "required": ["a"]}
    schema = input_schema(Face.method, {**texts, "labels": labels}, hidden={"count"})

    assert schema["properties"]["labels"] == labels
    assert "count" not in schema["properties"]


@pytest.mark.parametrize(
    ("tool", "parameter", "fits", "does_not"),
    [
        (
            "service_start",
            "readiness",
            [
                {"type": "file", "path": "x"},
                {"type": "tcp", "address": "127.0.0.1:1"},
                {"type": "http", "url": "http://127.0.0.1/"},
                {"type": "command", "command": "true"},
            ],
            [{}, {"type": "file"}, {"type": "file", "url": "x"}, {"type": "tcp", "address": "x", "path": "y"}, "file"],
        ),
        (
            "service_start",
            "published_ports",
            [[], [{"guest_port": 1}, {"guest_port": 65535, "host_port": 1}]],
            [[{"host_port": 1}], [{"guest_port": 0}], [{"guest_port": 65536}], [{"guest_port": 1, "x": 1}], [80]],
        ),
        (
            "workspace_create",
            "secrets",
            [[{"name": "A_1", "value": ""}, {"name": "b", "file_path": "x"}]],
            [[{"name": "A"}], [{"name": "A", "value": "x", "file_path": "y"}], [{"name": "1", "value": "x"}], ["A=x"]],
        ),
        ("workspace_exec", "secret_env", [{}, {"A": "B"}], [["A"], {"A": 1}]),
        ("vm_run", "allow", [[], ["10.0.0.0/8:443"]], ["10.0.0.0/8", [5]]),
        ("shell_signal", "signal_name", ["INT", "TERM", "KILL", "HUP"], ["int", "STOP", 2]),
    ],
)
def test_what_has_a_shape_of_its_own_is_told_exactly(
    tool: str, parameter: str, fits: list[object], does_not: list[object]
) -> None:
    validator = jsonschema.Draft202012Validator(TOOLS[tool].input_schema["properties"][parameter])
    assert [value for value in fits if not validator.is_valid(value)] == []
    assert [value for value in does_not if validator.is_valid(value)] == []


def test_results_come_from_typed_dicts_with_what_may_be_absent() -> None:
    assert output_schema(Face.method) == {
        "type": "object",
        "properties": {
            "inner": {
                "type": "object",
                "properties": {
                    "names": {"type": "array", "items": {"type": "string"}},
                    "facts": {"type": "object", "additionalProperties": {"type": "number"}},
                },
                "required": ["names", "facts"],
            },
            "end": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "size": {"type": "integer"},
        },
        "required": ["inner", "end"],
    }


def test_a_type_without_a_schema_is_refused() -> None:
    with pytest.raises(TypeError):
        schema_of(set[str])


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_every_tools_schemas_are_valid_and_its_defaults_fit(tool: Tool) -> None:
    jsonschema.Draft202012Validator.check_schema(tool.input_schema)
    jsonschema.Draft202012Validator.check_schema(tool.output_schema)
    for definition in tool.input_schema["properties"].values():
        if "default" in definition:
            jsonschema.validate(definition["default"], definition)


def test_every_parameter_text_belongs_to_a_tool() -> None:
    assert {name for tool in TOOLS.values() for name in tool.input_schema["properties"]} == PARAMETERS.keys()
