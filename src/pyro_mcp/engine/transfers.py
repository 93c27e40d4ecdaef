"""Whole trees into a workspace and out of it, as tar streams between this host and the guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from pyro_mcp.agent.messages import integer_of
from pyro_mcp.agent.wire import violation
from pyro_mcp.agent.work import Work
from pyro_mcp.engine.refusals import explained
from pyro_mcp.engine.seeds import mode_of, names
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import PyroError
from pyro_mcp.host import archive, tree
from pyro_mcp.host.decompress import decompressed
from pyro_mcp.model.paths import in_guest, workspace_path
from pyro_mcp.model.workspace import SeedMode
from pyro_mcp.model.workspace_payloads import ExportPayload, WorkspaceSyncPayload

_PIECE_BYTES = 256 << 10
_SKIPPED_NAMED = 100


class Transfers:
    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def push(self, workspace_id: object, source: Path, dest: object) -> WorkspaceSyncPayload:
        """Bring what is in `source`, a directory or an archive, into `dest`: all of it, or nothing."""
        target = workspace_path("dest", dest)
        async with self._workspaces.working(workspace_id) as (record, machine):
            mode = await asyncio.to_thread(mode_of, source, "source")
            self._workspaces.touch(record.workspace_id)
            with ExitStack() as opened, explained(target):
                pieces, skipped = await in_thread(lambda: _pieces(source, mode, opened))
                async with machine.work("push", {"path": in_guest(target)}, _sent(pieces)) as work:
                    result = await work.result()
        left_out, left_out_count = left_out_of(result)
        return {
            "workspace_id": record.workspace_id,
            "workspace_sync": {
                "mode": mode.value,
                "source_path": str(source),
                "destination": target,
                "entry_count": integer_of(result, "entries"),
                "bytes_written": integer_of(result, "bytes"),
                "skipped": [*names(skipped[:_SKIPPED_NAMED]), *left_out],
                "skipped_count": len(skipped) + left_out_count,
            },
        }

    async def export(self, workspace_id: object, path: object, output: Path) -> ExportPayload:
        """Take a file or directory out, to `output`, which must not exist: all of it, or nothing."""
        target = workspace_path("path", path)
        async with self._workspaces.working(workspace_id) as (record, machine):
            with explained(target):
                async with machine.work("export", {"path": in_guest(target)}) as work:
                    made = await _placed(work, output)
                    left_out, left_out_count = left_out_of(await work.result())
        return {
            "workspace_id": record.workspace_id,
            "workspace_path": target,
            "output_path": str(output),
            "artifact_type": made.type.value,
            "entry_count": made.entries,
            "bytes_written": made.bytes,
            "skipped": [*names(made.skipped[:_SKIPPED_NAMED]), *left_out],
            "skipped_count": made.skipped_count + left_out_count,
        }


def _pieces(source: Path, mode: SeedMode, opened: ExitStack) -> tuple[Iterator[bytes], tuple[bytes, ...]]:
    """The tar stream of `source`, and what of it is left out."""
    if mode is SeedMode.ARCHIVE:
        read = opened.enter_context(decompressed(source))
        return iter(lambda: read(_PIECE_BYTES), b""), ()
    root = source.resolve()
    found = tree.survey(root)
    return tree.tar_chunks(root), tuple(found.skipped)


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    # Waited for also when we are cancelled: what it reads from must not be closed under it.
    while (piece := await in_thread(lambda: next(pieces, None))) is not None:
        yield piece


async def _placed(work: Work, output: Path) -> archive.Unpacked:
    """Unpack the answer of `work` in a thread, which asks this loop for each piece."""
    loop = asyncio.get_running_loop()

    waiting: asyncio.Task[bytes] | None = None
    stopped = False

    async def piece() -> bytes:
        nonlocal waiting
        if stopped:
            raise PyroError("the export was broken off", code="cancelled")
        waiting = asyncio.create_task(work.read())
        return await waiting

    pieces = _Pieces(lambda: asyncio.run_coroutine_threadsafe(piece(), loop).result())
    placing = asyncio.create_task(asyncio.to_thread(archive.place, pieces, output))
    try:
        return await asyncio.shield(placing)
    except asyncio.CancelledError:
        stopped = True
        if waiting is not None:
            waiting.cancel()
        await asyncio.wait({placing})  # it meets either of these, and undoes what it did
        raise


class _Pieces:
    """A blocking `read(count)` over pieces of any size."""

    def __init__(self, piece: Callable[[], bytes]) -> None:
        self._piece = piece
        self._left = b""

    def __call__(self, count: int) -> bytes:
        if not self._left:
            self._left = self._piece()
        data, self._left = self._left[:count], self._left[count:]
        return data


def left_out_of(result: Mapping[str, object]) -> tuple[list[str], int]:
    """Names of some of the sockets, FIFOs and devices that a guest left out, and how many there were."""
    listed = result.get("skipped") or []
    if not isinstance(listed, list) or len(listed) > _SKIPPED_NAMED:
        raise violation("sent a list of what it left out that is none")
    if not all(isinstance(name, str) for name in listed):
        raise violation("sent a list of what it left out that is none")
    return listed, integer_of(result, "skipped_count")
