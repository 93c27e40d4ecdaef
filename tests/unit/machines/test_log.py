"""What a process in a jail printed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pyro_mcp.machines.log import Log


async def test_a_waiter_hears_what_is_printed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    writer = os.dup(log.make())
    log.follow()
    waiting = asyncio.create_task(log.printed("two\n"))
    os.write(writer, b"one\n")
    assert not (await asyncio.wait({waiting}, timeout=0.02))[0]
    os.write(writer, b"two\n")
    async with asyncio.timeout(10):
        await waiting
    os.close(writer)
    log.close()


async def test_what_is_kept_is_the_last_that_was_printed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    writer = os.dup(log.make())
    log.follow()
    loop, full = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(writer, full.set)
    async with asyncio.timeout(10):
        for number in range(100):
            await full.wait()
            os.write(writer, f"{number}".encode() + b"x" * 2000)
            full.clear()
        os.write(writer, b"the end")
        await log.printed("the end")
    loop.remove_writer(writer)
    assert log.text().endswith("the end")
    assert len(log.text()) == 65536
    os.close(writer)
    log.close()


async def test_a_later_daemon_finds_the_log(tmp_path: Path) -> None:
    earlier, later = Log(tmp_path / "log"), Log(tmp_path / "log")
    writer = os.dup(earlier.make())
    later.reopen()
    later.follow()
    os.write(writer, b"still here")
    async with asyncio.timeout(10):
        await later.printed("still here")
    os.close(writer)
    later.close()
    earlier.close()


async def test_a_log_that_is_not_there_stays_empty(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.reopen()
    log.follow()
    assert log.text() == ""
    log.close()
