"""The error tree, and its way through the daemon's socket."""

from __future__ import annotations

import json

import pytest

from pyro_mcp import errors
from pyro_mcp.errors import PyroError, UsageError, from_wire


@pytest.mark.parametrize("kind", PyroError.__subclasses__())
def test_an_error_survives_its_way_through_the_daemons_socket(kind: type[PyroError]) -> None:
    original = kind("what", code="some-code", hint="next", details={"n": 1})

    arrived = from_wire(json.loads(json.dumps(original.to_wire())))

    assert type(arrived) is kind
    assert arrived.to_payload() == original.to_payload()


def test_an_unknown_class_arrives_as_a_plain_error() -> None:
    assert type(from_wire({"type": "Exception", "error": "e", "code": "c"})) is PyroError


def test_wrong_usage_ends_with_2_and_everything_else_with_1() -> None:
    assert UsageError("x").exit_status == 2
    assert {kind.exit_status for kind in PyroError.__subclasses__() if kind is not UsageError} == {1}


def test_the_tree_in_the_module_text_names_every_class() -> None:
    for kind in PyroError.__subclasses__():
        assert kind.__name__ in (errors.__doc__ or "")
