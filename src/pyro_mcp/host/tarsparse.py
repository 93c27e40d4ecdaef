"""Files with holes, in the four ways that GNU tar has written them (GNU tar manual, "Storing Sparse Files")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pyro_mcp.host.tarheader import BLOCK, Header, bad, decimal, size

_MOST_SEGMENTS = 100_000
_ENTRY = 24  # bytes: two numeric fields
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Sparse:
    """`size` bytes with holes; the archive has only the segments (offset, length), in order, one behind the other."""

    size: int
    segments: tuple[tuple[int, int], ...]

    @property
    def stored(self) -> int:
        return sum(length for _, length in self.segments)


def sparse(total: int, numbers: Sequence[int]) -> Sparse:
    """From offset, length, offset, length, … Raises UsageError `bad-archive` if they contradict each other."""
    if len(numbers) % 2 or len(numbers) > 2 * _MOST_SEGMENTS:
        raise bad("the map of a sparse file is broken")
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    ends = [0, *(offset + length for offset, length in segments)]
    starts = [*(offset for offset, _ in segments), total]
    if any(end > start for end, start in zip(ends, starts, strict=True)):
        raise bad("the map of a sparse file contradicts itself")
    return Sparse(total, segments)


def from_old_header(header: Header, take: Callable[[int], bytes]) -> Sparse:
    """GNU's own type `S`: four segments in the header, more in the blocks behind it, which `take` reads."""
    numbers = _entries(header.block[386:482])
    more = header.block[482]
    while more:
        if len(numbers) > 2 * _MOST_SEGMENTS:
            raise bad("the map of a sparse file is too long", "archive-too-large")
        block = take(BLOCK)
        numbers += _entries(block[:504])
        more = block[504]
    return sparse(size(header.block[483:495]), numbers)


def from_records(records: Sequence[tuple[bytes, bytes]]) -> Sparse | None:
    """PAX 0.0 (a record for each number) and 0.1 (one with all of them); None without a map."""
    known = dict(records)
    if b"GNU.sparse.size" not in known:
        return None
    if (joined := known.get(b"GNU.sparse.map")) is not None:
        numbers = [decimal(text) for text in joined.split(b",")] if joined else []
    else:
        pair = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        found = [(key, decimal(value)) for key, value in records if key in pair]
        if any(first == second for (first, _), (second, _) in pairwise(found)) or (found and found[0][0] != pair[0]):
            raise bad("the map of a sparse file is broken")
        numbers = [number for _, number in found]
    if decimal(known.get(b"GNU.sparse.numblocks", b"0")) * 2 not in (len(numbers), 0):
        raise bad("the map of a sparse file is not as long as it says")
    return sparse(decimal(known[b"GNU.sparse.size"]), numbers)


def from_data(total: int, stored: int, take: Callable[[int], bytes]) -> tuple[Sparse, int]:
    """PAX 1.0: the map stands before the data, in decimal lines, filled up to whole blocks.

    Also how many of the `stored` bytes it took.
    """
    lines = _Lines(take, stored)
    count = decimal(lines.next())
    if count > _MOST_SEGMENTS:
        raise bad("the map of a sparse file is too long", "archive-too-large")
    numbers = [decimal(lines.next()) for _ in range(2 * count)]
    return sparse(total, numbers), lines.taken


class _Lines:
    """Lines out of whole blocks, of which there are not more than `most` bytes."""

    def __init__(self, take: Callable[[int], bytes], most: int) -> None:
        self._take = take
        self._most = most
        self._text = b""
        self.taken = 0

    def next(self) -> bytes:
        while (end := self._text.find(b"\n")) < 0:
            if len(self._text) > _DIGITS or self.taken + BLOCK > self._most:
                raise bad("the map of a sparse file is broken")
            self._text += self._take(BLOCK)
            self.taken += BLOCK
        line, self._text = self._text[:end], self._text[end + 1 :]
        return line


def _entries(field: bytes) -> list[int]:
    """Offsets and lengths; the first entry that is not used ends them."""
    numbers = []
    for at in range(0, len(field) - _ENTRY + 1, _ENTRY):
        if not field[at + 12]:
            break
        numbers += [size(field[at : at + 12]), size(field[at + 12 : at + _ENTRY])]
    return numbers
