"""What is on the disks of a stopped workspace.

A helper machine looks at copies of them: this host neither mounts nor parses what a guest has written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pyro_mcp.disk.clone import fill
from pyro_mcp.disk.ext4 import blank
from pyro_mcp.engine.files import list_files, read_file
from pyro_mcp.engine.launchpad import Launchpad
from pyro_mcp.engine.refusals import explained
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.transfers import left_out_of
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.host.files import allocated_bytes
from pyro_mcp.host.outside import new_place
from pyro_mcp.machines.machine import Machine
from pyro_mcp.machines.plan import LASTING
from pyro_mcp.model.paths import machine_path
from pyro_mcp.model.record import MachineRecord, MachineState
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.model.workspace_payloads import DiskExportPayload, FileListPayload, FileReadPayload

# What an image has beyond the bytes in it: tables, and room for blocks that are not full.
_SPARE_BYTES = 512 << 20
_GRAIN_BYTES = 64 << 20
_IMAGE = "image.ext4"


class Disks:
    def __init__(self, workspaces: Workspaces, launchpad: Launchpad) -> None:
        self._workspaces = workspaces
        self._launchpad = launchpad

    async def list(self, workspace_id: object, path: object, *, recursive: bool) -> FileListPayload:
        """As `Files.list`, anywhere in the stopped guest."""
        target = machine_path("path", path)
        async with self._looking_at(workspace_id) as (record, machine):
            return await list_files(record.workspace_id, machine, target, recursive=recursive)

    async def read(self, workspace_id: object, path: object, *, max_bytes: int, redactor: Redactor) -> FileReadPayload:
        """As `Files.read`, anywhere in the stopped guest."""
        target = machine_path("path", path)
        async with self._looking_at(workspace_id) as (record, machine):
            return await read_file(record.workspace_id, machine, target, max_bytes=max_bytes, redactor=redactor)

    async def export(self, workspace_id: object, output: Path) -> DiskExportPayload:
        """One ext4 image of everything that the stopped guest had, at `output`, which must not exist."""
        async with self._stopped(workspace_id) as (record, machine):
            with new_place(output) as (parent, name):
                size = await asyncio.to_thread(self._size, record, machine)
                image = self._workspaces.images.aside(record.workspace_id, _IMAGE)
                try:
                    await in_thread(lambda: blank(image, size, journal_mib=16))
                    async with self._launchpad.helper(machine, image=image) as helper:
                        with explained(str(output)):
                            async with helper.work("image", {"device": helper.devices["image"]}) as work:
                                result = await work.result()
                    await in_thread(lambda: _hand_over(image, parent, name))
                finally:
                    image.unlink(missing_ok=True)
            written = await asyncio.to_thread(allocated_bytes, output)
        skipped, skipped_count = left_out_of(result)
        return {
            "workspace_id": record.workspace_id,
            "output_path": str(output),
            "size_bytes": size,
            "bytes_written": written,
            "skipped": skipped,
            "skipped_count": skipped_count,
        }

    @asynccontextmanager
    async def _stopped(self, workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, MachineRecord]]:
        """A stopped workspace that nobody starts meanwhile. Raises ConflictError `workspace-started`."""
        async with self._workspaces.changing(workspace_id) as record:
            machine = self._workspaces.machine_record(record)
            if machine.state is not MachineState.STOPPED:
                raise ConflictError(
                    f"workspace {record.workspace_id} is started: its disks are in use",
                    code="workspace-started",
                    hint=f"`pyro workspace stop {record.workspace_id}` stops it",
                )
            yield record, machine

    @asynccontextmanager
    async def _looking_at(self, workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, Machine]]:
        async with self._stopped(workspace_id) as (record, machine), self._launchpad.helper(machine) as helper:
            yield record, helper

    def _size(self, record: WorkspaceRecord, machine: MachineRecord) -> int:
        """Enough for everything, in whole grains: what the layers take here is no less than what they hold."""
        directory = self._launchpad.directory(machine.vm_id)
        layers = [directory / name for name in LASTING]
        layers += [self._workspaces.images.baseline(record.workspace_id), self._launchpad.rootfs(machine)]
        size = 2 * sum(map(allocated_bytes, layers)) + _SPARE_BYTES
        return -(-size // _GRAIN_BYTES) * _GRAIN_BYTES


def _hand_over(image: Path, parent: Beneath, name: bytes) -> None:
    """A copy of the helper's image as the caller's own file."""
    file = parent.create(name)
    try:
        with image.open("rb") as made:
            fill(made.fileno(), file)
    finally:
        os.close(file)
