"""Secret values taken out of what leaves pyro: out of bytes at once, out of streams, out of windows of a longer whole.

Pure. Which forms of a value are found says `model/spellings.py`. Line breaks do not hide them: a match may be spread
over lines, as terminals, base64 and hex tools do it. A guest that wants to betray its secrets can: it knows forms that
nobody looks for.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from pyro_mcp.model.needles import Needles, Span, merged
from pyro_mcp.model.redacted_payload import redacted_payload
from pyro_mcp.model.spellings import spellings

MARK = b"[REDACTED]"
"""What stands in the place of a value, or of several that overlap or touch."""

QUIET_BYTES = 4
"""Of what may become a match, fewer bytes than this are let go when a stream falls silent."""

_LINE_ENDS = b"\r\n"
_LINE_END = re.compile(rb"[\r\n]")
# A line editor that reaches the last column writes a blank into the next line and goes back to its beginning.
_WRAP = re.compile(rb" ?\r|\n")
# With a line break behind each of its bytes, as `fold -w1` writes it to a terminal, a match is three times as long.
_SPREAD = 3


class Redactor:
    """Finds the values it was made of. False where there are none: then nothing is looked at."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values if value for form in spellings(value)}
        self._needles = Needles(form.translate(None, _LINE_ENDS) for form in forms)

    def __bool__(self) -> bool:
        return self._needles.longest > 0

    def __repr__(self) -> str:
        return "Redactor(…)" if self else "Redactor()"

    @property
    def context_bytes(self) -> int:
        """How far before a byte a match that covers it may begin, line breaks within it included; 0 without values.

        Of one that is spread over more than this only pieces may be found, in streams and windows.
        """
        return _SPREAD * self._needles.longest

    def redact(self, data: bytes) -> bytes:
        """`data` with every match replaced."""
        spans = self.spans(data)
        return _without(data, spans) if spans else data

    def redact_text(self, text: str) -> str:
        """The same for text. Marks that are in it stay as they are, even if a value is part of one."""
        if not self or len(text) * 4 < self._needles.shortest:
            return text
        data = text.encode("utf-8", "surrogatepass")
        found = list(self._matches(data))
        if found and (marks := [mark.start() for mark in re.finditer(re.escape(MARK), data)]):
            found = [span for span in found if not _in_mark(span, marks)]
        if not found:
            return text
        redacted = _without(data, merged(found))
        try:
            return redacted.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a match of another encoding began within a character
            return redacted.decode("utf-8", "replace")

    def redact_payload(self, value: object) -> object:
        """A JSON-able value without what is secret in its texts (`model/redacted_payload.py`)."""
        return redacted_payload(value, self.redact_text) if self else value

    def spans(self, data: bytes) -> list[Span]:
        """Where `data` must not be shown: in order, apart from each other."""
        return merged(self._matches(data)) if self else []

    def begun(self, data: bytes) -> tuple[int, int]:
        """What at the end of `data` may be the beginning of a match: its length, and that without line breaks."""
        tail = data[-self.context_bytes :] if self else b""
        found = [(0, 0)]
        for text in self._unbroken(tail, ends=True):
            if length := self._needles.begun(text.data):
                found.append((len(tail) - text.origin(len(text.data) - length), length))
        return max(found)

    def window(
        self, data: bytes, start: int = 0, *, limit: int | None = None, starts_cut: bool, ends_cut: bool
    ) -> tuple[bytes, int]:
        """What may be shown of `data` from `start` on, and how many bytes of `data` that stands for.

        `data` is a piece of a longer whole, and should begin `context_bytes` before `start` if the whole does. With
        `starts_cut` the whole did once go further back than `data`, but that is forgotten: then also what may be the
        end of a match is redacted that stands at the beginning. With `ends_cut` more may follow: nothing is shown that
        may be the beginning of a match, and no part of a character. At most `limit` bytes are shown, but always one
        character or mark; give as much data behind `start`, and `context_bytes` more, and there always is progress.
        """
        spans = self.spans(data)
        if starts_cut and (cut := self._cut(data)):
            spans = merged([(0, cut), *spans])
        end = len(data)
        if ends_cut:
            end = max(start, end - self.begun(data)[0])
            within = next((stop for begin, stop in spans if begin < end <= stop), None)
            end = _character(data, start, end) if within is None else within
        return _shown(data, start, end, spans, len(data) * len(MARK) if limit is None else limit)

    def _cut(self, data: bytes) -> int:
        """How many bytes at the beginning may be the end of a match."""
        head = data[: self.context_bytes]
        found = [0]
        for text in self._unbroken(head):
            if length := self._needles.cut(text.data):
                found.append(text.origin(length - 1) + 1)
        return max(found)

    def _matches(self, data: bytes) -> Iterator[Span]:
        for text in self._unbroken(data):
            for start, end in self._needles.matches(text.data):
                yield text.origin(start), text.origin(end - 1) + 1

    def _unbroken(self, data: bytes, *, ends: bool = False) -> Iterator[_Unbroken]:
        """`data` without line breaks, in the two ways in which that can be understood. `ends`: more may follow."""
        if not self:
            return
        yield _Unbroken(data, data.translate(None, _LINE_ENDS), _LINE_END)
        if b" \r" in data or (ends and data.endswith(b" ")):
            wrapped = data + b"\r" if ends else data
            yield _Unbroken(wrapped, _WRAP.sub(b"", wrapped), _WRAP)


