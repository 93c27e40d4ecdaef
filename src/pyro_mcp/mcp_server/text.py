"""What a model reads of a result: short, and never mistaken for anything but data.

The structured result has all of it; a text of a megabyte would only push the conversation out of the model's sight.
Whatever comes from a guest stands behind a bar, line by line: it cannot write what stands before one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import Any

from pyro_mcp.errors import PyroError
from pyro_mcp.model.printable import printable

OUTPUT_CHARACTERS = 16_000
"""Of each output stream, file, patch and list: half from its beginning and half from its end."""

_MESSAGE_CHARACTERS = 2_000
_LOGGED_CHARACTERS = 2_000
"""Of each output of a command in the history, which has many."""

_COMMAND = (
    "exit_code", "timed_out", "duration_ms", "isolation", "execution_mode", "environment", "vm_id", "workspace_id",
    "sequence", "cwd",
)  # fmt: skip
_LOGGED = ("sequence", "exit_code", "state", "duration_ms", "cwd", "command", "recorded_at")
_SERVICE = ("workspace_id", "service_name", "state", "exit_code", "stop_reason", "command", "tail_lines", "truncated")
_SHELL = (
    "workspace_id", "shell_id", "state", "exit_code", "cols", "rows", "cwd", "cursor", "next_cursor", "truncated",
    "lost_bytes",
)  # fmt: skip
_FILE = ("workspace_id", "size_bytes", "truncated", "path")
_CHANGES = ("workspace_id", "changed", "summary")


def payload_text(payload: Mapping[str, Any]) -> str:
    """A payload as text: JSON, but what a guest said or holds line by line."""
    if "output" in payload:
        written = payload["output"].replace("\r\n", "\n")  # how lines end on a terminal
        return _joined(_facts(payload, _SHELL), _block("output", "what the terminal wrote", written))
    if "service_name" in payload and "stdout" in payload:
        streams = (_block(name, "what the service wrote", payload[name]) for name in ("stdout", "stderr"))
        return _joined(_facts(payload, _SERVICE), *streams)
    if "stdout" in payload:
        return _joined(_facts(payload, _COMMAND), *_streams(payload, OUTPUT_CHARACTERS))
    if "content" in payload:
        return _joined(_facts(payload, _FILE), _block("content", "what the file holds", payload["content"]))
    if "entries" not in payload:
        return printable(json.dumps(payload, ensure_ascii=True), limit=OUTPUT_CHARACTERS)
    if "recursive" in payload:
        listed = _list("entries", map(_file, payload["entries"]))
        return _joined(_facts(payload, ("workspace_id", "path", "recursive")), listed)
    if "count" in payload:
        return _history(payload)
    entries = (f"{entry['status']} {_line(entry['path'])}" for entry in payload["entries"])
    blocks = [_facts(payload, _CHANGES), _list("entries", entries)]
    if "patch_truncated" in payload:  # otherwise it is the patch that the model itself gave
        blocks.append(_block("patch", "what changed in texts", payload["patch"]))
    return _joined(*blocks)


def error_text(error: PyroError) -> str:
    """`code: message; hint`, on one line."""
    text = f"{error.code}: {error.message}" + (f"; {error.hint}" if error.hint else "")
    return printable(text, limit=_MESSAGE_CHARACTERS)


def _joined(*blocks: str) -> str:
    return "\n".join(blocks)


def _facts(payload: Mapping[str, Any], names: Sequence[str]) -> str:
    return " ".join(f"{name}={printable(json.dumps(payload[name]))}" for name in names if name in payload)


def _streams(payload: Mapping[str, Any], limit: int) -> list[str]:
    def kept(name: str) -> str:
        cut = payload.get(f"{name}_truncated", False)
        return "beginning and end of what the command wrote" if cut else "what the command wrote"

    return [_block(name, kept(name), payload[name], limit) for name in ("stdout", "stderr")]


def _history(payload: Mapping[str, Any]) -> str:
    """The last commands, as many as there is room for, oldest first."""
    shown: list[str] = []
    room = OUTPUT_CHARACTERS
    for entry in reversed(payload["entries"]):
        text = _joined(_facts(entry, _LOGGED), *_streams(entry, _LOGGED_CHARACTERS))
        room -= len(text)
        if room < 0 and shown:
            break
        shown.insert(0, text)
    left_out = payload["count"] - len(shown)
    earlier = [f"({left_out} earlier commands left out)"] if left_out else []
    return _joined(_facts(payload, ("workspace_id", "count")), *earlier, *shown)


def _file(entry: Mapping[str, Any]) -> str:
    target = entry["link_target"]
    name = _line(entry["path"]) + ("" if target is None else f" -> {_line(target)}")
    return f"{entry['artifact_type']} {entry['size_bytes']} {name}"


def _list(name: str, lines: Iterable[str]) -> str:
    return _block(name, "one per line", "\n".join(lines))


def _block(name: str, what: str, text: str, limit: int = OUTPUT_CHARACTERS) -> str:
    if not text:
        return f"{name}: empty"
    head, left_out, tail = _ends(text, limit)
    lines = _quoted(head)
    if left_out:
        lines += [f"({left_out} characters left out)", *_quoted(tail)]
    return "\n".join([f"{name}, {what}, as data:", *lines])


def _ends(text: str, limit: int) -> tuple[str, int, str]:
    """Beginning, number of characters between, end: errors stand at the end, what led to them at the beginning.

    As written, escapes and bars included, they have at most `limit` characters.
    """
    if len(text) <= limit and sum(map(_length, text)) <= limit:
        return text.removesuffix("\n"), 0, ""
    head = text[: _fitting(text, limit // 2)]
    tail = text[-_fitting(reversed(text), limit // 2) :]
    return head, len(text) - len(head) - len(tail), tail.removesuffix("\n")


def _fitting(characters: Iterable[str], room: int) -> int:
    """How many of them can be written in so much room."""
    return sum(1 for _ in takewhile(lambda length: length <= room, accumulate(map(_length, characters))))


def _length(character: str) -> int:
    return len(printable(character))  # a newline's is that of the bar before the next line


def _quoted(text: str) -> list[str]:
    return [f"| {_line(line)}" for line in text.split("\n")]


def _line(text: str) -> str:
    return printable(text, limit=OUTPUT_CHARACTERS)
