"""What a tool is: a method of the SDK, and what a model is told about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from pyro_mcp.mcp_server.parameters import PARAMETERS
from pyro_mcp.mcp_server.schema import Schema, input_schema, output_schema


@dataclass(frozen=True, slots=True)
class Tool:
    """A method of the SDK under the name a model calls it by.

    The flags are MCP's hints: `destructive` may end, change or delete what existed before, `idempotent` says that a
    second call changes nothing more, `open_world` that the outside may be reached. `parameters` are texts of its own,
    in place of those in `PARAMETERS`; `hidden` are parameters that a model cannot give.
    """

    name: str
    method: Callable[..., object]
    title: str
    text: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def without(self, parameters: frozenset[str]) -> Self:
        return replace(self, hidden=self.hidden | parameters)

    @property
    def input_schema(self) -> Schema:
        return input_schema(self.method, {**PARAMETERS, **self.parameters}, hidden=self.hidden)

    @property
    def output_schema(self) -> Schema:
        return output_schema(self.method)
