"""Which operations there are, and what each refuses before the engine sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from pyro_mcp.daemon.call import Call, Payload
from pyro_mcp.daemon.redacted import Redaction
from pyro_mcp.daemon.routes import prepare
from pyro_mcp.errors import NotFoundError, UsageError
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.workspace import WorkspaceRecord
from tests.unit.engine.test_secrets import ONE, RECORD

CALL = cast(Call, None)


def test_an_unknown_operation_is_not_found() -> None:
    for name in ("", "no_such", "__class__", "prepare", "x" * 10_000):
        with pytest.raises(NotFoundError) as refused:
            prepare(name, CALL, {})
        assert refused.value.code == "operation-not-found"
        assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status_vm", {}),
        ("status_vm", {"vm_id": "x", "more": 1}),
        ("status_vm", {"call": 1}),
        ("reap_expired", {"vm_id": "x"}),
        ("exec_vm", {"vm_id": "x"}),
    ],
)
def test_arguments_that_are_not_its_own_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=name):
        prepare(name, CALL, arguments)


async def test_an_unknown_machine_parameter_is_named() -> None:
    with pytest.raises(UsageError, match="colour"):
        await prepare("create_vm", CALL, {"environment": "e", "colour": "red"})


class Described:
    """The workspaces of an engine: one, which can be described."""

    def __init__(self) -> None:
        self.record = RECORD

    def find(self, _workspace_id: object) -> WorkspaceRecord:
        return self.record

    def describe(self, _workspace_id: object, *, name: str | None, labels: Mapping[str, str]) -> None:
        self.record = dataclasses.replace(self.record, name=name, labels=labels)


async def update(workspaces: Described, **arguments: object) -> Mapping[str, str]:
    async def workspace(_workspace_id: object) -> Payload:
        return {}

    engine = SimpleNamespace(workspaces=workspaces, workspace=workspace)
    call = cast(Call, SimpleNamespace(engine=engine, redaction=Redaction(Redactor(["hunter2"]))))
    await prepare("update_workspace", call, {"workspace_id": ONE, **arguments})
    return workspaces.record.labels


async def test_a_label_that_redaction_made_longer_hinders_no_later_update() -> None:
    workspaces = Described()
    assert (await update(workspaces, labels={"a": "hunter2 " * 32}))["a"] == "[REDACTED] " * 32
    assert await update(workspaces, labels={"b": "x"}) == {"a": "[REDACTED] " * 32, "b": "x"}
    assert await update(workspaces, name="new", clear_labels=["b"]) == {"a": "[REDACTED] " * 32}


async def test_labels_are_measured_as_they_are_given_and_counted_as_they_are_stored() -> None:
    workspaces = Described()
    with pytest.raises(UsageError, match="256"):
        await update(workspaces, labels={"a": "x" * 257})
    await update(workspaces, labels={f"k{number}": "" for number in range(64)})
    with pytest.raises(UsageError, match="64"):
        await update(workspaces, labels={"one-more": ""})
    assert len(await update(workspaces, labels={"one-more": ""}, clear_labels=["k0"])) == 64
