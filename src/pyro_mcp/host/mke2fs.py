"""How ext4 images are made: the command line, the same on every host. Pure.

Everything that a host's configuration or the clock would decide is given, so equal inputs format equal images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pyro_mcp.host import subids

BLOCK = 4096
INODE = 256

# Metadata checksums are left out: in an emulated guest each one costs more than it can ever find on a disk that
# lives in a file. `uninit_bg` marks unused tables as such, so that mke2fs need not write them, nor the guest read them.
_FEATURES = ",".join(
    (
        "none",
        "dir_index",
        "dir_nlink",
        "ext_attr",
        "extent",
        "extra_isize",
        "filetype",
        "flex_bg",
        "huge_file",
        "large_file",
        "sparse_super",
        "uninit_bg",
    )
)

VARIABLES = {
    "PATH": subids.PATH,
    # /dev/null: neither this host's defaults for file systems nor its clock shall show in the image.
    "MKE2FS_CONFIG": "/dev/null",
    "E2FSPROGS_FAKE_TIME": "1700000000",
}


@dataclass(frozen=True, slots=True)
class Format:
    """An ext4 file system to be. `tree`, if given, is copied into it."""

    image: Path
    blocks: int
    inodes: int
    uuid: UUID
    label: str
    tree: Path | None = None
    journal_mib: int = 0
    """0: no journal, for what is read-only or dies with its machine."""


def command(wanted: Format) -> list[str | Path]:
    """The argv that formats; run it with VARIABLES in its environment. The image comes out sparse."""
    # Tables in one place: a copy of the image finds few holes to step over. Prezeroed: a new file reads as zeros, so
    # the guest's kernel has no reason to write zeros over all unused tables in the background.
    extended = f"hash_seed={wanted.uuid},root_owner=0:0,packed_meta_blocks=1,assume_storage_prezeroed=1"
    journal = ("-O", "has_journal", "-J", f"size={wanted.journal_mib}") if wanted.journal_mib else ()
    return [
        *("mke2fs", "-q", "-F", "-O", _FEATURES, *journal),
        *("-b", str(BLOCK), "-I", str(INODE), "-N", str(wanted.inodes), "-m", "0", "-e", "remount-ro"),
        *("-U", str(wanted.uuid), "-L", wanted.label),
        *("-G", "4096", "-E", extended),
        *(("-d", wanted.tree) if wanted.tree is not None else ()),
        *(wanted.image, str(wanted.blocks)),
    ]
