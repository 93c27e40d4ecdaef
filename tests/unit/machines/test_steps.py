"""Starting and undoing by named steps."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pyro_mcp.errors import VmmError
from pyro_mcp.machines.plan import MachinePlan
from pyro_mcp.machines.steps import COLD_START, HOST_START, Assembly, run_steps, undo_steps


class Recorded:
    """A step that writes down what is done to it."""

    def __init__(
        self, name: str, log: list[str], *, fails: BaseException | None = None, undo_fails: bool = False
    ) -> None:
        self.name = name
        self._log = log
        self._fails = fails
        self._undo_fails = undo_fails

    async def do(self, _machine: Assembly) -> None:
        self._log.append(f"do {self.name}")
        if self._fails is not None:
            raise self._fails

    async def undo(self, _machine: Assembly) -> None:
        self._log.append(f"undo {self.name}")
        if self._undo_fails:
            raise OSError(self.name)


@pytest.fixture
def machine() -> Assembly:
    return Assembly(cast(MachinePlan, None))


async def test_each_step_is_timed_under_its_name(machine: Assembly) -> None:
    log: list[str] = []
    await run_steps(machine, [Recorded("a", log), Recorded("b", log)])

    assert log == ["do a", "do b"]
    assert list(machine.timings_ms) == ["a", "b"]


async def test_a_failing_step_is_undone_with_those_before_it_last_first(machine: Assembly) -> None:
    log: list[str] = []
    failing = Recorded("b", log, fails=VmmError("no"))
    with pytest.raises(VmmError) as failed:
        await run_steps(machine, [Recorded("a", log), failing, Recorded("c", log)])

    assert log == ["do a", "do b", "undo b", "undo a"]
    assert failed.value.details["step"] == "b"


async def test_cancelling_undoes_too(machine: Assembly) -> None:
    log: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await run_steps(machine, [Recorded("a", log), Recorded("b", log, fails=asyncio.CancelledError())])

    assert log[-2:] == ["undo b", "undo a"]


async def test_an_undo_that_fails_does_not_keep_others_from_being_undone(machine: Assembly) -> None:
    log: list[str] = []
    with pytest.raises(OSError, match="b"):
        await undo_steps(machine, [Recorded("a", log), Recorded("b", log, undo_fails=True), Recorded("c", log)])

    assert log == ["undo c", "undo b", "undo a"]


def test_the_names_of_the_steps_are_public_and_unique() -> None:
    assert [step.name for step in COLD_START] == ["directory", "scratch", "vmm", "agent", "identity", "mount"]
    assert [step.name for step in HOST_START] == ["directory", "workspace", "vmm", "agent"]
