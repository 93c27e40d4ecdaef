"""What is asked of a guest's network namespace, and done in it: never anywhere else."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pyro_mcp.errors import HostError
from pyro_mcp.host import command, tools
from pyro_mcp.net.ruleset import TABLE, Refusals, parse_refusals

_ASK_SECONDS = 20.0
_LISTING_BYTES = 8 << 20


class Spaces:
    """Namespaces by their kinds, held open until nobody needs them: a thread may be about to enter them."""

    def __init__(self, pid: int, kinds: Sequence[str]) -> None:
        """Raises OSError."""
        self.descriptors: dict[str, int] = {}
        for kind in kinds:
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, descriptor)
            self.descriptors[kind] = descriptor


def entered(spaces: Mapping[str, str]) -> tuple[str, ...]:
    paths = (f"--{kind}={path}" for kind, path in spaces.items())
    return (tools.require("nsenter", "util-linux"), "--preserve-credentials", *paths, "--")


def refused(spaces: Spaces) -> Refusals:
    """Raises HostError."""
    with told("") as listing:
        # What comes can be more than is kept of a command's output.
        aside = ("sh", "-c", f'exec "$@" >/proc/self/fd/{listing}', "sh")
        _inside(spaces, (*aside, _nft(), "-j", "list", "table", *TABLE.split()), (listing,))
        try:
            return parse_refusals(os.pread(listing, _LISTING_BYTES, 0).decode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HostError("what the guest was denied cannot be read", code="network-failed") from error


def load(spaces: Spaces, rules: str) -> None:
    """Raises HostError."""
    with told(rules) as update:
        _inside(spaces, (_nft(), "-f", f"/proc/self/fd/{update}"), (update,))


def _inside(spaces: Spaces, argv: Sequence[str], inherited: Sequence[int]) -> None:
    """Run a command in there to its end. Raises HostError."""
    enter = entered({kind: f"/proc/self/fd/{descriptor}" for kind, descriptor in spaces.descriptors.items()})
    asked = command.run(
        (*enter, *argv), deadline_seconds=_ASK_SECONDS, pass_fds=(*spaces.descriptors.values(), *inherited)
    )
    if not asked.succeeded:
        raise HostError(f"the rules of a network cannot be reached: {asked.last_words()}", code="network-failed")


def _nft() -> str:
    return tools.require("nft", "nftables")


@contextmanager
def told(text: str) -> Iterator[int]:
    """A descriptor from which `text` can be read."""
    descriptor = os.memfd_create("pyro", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
