"""Small work on text that several rooms need."""

from __future__ import annotations


def last_lines(text: str, count: int) -> str:
    """The last `count` lines of `text` that are not blank, without a newline at the end."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])
