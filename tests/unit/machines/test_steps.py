"""Starting and undoing by named steps."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from pyro_mcp.errors import VmmError
from pyro_mcp.machines.assembly import Assembly, run_steps, undo_steps
from pyro_mcp.machines.plan import MachinePlan, WorkspaceDisks
from pyro_mcp.machines.steps import COLD_START, HOST_START, adoption_steps, start_steps, template_steps
from pyro_mcp.vmm.registry import named


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


PLAN = MachinePlan(
    vm_id="vm-1",
    directory=Path("/state/vm-1"),
    uid=None,
    driver=named("qemu", Path("/none")),
    environment=None,
    initramfs=Path("/cache/initrd"),
    blank_scratch=None,
    vcpu_count=1,
    mem_mib=512,
    tsc_khz=1,
    boot_timeout_seconds=1.0,
    on_process=lambda _: None,
    workspace=WorkspaceDisks(Path("/b"), Path("/c"), Path("/e")),
)


def test_secrets_are_given_last_to_who_has_some_and_never_before_a_machine_is_saved() -> None:
    assert "secrets" not in [step.name for step in start_steps(PLAN)]
    plan = replace(PLAN, secrets=lambda: {"A": "canary"})
    assert [step.name for step in start_steps(plan)][-2:] == ["workspace", "secrets"]
    for kept in (False, True):
        assert "secrets" not in [step.name for step in template_steps(replace(plan, kept=kept))]
    assert "secrets" not in [step.name for step in adoption_steps(plan)]
    assert "canary" not in repr(plan)
