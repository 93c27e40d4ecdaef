"""`AsyncPyro` with real guests."""

from __future__ import annotations

import asyncio

import pytest

from pyro_mcp import AsyncPyro
from pyro_mcp.config import Settings
from tests.harness.installation import Installation


def async_sdk(pyro: Installation, monkeypatch: pytest.MonkeyPatch) -> AsyncPyro:
    monkeypatch.setenv("PYRO_STATE_DIR", str(pyro.state_dir))
    return AsyncPyro(Settings.from_environment())


async def test_runs_go_side_by_side_and_their_output_comes_while_they_run(
    pyro: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = async_sdk(pyro, monkeypatch)
    first_output = [asyncio.Event(), asyncio.Event()]
    runs = [
        asyncio.create_task(
            sdk.run_in_vm(
                environment="debian:12", command="echo x; sleep 5", on_output=lambda *_, seen=seen: seen.set()
            )
        )
        for seen in first_output
    ]
    for seen in first_output:
        await seen.wait()
    assert not any(run.done() for run in runs)
    results = await asyncio.gather(*runs)

    assert [result["stdout"] for result in results] == ["x\n", "x\n"]
    assert len({result["vm_id"] for result in results}) == 2


async def test_a_cancelled_run_is_undone_when_the_cancellation_is_over(
    pyro: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = async_sdk(pyro, monkeypatch)
    before = pyro.census()
    started = asyncio.Event()
    run = asyncio.create_task(
        sdk.run_in_vm(environment="debian:12", command="echo x; sleep 100", on_output=lambda *_: started.set())
    )
    await started.wait()

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert pyro.census().leaks_since(before) == {}
    assert (await sdk.daemon_status())["machines"] == 0
