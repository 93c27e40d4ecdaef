"""Processes are told apart for good, waited for without polling, and outlive who started them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pyro_mcp.host import process
from pyro_mcp.model.machine import ProcessIdentity


@asynccontextmanager
async def sleeping() -> AsyncIterator[ProcessIdentity]:
    child = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        yield process.identify(child.pid)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_process_is_killed_once() -> None:
    async with sleeping() as identity:
        assert await process.kill_and_wait(identity)
        assert not await process.kill_and_wait(identity)


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "00000000-0000-0000-0000-000000000000"}])
async def test_a_process_with_a_reused_pid_is_left_alone(change: dict[str, object]) -> None:
    async with sleeping() as identity:
        forged = replace(identity, **change)  # type: ignore[arg-type]
        assert process.open_pidfd(forged) is None
        assert not await process.kill_and_wait(forged)
        assert process.identify(identity.pid) == identity


def test_a_process_that_nobody_has_reaped_yet_has_ended() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    identity = process.identify(pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert process.open_pidfd(identity) is None
    os.waitpid(pid, 0)


def test_a_pid_that_nobody_has_names_nothing() -> None:
    with pytest.raises(ProcessLookupError):
        process.identify(2**22 + 1)


async def test_a_name_with_parentheses_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 ("
    program.symlink_to("/bin/sleep")
    child = await asyncio.create_subprocess_exec(program, "1000")
    try:
        named = process.identify(child.pid)
        assert named.start_ticks >= process.identify(os.getpid()).start_ticks
    finally:
        child.kill()
        await child.wait()


async def output_of(command: str, inherit: tuple[int, ...] = ()) -> str:
    """All that a detached shell command prints."""
    reading, writing = os.pipe()
    process.spawn_detached(("sh", "-c", command), output=writing, inherit=inherit)
    os.close(writing)
    return await asyncio.to_thread(read_all, reading)


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor) as file:
        return file.read()


async def test_a_detached_process_has_a_session_of_its_own_and_no_input() -> None:
    lines = (await output_of("cut -d' ' -f6 /proc/self/stat; echo $$; echo error >&2; cat")).split()
    assert lines == [lines[1], lines[1], "error"]


async def test_a_detached_process_inherits_what_it_is_given_and_nothing_else() -> None:
    given, kept_back = os.memfd_create("given"), os.memfd_create("kept back", 0)
    try:
        names = await output_of("ls -l /proc/$$/fd", inherit=(given,))
    finally:
        os.close(given)
        os.close(kept_back)
    assert f" {given} -> /memfd:given" in names
    assert "kept back" not in names


async def test_a_detached_process_is_reaped_when_it_ends(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with (tmp_path / "log").open("wb") as file:
        process.spawn_detached(("cat", f"/proc/self/fd/{reading}"), output=file.fileno(), inherit=(reading,))
    os.close(reading)
    (identity,) = process.with_output_beneath(tmp_path)
    descriptor = process.open_pidfd(identity)
    assert descriptor is not None
    os.close(writing)
    async with asyncio.timeout(10):
        await process.wait_gone(descriptor)
    os.close(descriptor)
    with pytest.raises(ProcessLookupError):
        process.identify(identity.pid)


async def test_the_group_of_a_detached_process_is_killed_while_it_lives(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        child = process.spawn_detached(("sleep", "1000"), output=file.fileno())
    (member,) = process.with_output_beneath(tmp_path)
    descriptor = process.open_pidfd(member)
    assert descriptor is not None
    child.kill_group()
    async with asyncio.timeout(10):
        await process.wait_gone(descriptor)
    os.close(descriptor)
    child.kill_group()


async def test_processes_are_found_by_where_their_output_goes(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "inside-not"
    inside.mkdir()
    outside.mkdir()
    for directory in (inside, outside):
        with (directory / "log").open("wb") as file:
            process.spawn_detached(("sleep", "1000"), output=file.fileno())
    found = process.with_output_beneath(inside)
    assert list(found.values()) == [inside / "log"]
    for identity in (*found, *process.with_output_beneath(outside)):
        await process.kill_and_wait(identity)
    assert process.with_output_beneath(tmp_path) == {}
