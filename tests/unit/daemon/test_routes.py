"""Which operations there are, and what each refuses before the engine sees it."""

from __future__ import annotations

from typing import cast

import pytest

from pyro_mcp.daemon.call import Call
from pyro_mcp.daemon.routes import prepare
from pyro_mcp.errors import NotFoundError, UsageError

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