class StreamRedactor:
    """The same for a stream, of which nothing is shown before it is certain that it is not part of a match."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # From the first byte on that may be the beginning of a match: what came, how much of it was given out, and how
        # far a match reaches into it that began before it. And whether a mark was given out last.
        self._data = b""
        self._given = 0
        self._covered = 0
        self._marked = False

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._data) - self._given

    def feed(self, data: bytes) -> bytes:
        """What can be shown now that `data` has come."""
        if not self._redactor:
            return data
        self._data += data
        begun = len(self._data) - self._redactor.begun(self._data)[0]
        return self._give(begun, begun)

    def pass_over(self, data: bytes) -> None:
        """`data` went before, and is not shown: what comes next may be the rest of a match that has begun in it."""
        self._data += data
        self._give(len(self._data), len(self._data) - self._redactor.begun(self._data)[0])
        self._marked = False

    def flush(self, final: bool) -> bytes:
        """What else can be shown now that the stream has ended (`final`), or has been quiet for a while.

        A quiet one lets go of what is held only where that is the beginning of very little of a value; should it turn
        out to be one indeed, the rest is redacted. Called again in the same silence it gives nothing.
        """
        begun, length = (0, 0) if final else self._redactor.begun(self._data)
        if length >= QUIET_BYTES:
            return b""
        return self._give(len(self._data), len(self._data) - begun)

    def _give(self, end: int, begun: int) -> bytes:
        """What stands up to `end` and was not given out; what stands from `begun` on may still become a match."""
        spans = merged([(0, self._covered), *self._redactor.spans(self._data)])
        end = max(self._given, end)
        shown = []
        for start, stop, secret in _segments(self._given, end, spans):
            if not secret:
                shown.append(self._data[start:stop])
            elif start > self._given or not self._marked:
                shown.append(MARK)
            self._marked = secret
        covered = max([self._covered, *(stop for start, stop in spans if start < begun)])
        self._data, self._given, self._covered = self._data[begun:], end - begun, max(0, covered - begun)
        return b"".join(shown)


class _Unbroken:
    """A text without line breaks, and where its bytes were in the text with them."""

    def __init__(self, origin: bytes, data: bytes, breaks: re.Pattern[bytes]) -> None:
        self.data = data
        self._origin = origin
        self._breaks = breaks
        # How many bytes of `data` stand before each byte that was left out.
        self._before: list[int] | None = [] if len(origin) == len(data) else None

    def origin(self, index: int) -> int:
        """Where the byte at `index` of `data` was."""
        if self._before is None:
            left_out = (at for found in self._breaks.finditer(self._origin) for at in range(*found.span()))
            self._before = [at - number for number, at in enumerate(left_out)]
        return index + bisect_right(self._before, index)


def _without(data: bytes, spans: Sequence[Span]) -> bytes:
    segments = _segments(0, len(data), spans)
    return b"".join(MARK if secret else data[start:end] for start, end, secret in segments)


def _segments(start: int, end: int, spans: Iterable[Span]) -> Iterator[tuple[int, int, bool]]:
    """From `start` to `end`, what is in one of `spans`, which are in order and apart, and what is between them."""
    for begin, stop in spans:
        if stop <= start or begin >= end:
            continue
        if begin > start:
            yield start, begin, False
        yield max(start, begin), min(stop, end), True
        start = min(stop, end)
    if start < end:
        yield start, end, False


def _shown(data: bytes, start: int, end: int, spans: Iterable[Span], limit: int) -> tuple[bytes, int]:
    """At most `limit` bytes that stand for what is between `start` and `end`, and for how much of it they stand."""
    shown: list[bytes] = []
    at = start
    for begin, stop, secret in _segments(start, end, spans):
        behind = stop
        if secret:
            if shown and limit < len(MARK):
                break
        elif stop - begin > limit:
            behind = _character(data, begin, begin + max(0, limit))
            if behind == begin:
                if shown:
                    break
                behind = min(stop, begin + _first(data, begin))
        shown.append(MARK if secret else data[begin:behind])
        limit -= len(shown[-1])
        at = behind
        if behind < stop:
            break
    return b"".join(shown), at - start


def _character(data: bytes, start: int, end: int) -> int:
    """`end`, or the beginning of the character of UTF-8 that it is within, unless that began before `start`."""
    for before in range(1, min(3, end - start) + 1):
        byte = data[end - before]
        if byte & 0xC0 != 0x80:
            return end - before if _size(byte) > before else end
    return end


def _first(data: bytes, at: int) -> int:
    """How many bytes the first character has, or what cannot be one and is shown as one."""
    piece = data[at : at + 4]
    try:
        text = piece.decode()
    except UnicodeDecodeError as error:
        if error.start == 0:
            return error.end
        text = piece[: error.start].decode()
    return len(text[0].encode())


def _size(byte: int) -> int:
    """Bytes of the character of UTF-8 that begins with `byte`."""
    return 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1


def _in_mark(span: Span, marks: Sequence[int]) -> bool:
    """Whether `span` lies within one of the marks that begin at `marks`."""
    before = bisect_right(marks, span[0])
    return before > 0 and span[1] <= marks[before - 1] + len(MARK)
