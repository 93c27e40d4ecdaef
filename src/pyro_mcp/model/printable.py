"""Text from places that are not trusted, made fit to stand in a message."""

from __future__ import annotations

import unicodedata

# Cc and Cf move cursors and reorder text, Cs cannot be encoded, Zl and Zp break a line that must stay one.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str, limit: int = 500) -> str:
    """One line of at most about `limit` characters: what a terminal would act upon is shown as an escape.

    Newlines become ` | ` so that several lines stay readable as one.
    """
    shown = text[:limit]
    escaped = "".join(_escape(character) for character in " | ".join(shown.split("\n")))
    return escaped + "…" if len(text) > limit else escaped


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
