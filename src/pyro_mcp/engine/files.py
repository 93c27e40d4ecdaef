"""Files of a workspace by name: listed, read, written; patches applied, changes shown. The guest does all of it."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from pyro_mcp.agent.messages import integer_of
from pyro_mcp.agent.wire import violation
from pyro_mcp.agent.work import Work
from pyro_mcp.engine.refusals import explained
from pyro_mcp.engine.threads import in_thread
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import ConflictError, UsageError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.paths import in_guest, workspace_path
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.workspace import WORKSPACE_PATH
from pyro_mcp.model.workspace_payloads import (
    DiffEntryPayload,
    DiffPayload,
    FileEntryPayload,
    FileListPayload,
    FileReadPayload,
    FileWritePayload,
    PatchEntryPayload,
    PatchPayload,
)

TEXT_BYTES = 1 << 20
"""Longest text that is read or written whole."""
PATCH_BYTES = 2 << 20
_LISTED_BYTES = 8 << 20
_COMPARED_BYTES = 64 << 20
_LINE_BYTES = 4 << 20
_TYPES = frozenset({"file", "directory", "symlink", "other"})
_NOTHING = Redactor()
_STATUSES = ("added", "modified", "deleted", "type_changed")


class Files:
    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def list(self, workspace_id: object, path: object, *, recursive: bool) -> FileListPayload:
        """What a directory holds, sorted by path; a file or a link by itself."""
        target = workspace_path("path", path)
        async with self._workspaces.working(workspace_id) as (record, machine):
            return await list_files(record.workspace_id, machine, target, recursive=recursive)

    async def read(
        self, workspace_id: object, path: object, *, max_bytes: int, redactor: Redactor = _NOTHING
    ) -> FileReadPayload:
        """A text file's first `max_bytes`, cut between two characters, and before what may be the beginning of a value
        that `redactor` finds. Raises UsageError `not-text` for other files."""
        target = workspace_path("path", path)
        async with self._workspaces.working(workspace_id) as (record, machine):
            return await read_file(record.workspace_id, machine, target, max_bytes=max_bytes, redactor=redactor)

    async def write(self, workspace_id: object, path: object, text: object) -> FileWritePayload:
        """Make a file hold `text`, atomically; directories above it are made."""
        target = workspace_path("path", path)
        data = _bytes_of(text, "text", TEXT_BYTES)
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained(target):
                async with machine.work("write", {"path": in_guest(target)}, _once(data)) as work:
                    await work.result()
        return {
            "workspace_id": record.workspace_id,
            "path": target,
            "size_bytes": len(data),
            "bytes_written": len(data),
        }

    async def patch(self, workspace_id: object, patch: object, *, redactor: Redactor = _NOTHING) -> PatchPayload:
        """Apply a unified diff: all of it, or nothing."""
        data = _bytes_of(patch, "patch", PATCH_BYTES)
        async with self._workspaces.working(workspace_id) as (record, machine):
            self._workspaces.touch(record.workspace_id)
            with explained("the patch"):
                async with machine.work("patch", {}, _once(data)) as work:
                    entries = [_patch_entry(line) async for line in _lines(work, _LISTED_BYTES)]
                    await work.result()
        assert isinstance(patch, str)
        return {
            "workspace_id": record.workspace_id,
            "changed": bool(entries),
            "summary": _summary(entries, ("added", "modified", "deleted")),
            "entries": entries,
            "patch": redactor.redact_patch(patch),
        }

    async def diff(self, workspace_id: object, *, patches: bool = True, redactor: Redactor = _NOTHING) -> DiffPayload:
        """Every change since the baseline, with what changed within texts unless `patches` is false."""
        async with self._workspaces.working(workspace_id) as (record, machine):
            with explained(WORKSPACE_PATH):
                async with machine.work("diff", {"patches": patches, "hard_links": record.seed.hard_links}) as work:
                    entries = [_diff_entry(line) async for line in _lines(work, _COMPARED_BYTES)]
                    result = await work.result()
        if redactor:
            await in_thread(lambda: _redact(entries, redactor))
        texts = [entry["text_patch"] for entry in entries if entry["text_patch"] is not None]
        summary = _summary(entries, _STATUSES)
        summary.update(text_patched=len(texts), non_text=len(entries) - len(texts))
        return {
            "workspace_id": record.workspace_id,
            "changed": bool(entries),
            "summary": summary,
            "entries": entries,
            "patch": "".join(texts),
            "patch_truncated": result.get("truncated") is True,
        }


async def list_files(workspace_id: str, machine: Machine, target: str, *, recursive: bool) -> FileListPayload:
    """What the guest has at `target`, an absolute path in normal form."""
    top, path = _rooted(target)
    parameters = {"path": path, "recursive": recursive, "whole": top != WORKSPACE_PATH}
    with explained(target):
        async with machine.work("list", parameters) as work:
            entries = [_file_entry(line, top) async for line in _lines(work, _LISTED_BYTES)]
            await work.result()
    return {"workspace_id": workspace_id, "path": target, "recursive": recursive, "entries": entries}


async def read_file(
    workspace_id: str, machine: Machine, target: str, *, max_bytes: int, redactor: Redactor
) -> FileReadPayload:
    """The beginning of a text at `target`, an absolute path in normal form. Raises UsageError `not-text`."""
    top, path = _rooted(target)
    parameters = {"path": path, "max_bytes": max_bytes, "whole": top != WORKSPACE_PATH}
    with explained(target):
        async with machine.work("read", parameters) as work:
            data = await work.whole(max_bytes)
            size = integer_of(await work.result(), "size")
    return {
        "workspace_id": workspace_id,
        "path": target,
        "content": text_of(data, target, redactor, cut=size > len(data)),
        "size_bytes": size,
        "max_bytes": max_bytes,
        "truncated": size > len(data),
    }


def _rooted(target: str) -> tuple[str, str]:
    """The tree that a path lies in, /workspace or the whole machine, and what it is in there."""
    if target == WORKSPACE_PATH or target.startswith(f"{WORKSPACE_PATH}/"):
        return WORKSPACE_PATH, in_guest(target)
    return "", target.strip("/") or "."


def text_of(data: bytes, path: str, redactor: Redactor, *, cut: bool) -> str:
    """Raises UsageError `not-text`. With `cut` the last character may be incomplete, and is left out then.

    So is what may be the beginning of a value there, of which nobody could tell any more once it has been cut.
    """
    text = _decoded(data, path, cut=cut)
    if not cut or not redactor:
        return text
    return redactor.window(text.encode(), starts_cut=False, ends_cut=True)[0].decode("utf-8", "replace")


def _decoded(data: bytes, path: str, *, cut: bool) -> str:
    try:
        if b"\0" in data:
            raise ValueError("a NUL character")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data" and error.start > len(data) - 4:
            return data[: error.start].decode("utf-8")
    except ValueError:
        pass
    raise UsageError(
        f"{path} is not UTF-8 text", code="not-text", hint="`pyro workspace export` takes files of any kind"
    )


def _bytes_of(text: object, name: str, limit: int) -> bytes:
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a text")
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} is not valid UTF-8") from error
    if len(data) > limit:
        raise UsageError(
            f"{name} has {len(data)} bytes; at most {limit} can be given",
            code="file-too-large",
            hint="`pyro workspace sync push` brings files of any size",
            details={"size": len(data), "limit": limit},
        )
    return data


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _lines(work: Work, limit: int) -> AsyncIterator[Mapping[str, object]]:
    """The objects of an answer in NDJSON. Raises ConflictError `too-many-entries` for more than `limit` bytes."""
    rest, total = b"", 0
    while data := await work.read():
        total += len(data)
        if total > limit:
            raise ConflictError(
                "there is more to tell than can be told at once",
                code="too-many-entries",
                hint="ask for single directories, or export the tree",
            )
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield _object(line)
    if rest:
        raise violation("ended its answer within a line")


def _object(line: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(line) if len(line) <= _LINE_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise violation("sent a line that is no object")
    return value


def _name(entry: Mapping[str, object], key: str) -> str | None:
    """A name as text: what of it is not UTF-8 is shown as `\\xNN`."""
    value, raw = entry.get(key), entry.get(f"raw_{key}")
    if isinstance(raw, str):
        try:
            return base64.b64decode(raw, validate=True).decode("utf-8", "backslashreplace")
        except binascii.Error:
            raise violation(f"sent a raw {key} that is not base64") from None
    if value is not None and not isinstance(value, str):
        raise violation(f"sent a {key} that is no text")
    return value


def _path(entry: Mapping[str, object], top: str = WORKSPACE_PATH) -> str:
    name = _name(entry, "path")
    if not name:
        raise violation("sent an entry without a path")
    return top or "/" if name == "." else f"{top}/{name}"


def _one_of(entry: Mapping[str, object], key: str, allowed: Iterator[str] | frozenset[str] | tuple[str, ...]) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or value not in allowed:
        raise violation(f"sent a {key} that has no meaning")
    return value


def _file_entry(line: Mapping[str, object], top: str) -> FileEntryPayload:
    return {
        "path": _path(line, top),
        "artifact_type": _one_of(line, "type", _TYPES),
        "size_bytes": integer_of(line, "size"),
        "link_target": _name(line, "target"),
    }


def _redact(entries: Sequence[DiffEntryPayload], redactor: Redactor) -> None:
    for entry in entries:
        if entry["text_patch"] is not None:
            entry["text_patch"] = redactor.redact_patch(entry["text_patch"])


def _diff_entry(line: Mapping[str, object]) -> DiffEntryPayload:
    patch = line.get("patch")
    if patch is not None and not isinstance(patch, str):
        raise violation("sent a patch that is no text")
    return {
        "path": _path(line),
        "status": _one_of(line, "status", _STATUSES),
        "artifact_type": _one_of(line, "type", _TYPES),
        "text_patch": patch,
    }


def _patch_entry(line: Mapping[str, object]) -> PatchEntryPayload:
    return {"path": _path(line), "status": _one_of(line, "status", _STATUSES)}


def _summary(entries: list[DiffEntryPayload] | list[PatchEntryPayload], names: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(entry["status"] for entry in entries)
    return {"total": len(entries), **{name: counts[name] for name in names}}
