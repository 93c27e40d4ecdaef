"""Writing files with holes where they are zero."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

PAGE = 4096
_ZEROS = bytes(PAGE)


def write_with_holes(
    file: int, data: Iterable[bytes], size: int, segments: Sequence[tuple[int, int]] | None = None
) -> None:
    """Fill the new, empty `file`: whole pages of zeros become holes. Raises OSError.

    The pieces of `data` make up the file, or its `segments` (offset, length) only, one behind the other; either way
    it has `size` bytes in the end.
    """
    places = iter(((0, size),) if segments is None else segments)
    offset, room = 0, 0
    end = 0
    for piece in data:
        rest = memoryview(piece)
        while rest:
            while not room:
                offset, room = next(places)
            part = rest[:room]
            end = max(end, _write(file, part, offset))
            offset, room, rest = offset + len(part), room - len(part), rest[len(part) :]
    if end < size:
        os.ftruncate(file, size)


def _write(file: int, data: memoryview, offset: int) -> int:
    """Write all but whole pages of zeros; tells where the last byte that was written ends."""
    end = written = 0
    at = -offset % PAGE  # the first page of the file that begins in here
    while at + PAGE <= len(data):
        # The first byte tells most pages apart.
        if data[at] == 0 and data[at : at + PAGE].tobytes() == _ZEROS:
            end = write_at(file, data[written:at], offset + written) or end
            written = at + PAGE
        at += PAGE
    return write_at(file, data[written:], offset + written) or end


def write_at(file: int, data: memoryview, offset: int) -> int:
    """Write all of it; tells where that ends, or 0 for nothing. Raises OSError."""
    if not data:
        return 0
    while data:
        done = os.pwrite(file, data, offset)
        data, offset = data[done:], offset + done
    return offset
