"""Texts as they are without their line breaks, which hide no secret: in each way in which breaks can be understood."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, zip_longest
from typing import NamedTuple

LINE_ENDS = b"\r\n"

_END_BYTES = 64
_LINE_END = re.compile(rb"[\r\n]+")
# A line editor that reaches the last column writes a blank into the next line and goes back to its beginning.
_WRAP = re.compile(rb" ?\r|\n")
# In a patch each line has a sign in front, and lines of the other side may stand between two of one side. The sign is
# optional so that a break always ends where it was looked for, however many such lines there are.
_SIDES = (re.compile(rb"\r*\n(?:[+\\][^\n]*(?:\n|\Z))*+[- ]?"), re.compile(rb"\r*\n(?:[-\\][^\n]*(?:\n|\Z))*+[+ ]?"))
# Where a hunk begins, and where another file does, which ends one.
_HUNK = re.compile(
    rb"^(?:@@ -(?P<old>[0-9]{1,18})[^ \n]* \+(?P<new>[0-9]{1,18})[^\n]*\n|diff |--- [^\n]*\n\+\+\+ )", re.MULTILINE
)


class Unbroken:
    """A text without line breaks, and where its bytes were in the text with them."""

    def __init__(self, origin: bytes, data: bytes, breaks: re.Pattern[bytes]) -> None:
        self.data = data
        self._origin = origin
        self._breaks = breaks
        # Behind how many bytes of `data` each break was, and how many bytes were left out up to there.
        self._places: list[int] | None = [] if len(origin) == len(data) else None
        self._left_out: list[int] = [0]

    def origin(self, index: int) -> int:
        """Where the byte at `index` of `data` was."""
        if self._places is None:
            spans = [found.span() for found in self._breaks.finditer(self._origin)]
            self._left_out = list(accumulate((end - start for start, end in spans), initial=0))
            self._places = [start - gone for (start, _), gone in zip(spans, self._left_out, strict=False)]
        return index + self._left_out[bisect_right(self._places, index)]

    def last(self, length: int) -> int:
        """Where the last `length` bytes of `data` began; only the end of the text is looked at for that."""
        size = length
        while True:
            size = 2 * size + _END_BYTES
            piece = self._origin[-size:]
            bare = self._breaks.sub(b"", piece)
            if len(bare) > length or size >= len(self._origin):
                end = Unbroken(piece, bare, self._breaks)
                return len(self._origin) - len(piece) + end.origin(len(bare) - length)


def unbroken(data: bytes, *, ends: bool = False) -> Iterator[Unbroken]:
    """`data` without line breaks, in the two ways in which that can be understood. `ends`: more may follow."""
    yield Unbroken(data, data.translate(None, LINE_ENDS), _LINE_END)
    if b" \r" in data or (ends and data.endswith(b" ")):
        wrapped = data + b"\r" if ends else data
        yield Unbroken(wrapped, _WRAP.sub(b"", wrapped), _WRAP)


class Side(NamedTuple):
    """One side of a hunk of a patch: its text, without signs; where the hunk began; whether something was before it."""

    text: Unbroken
    offset: int
    starts_cut: bool


def sides(patch: bytes) -> Iterator[Side]:
    """What a unified diff says was there, and what it says is new: each hunk by itself, a piece of a longer text."""
    heads = list(_HUNK.finditer(patch))
    for head, following in zip_longest(heads, heads[1:]):
        if head["old"] is not None:
            start = head.end() - 1
            body = patch[start : following.start() if following is not None else len(patch)]
            for breaks, first in zip(_SIDES, (head["old"], head["new"]), strict=True):
                yield Side(Unbroken(body, breaks.sub(b"", body), breaks), start, int(first) > 1)
