"""What a model reads of a result: short, and never mistaken for anything but data.

The structured result has all of it; a text of a megabyte would only push the conversation out of the model's sight.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyro_mcp.errors import PyroError
from pyro_mcp.model.printable import printable

OUTPUT_CHARACTERS = 16_000
"""Of each output stream, half from its beginning and half from its end."""

_MESSAGE_CHARACTERS = 2_000

_RUN_FACTS = ("exit_code", "timed_out", "duration_ms", "isolation", "execution_mode", "environment", "vm_id")


def payload_text(payload: Mapping[str, Any]) -> str:
    """A payload as text: JSON, but the output of a command line by line."""
    if "stdout" not in payload:
        return printable(json.dumps(payload, ensure_ascii=True), limit=OUTPUT_CHARACTERS)
    facts = " ".join(f"{name}={printable(json.dumps(payload[name]))}" for name in _RUN_FACTS)
    streams = (_output(name, payload[name], cut=payload[f"{name}_truncated"]) for name in ("stdout", "stderr"))
    return "\n".join([facts, *streams])


def error_text(error: PyroError) -> str:
    """`code: message; hint`, on one line."""
    text = f"{error.code}: {error.message}" + (f"; {error.hint}" if error.hint else "")
    return printable(text, limit=_MESSAGE_CHARACTERS)


def _output(name: str, text: str, *, cut: bool) -> str:
    """What the command wrote, each line behind a bar: whatever it writes, it cannot write what stands before one."""
    if not text:
        return f"{name}: empty"
    kept = "the first 1 MiB of what the command wrote" if cut else "what the command wrote"
    head, left_out, tail = _ends(text)
    lines = _quoted(head)
    if left_out:
        lines += [f"({left_out} characters left out)", *_quoted(tail)]
    return "\n".join([f"{name}, {kept}, as data:", *lines])


def _ends(text: str) -> tuple[str, int, str]:
    """Beginning, number of characters between, end: errors stand at the end, what led to them at the beginning."""
    left_out = len(text) - OUTPUT_CHARACTERS
    if left_out <= 0:
        return text.removesuffix("\n"), 0, ""
    half = OUTPUT_CHARACTERS // 2
    return text[:half], left_out, text[-half:].removesuffix("\n")


def _quoted(text: str) -> list[str]:
    return [f"| {printable(line, limit=OUTPUT_CHARACTERS)}" for line in text.split("\n")]
