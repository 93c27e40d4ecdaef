"""How large a tree may be that pyro takes from or gives to somebody: one set of bounds for archives and directories."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """At most this much, each; all but `entries` and `depth` in bytes."""

    entries: int = 1_000_000
    total_bytes: int = 64 << 30
    """Of all files together, holes included."""
    path: int = 4096
    depth: int = 256
    """Of components in a path."""
    name: int = 255
    target: int = 4095
    """Of a symlink's text."""


LIMITS = Limits()
