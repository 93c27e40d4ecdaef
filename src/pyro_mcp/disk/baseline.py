"""What /workspace begins as: an image of a seed, which nobody changes again."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from pyro_mcp.disk.treeimage import TreeImage
from pyro_mcp.errors import UsageError
from pyro_mcp.host.command import Cancellation

BASELINE_BYTES = 64 << 30
"""Virtual size of every baseline: a restored machine remembers the sizes of its disks. The file is sparse."""

_UUID = UUID("9d2f1c57-6f0e-4f0a-9d0b-0f3f6f1f8a46")
_EMPTY_TIME = 1_700_000_000


def make_baseline(
    tree: Path | None, image: Path, skipped: Collection[bytes] = (), *, cancel: Cancellation | None = None
) -> bool:
    """Make `image`, in place of whatever is there, of the directory `tree` without `skipped`; empty without a tree.

    Sockets, FIFOs and devices are left out in any case. Equal trees (names, content, modes, times) make equal bytes.
    Not synced. Blocks; what fails, or is cancelled, leaves nothing. Returns whether any file in it has several names.

    Raises UsageError (`seed-too-large`, `seed-unreadable`, `seed-holds-image`), ConflictError `source-changed`,
    HostError (`no-space`, `io-error`), PyroError `cancelled`, or OSError where `image` cannot be made.
    """
    partial = image.with_name(f".{image.name}.{secrets.token_hex(8)}")
    try:
        with _directory(tree, image) as source, partial.open("xb", buffering=0) as file:
            os.fchmod(file.fileno(), 0o644)
            writer = TreeImage(file.fileno(), size=BASELINE_BYTES, skipped=skipped, cancel=cancel)
            hard_links = writer.write(source, _UUID)
        partial.rename(image)
        return hard_links
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _directory(tree: Path | None, image: Path) -> Iterator[Path]:
    if tree is not None:
        if image.resolve().is_relative_to(tree.resolve()):
            raise UsageError(
                f"the image of {tree} would lie in it",
                code="seed-holds-image",
                hint="name a directory that does not hold pyro's own files",
            )
        yield tree
        return
    with tempfile.TemporaryDirectory(prefix=".empty-", dir=image.parent) as made:
        empty = Path(made)
        empty.chmod(0o755)
        os.utime(empty, (_EMPTY_TIME, _EMPTY_TIME))
        yield empty
