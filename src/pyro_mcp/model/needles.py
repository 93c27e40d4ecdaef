"""Many byte strings looked for at once, in time that hardly depends on how many there are.

Pure. Of each needle the first bytes, its anchor, are known by the machine words in them: wherever an anchor stands, one
of the words that the text is cut into lies wholly within it. So a text is compared with all anchors by looking up each
of its words in one table, which Python does at hundreds of megabytes per second; only where that finds something is
anything compared byte by byte. Needles that are too short for that are looked for one by one.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

Span = tuple[int, int]
"""From the first byte to behind the last one."""

CUT_BYTES = 4
"""The shortest end of a needle that is recognised without what was before it."""

_WORDS: Mapping[int, Literal["Q", "I"]] = {8: "Q", 4: "I"}
_LONG, _SHORT = 16, 8
# Up to so many anchors each has an entry for every place at which a word may begin in it. Beyond that it has one, and
# the text is cut into words in every way there is: less memory, more time.
_FEW = 20_000
_BITS = [tuple(bit for bit in range(8) if number >> bit & 1) for number in range(256)]


class Needles:
    def __init__(self, needles: Iterable[bytes]) -> None:
        self._all = sorted({needle for needle in needles if needle})
        self.longest = max(map(len, self._all), default=0)
        self.shortest = min(map(len, self._all), default=0)
        self._heads = sorted({needle[:_LONG] for needle in self._all})
        self._long = _Anchors([needle for needle in self._all if len(needle) >= _LONG], _LONG)
        self._middle = _Anchors([needle for needle in self._all if _SHORT <= len(needle) < _LONG], _SHORT)
        self._short = [needle for needle in self._all if len(needle) < _SHORT]

    def matches(self, text: bytes) -> list[Span]:
        """Where needles stand in `text`; together the spans cover every byte of every match."""
        found: defaultdict[bytes, list[int]] = defaultdict(list)
        for anchors in (self._long, self._middle):
            for start, needles in anchors.standing_in(text):
                for needle in needles:
                    found[needle].append(start)
        spans = [span for needle, starts in found.items() for span in _covering(text, needle, sorted(starts))]
        spans.extend(span for needle in self._short for span in _covering(text, needle, _everywhere(text, needle)))
        return spans

    def begun(self, text: bytes) -> int:
        """How many bytes at the end of `text` a needle begins with, and then goes on; the most."""
        text = text[-self.longest :]
        view, most = memoryview(text), 0
        for start, needles in self._long.standing_in(text):
            length = len(text) - start
            if length > most and any(len(needle) > length and needle.startswith(view[start:]) for needle in needles):
                most = length
        if most:
            return most
        shorter = range(min(_LONG - 1, len(text)), 0, -1)
        return next((length for length in shorter if self._begins(text[-length:])), 0)

    def _begins(self, text: bytes) -> bool:
        """Whether a needle begins with `text`, of less than _LONG bytes, and goes on."""
        after = bisect_right(self._heads, text)
        return after < len(self._heads) and self._heads[after].startswith(text)

    def cut(self, text: bytes) -> int:
        """How many bytes at the beginning of `text` may be the rest of a needle that began before it; the most."""
        head, most = text[:CUT_BYTES], 0
        if len(head) < CUT_BYTES:
            return 0
        for needle in self._all:
            at = needle.find(head, 1)
            while at > 0 and (length := min(len(needle) - at, len(text))) > most:
                if text.startswith(needle[at : at + length]):
                    most = length
                at = needle.find(head, at + 1)
        return most

    def broken_off(self, text: bytes, ends: Sequence[int]) -> Iterator[Span]:
        """Where beginnings of needles, of CUT_BYTES at least, reach to one of `ends`, places in `text`, ascending."""
        heads = {needle[:CUT_BYTES] for needle in self._all if len(needle) > CUT_BYTES}
        at = 0
        while at + CUT_BYTES <= len(text):
            number = 0
            if text[at : at + CUT_BYTES] in heads:
                number = bisect_right(ends, at + self._common(text[at : at + self.longest]))
            if number and ends[number - 1] >= at + CUT_BYTES:
                yield at, ends[number - 1]
                at = ends[number - 1]
            else:
                at += 1

    def _common(self, text: bytes) -> int:
        """How many bytes at the beginning of `text` a needle begins with, too; the most."""
        after = bisect_right(self._all, text)  # of all needles these two have most in common with it
        return max(_common(needle, text) for needle in self._all[max(0, after - 1) : after + 1])


class _Anchors:
    """Needles by their first `width` bytes, which are two words."""

    def __init__(self, needles: Sequence[bytes], width: int) -> None:
        self._width = width
        self._word = width // 2
        self._needles: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for needle in needles:
            self._needles[needle[:width]].append(needle)
        few = len(self._needles) <= _FEW
        self._cuts = (0,) if few else tuple(range(self._word))
        # For each word a number whose bits say at which offsets of anchors it stands.
        self._offsets: defaultdict[int, int] = defaultdict(int)
        for anchor in self._needles:
            for offset in range(self._word) if few else (0,):
                word = int.from_bytes(anchor[offset : offset + self._word], sys.byteorder)
                self._offsets[word] |= 1 << offset

    def standing_in(self, text: bytes) -> Iterator[tuple[int, Sequence[bytes]]]:
        """Where an anchor stands in `text`, and the needles that begin with it."""
        if not self._offsets:
            return
        for cut in self._cuts:
            whole = max(0, len(text) - cut) // self._word * self._word
            words = memoryview(text)[cut : cut + whole].cast(_WORDS[self._word])
            if self._offsets.keys().isdisjoint(words):
                continue
            for number, word in enumerate(words):
                for offset in _BITS[self._offsets.get(word, 0)]:
                    start = cut + number * self._word - offset
                    # Not by the offset alone: the text before the word may be another one.
                    if start >= 0 and (needles := self._needles.get(text[start : start + self._width])):
                        yield start, needles


def _common(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _everywhere(text: bytes, needle: bytes) -> list[int]:
    starts, at = [], text.find(needle)
    while at >= 0:
        starts.append(at)
        at = text.find(needle, at + 1)
    return starts


def _covering(text: bytes, needle: bytes, starts: Sequence[int]) -> Iterator[Span]:
    """The matches among `starts`, ascending places where `needle` may stand: not all, but together they cover all.

    Of those that overlap one only the last counts. A text that repeats itself would take long without that.
    """
    at = 0
    while at < len(starts):
        if text.startswith(needle, starts[at]):
            end = starts[at] + len(needle)
            yield starts[at], end
            after = bisect_right(starts, end)
            last = after - 1
            while last > at and not text.startswith(needle, starts[last]):
                last -= 1
            at = last if last > at else after
        else:
            at += 1


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in as few spans as can be, in order; those that touch are one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        elif start < end:
            result.append((start, end))
    return result
