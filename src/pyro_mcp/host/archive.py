"""Unpacking tar archives that nobody vouches for: seeds that a user names, and what a guest exports.

What stands in an archive decides about nothing outside of the one directory that it is unpacked into. Devices and FIFOs
are left out and named, symlinks may say what they like but lead nobody here anywhere, owners are ignored.

    tarheader, tarsparse, tarextended    blocks to values, pure
    tarsource, tarmember, decompress     the stream of members
    beneath, holes, extract              the files
    outside                              a place that a user names for them
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path

from pyro_mcp.errors import PyroError
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.decompress import decompressed
from pyro_mcp.host.extract import Extraction, fill, relative, set_symlink_time, target, told
from pyro_mcp.host.limits import LIMITS, Limits
from pyro_mcp.host.outside import new_place
from pyro_mcp.host.tarheader import bad
from pyro_mcp.host.tarmember import Kind, Member, Members
from pyro_mcp.host.tarsource import Read

Names = tuple[bytes, ...]

_HELD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


class RootType(StrEnum):
    """What the whole is that an archive held."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was made. `entries` are all names below a directory, or the one that is none; `bytes` those of all files,
    holes included, each file counted once. Up to a hundred of the devices and FIFOs that were left out are named."""

    type: RootType
    entries: int
    bytes: int
    skipped: Names = ()
    skipped_count: int = 0


def unpack(archive: Path, directory: Path, *, limits: Limits = LIMITS, cancel: Cancellation | None = None) -> Unpacked:
    """Unpack the file `archive` (tar, tar.gz, tar.zst) into `directory`, which must not exist and is ours.

    Blocks. What fails, or is cancelled, leaves nothing. Raises UsageError (`bad-archive`, `archive-traversal`,
    `archive-too-large`, `archive-unsupported`, `archive-unreadable`), HostError (`no-space`, `zstd-missing`,
    `kernel-too-old`, `io-error`) or PyroError `cancelled`.
    """
    with decompressed(archive) as read:
        return unpack_stream(_stoppable(read, cancel), directory, limits=limits)


def unpack_stream(read: Read, directory: Path, *, limits: Limits = LIMITS) -> Unpacked:
    """As `unpack`, from a plain tar archive that `read` gives in pieces. It may block; what it raises ends this."""
    directory.mkdir(mode=0o700)
    try:
        members = Members(read, limits)
        with Beneath.of(directory) as root:
            return _unpack_tree(root, members, members, limits)
    except BaseException:
        with Beneath.of(directory.parent) as parent:
            parent.remove_tree(os.fsencode(directory.name))
        raise


def place(read: Read, output: Path, *, limits: Limits = LIMITS) -> Unpacked:
    """Unpack what a guest exports to `output`, an absolute path where nothing is, in whole or not at all.

    The archive's first entry `.` is the thing itself: a directory with all that follows, or a file or symlink, and then
    nothing may follow. Blocks as `read` does. Raises what `unpack` and `new_place` raise, and what `read` raises.
    """
    with new_place(output) as (parent, name):
        members = Members(read, limits)
        entries = iter(members)
        first = next(entries, None)
        if first is None:
            raise bad("it has no entry")
        if first.kind in (Kind.FILE, Kind.SYMLINK) and not relative(first.name, limits):
            made = _place_single(parent, name, first, members, limits)
            if next(entries, None) is not None:
                raise bad("something follows what is no directory")
            return made
        parent.mkdir(name)
        with Beneath(parent.open(name, _HELD)) as root:
            return _unpack_tree(root, members, chain([first], entries), limits)


def _unpack_tree(root: Beneath, members: Members, entries: Iterable[Member], limits: Limits) -> Unpacked:
    extraction = Extraction(root, limits)
    for member in entries:
        extraction.add(member, members)
    with told(b"."):
        extraction.finish()
    return Unpacked(
        RootType.DIRECTORY,
        extraction.entries,
        extraction.bytes,
        tuple(extraction.skipped),
        extraction.skipped_count,
    )


def _place_single(parent: Beneath, name: bytes, member: Member, members: Members, limits: Limits) -> Unpacked:
    with told(b"."):
        if member.kind is Kind.SYMLINK:
            parent.symlink(target(member, limits), name)
            set_symlink_time(parent, name, member)
            return Unpacked(RootType.SYMLINK, 1, 0)
        fill(parent.create(name), member, members)
        return Unpacked(RootType.FILE, 1, member.size)


def _stoppable(read: Read, cancel: Cancellation | None) -> Read:
    def read_unless_cancelled(count: int) -> bytes:
        if cancel is not None and cancel.is_set():
            raise PyroError("unpacking was cancelled", code="cancelled")
        return read(count)

    return read_unless_cancelled
