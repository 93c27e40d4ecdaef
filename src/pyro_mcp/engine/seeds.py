"""From what a user names to the baseline of a workspace."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pyro_mcp.disk.baseline import make_baseline
from pyro_mcp.disk.clone import clone
from pyro_mcp.errors import UsageError
from pyro_mcp.host import archive, tree
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.model.workspace import Seed, SeedMode

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
_SKIPPED_NAMED = 100


def make_seed(path: Path | None, baseline: Path, empty: Callable[[], Path]) -> Seed:
    """Make `baseline` of the directory or archive at `path`; without one, a copy of the `empty` one.

    Blocks. What fails leaves no baseline. Raises UsageError (`seed-not-found`, and what `survey` and `unpack` raise),
    HostError.
    """
    if path is None:
        clone(empty(), baseline)
        baseline.chmod(0o644)
        return Seed(SeedMode.EMPTY, None)
    mode = mode_of(path, "seed")
    if mode is SeedMode.DIRECTORY:
        return _of_tree(path.resolve(), baseline, mode, path)
    unpacked = baseline.with_name("unpacked")
    found = archive.unpack(path, unpacked)
    try:
        linked = make_baseline(unpacked, baseline)
    finally:
        with Beneath.of(unpacked.parent) as parent:
            parent.remove_tree(os.fsencode(unpacked.name))
    return Seed(mode, str(path), found.entries, found.bytes, names(found.skipped), found.skipped_count, linked)


def mode_of(path: Path, what: str) -> SeedMode:
    """What lies at `path`. Raises UsageError `seed-not-found` (or whatever `what` is), `seed-unsupported`."""
    if path.is_dir():
        return SeedMode.DIRECTORY
    if not path.exists():
        raise UsageError(f"there is no {path}", code=f"{what}-not-found", hint="name a directory or an archive")
    if path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES):
        return SeedMode.ARCHIVE
    raise UsageError(
        f"{path} is neither a directory nor an archive: {', '.join(ARCHIVE_SUFFIXES)}", code=f"{what}-unsupported"
    )


def names(skipped: Sequence[bytes]) -> tuple[str, ...]:
    """Names as text: what of them is not UTF-8 is shown as `\\xNN`."""
    return tuple(name.decode("utf-8", "backslashreplace") for name in skipped)


def _of_tree(root: Path, baseline: Path, mode: SeedMode, named: Path) -> Seed:
    found = tree.survey(root)
    linked = make_baseline(root, baseline, skipped=found.skipped)
    skipped = names(found.skipped[:_SKIPPED_NAMED])
    return Seed(mode, str(named), found.entries, found.bytes, skipped, len(found.skipped), linked)
