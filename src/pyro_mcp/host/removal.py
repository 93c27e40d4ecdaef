"""Deleting what strangers made: trees without permissions, of any depth, with something mounted in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import command

_SECONDS = 600.0
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def remove_strange_tree(directory: Path) -> None:
    """Delete a directory with all below. What is mounted there is unmounted first, never deleted.

    Nothing may still be at work in it. Raises HostError `not-removed`.
    """
    directory = directory.resolve()
    for mount in reversed(_mounts_beneath(directory)):
        _run("umount", "--lazy", "--", mount)
    if mounted := _mounts_beneath(directory):
        raise HostError(f"{mounted[-1]} is still mounted", code="not-removed", hint="unmount it")
    _run("chmod", "-R", "u+rwx", "--", directory)
    _run("rm", "-rf", "--", directory)


def _run(*argv: str | Path) -> None:
    done = command.run(argv, deadline_seconds=_SECONDS)
    if not done.succeeded:
        raise HostError(f"{argv[0]} failed: {done.last_words() or 'no word why'}", code="not-removed")


def _mounts_beneath(directory: Path) -> list[Path]:
    """Mount points in our namespace below `directory`, in the order in which they were mounted."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # proc(5): the fifth field, in which blanks and backslashes are octal.
        point = Path(os.fsdecode(_ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), line.split()[4])))
        if point.is_relative_to(directory):
            found.append(point)
    return found
