"""Secret values taken out of what leaves pyro: out of bytes at once, out of streams, out of windows of a longer whole.

Pure. Which forms of a value are found says `model/spellings.py`. Line breaks do not hide them: a match may be spread
over lines, as terminals, base64 and hex tools do it. A guest that wants to betray its secrets can: it knows forms that
nobody looks for.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from pyro_mcp.model.needles import CUT_BYTES, Needles, Span, merged
from pyro_mcp.model.redacted_payload import Rules, redacted_payload
from pyro_mcp.model.spellings import forms
from pyro_mcp.model.unbroken import LINE_ENDS, sides, unbroken

MARK = b"[REDACTED]"
"""What stands in the place of a value, or of several that overlap or touch."""

# With a line break behind each of its bytes, as `fold -w1` writes it to a terminal, a match is three times as long.
_SPREAD = 3
# What follows on a text that was cut short: `repr` puts a quotation mark there, `printable` an ellipsis. NUL stands
# between the texts of a payload.
_BREAKING_OFF = re.compile(rb"[\"'\0]|\xe2\x80\xa6|\Z")


class Redactor:
    """Finds the values it was made of. False where there are none: then nothing is looked at."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._needles = Needles(form.translate(None, LINE_ENDS) for form in forms(values))

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
        return self._redacted(text, self._matches)

    def redact_patch(self, text: str) -> str:
        """The same for a unified diff: what is spread over lines of one side of it is found, too.

        A hunk is a window. What may be the rest of a value at its beginning, or the beginning of one at its end, is
        redacted from four bytes on.
        """
        return self._redacted(text, lambda data: itertools.chain(self._matches(data), self._in_sides(data)))

    def redact_message(self, text: str) -> str:
        """The same for what we say ourselves, errors above all, where words of others may have been cut short.

        What may be the beginning of a value is redacted there, from four bytes on: before a quotation mark, an
        ellipsis, and the end.
        """
        return self._redacted(text, lambda data: itertools.chain(self._matches(data), self._broken_off(data)))

    def redact_payload(self, value: object) -> object:
        """A JSON-able value without what is secret in its texts (`model/redacted_payload.py`)."""
        return (
            redacted_payload(value, Rules(self.redact_text, self.redact_text, self.redact_message)) if self else value
        )

    def redact_details(self, value: object) -> object:
        """The same, of texts as `redact_message` takes them."""
        return (
            redacted_payload(value, Rules(self.redact_message, self.redact_key, self.redact_message)) if self else value
        )

    def redact_key(self, key: str) -> str:
        """A name of something in `redact_details`: a short one may be a value's beginning by chance."""
        return self.redact_message(key) if key.endswith("…") else self.redact_text(key)

    def spans(self, data: bytes) -> list[Span]:
        """Where `data` must not be shown: in order, apart from each other."""
        return merged(self._matches(data)) if self else []

    def begun(self, data: bytes) -> tuple[int, int]:
        """What at the end of `data` may be the beginning of a match: its length, and that without line breaks."""
        tail = data[-self.context_bytes :] if self else b""
        found = [(0, 0)]
        for text in unbroken(tail, ends=True):
            if length := self._needles.begun(text.data):
                found.append((len(tail) - text.last(length), length))
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
        if starts_cut and (cut := self.cut(data)[0]):
            spans = merged([(0, cut), *spans])
        end = len(data)
        if ends_cut:
            end = max(start, end - self.begun(data)[0])
            within = next((stop for begin, stop in spans if begin < end <= stop), None)
            end = _character(data, start, end) if within is None else within
        return _shown(data, start, end, spans, len(data) * len(MARK) if limit is None else limit)

    def cut(self, data: bytes) -> tuple[int, bool]:
        """How many bytes at the beginning may be the end of a match, and whether more data could change that."""
        head = data[: self.context_bytes]
        found, certain = [0], True
        for text in unbroken(head, ends=True):
            length = self._needles.cut(text.data)
            certain &= CUT_BYTES <= len(text.data) != length
            found.append(min(text.origin(length - 1) + 1, len(head)) if length else 0)
        return max(found), certain or len(data) >= self.context_bytes

    def _redacted(self, text: str, look: Callable[[bytes], Iterable[Span]]) -> str:
        if not self or len(text) * 4 < min(self._needles.shortest, CUT_BYTES):
            return text
        data = text.encode("utf-8", "surrogatepass")
        found = list(look(data))
        if found and (marks := [mark.start() for mark in re.finditer(re.escape(MARK), data)]):
            found = [span for span in found if not _in_mark(span, marks)]
        if not found:
            return text
        redacted = _without(data, merged(found))
        try:
            return redacted.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a match of another encoding began within a character
            return redacted.decode("utf-8", "replace")

    def _matches(self, data: bytes) -> Iterator[Span]:
        for text in unbroken(data) if self else ():
            for start, end in self._needles.matches(text.data):
                yield text.origin(start), text.origin(end - 1) + 1

    def _in_sides(self, patch: bytes) -> Iterator[Span]:
        for text, offset, starts_cut in sides(patch):
            found = self._needles.matches(text.data)
            found.append((0, self._needles.cut(text.data) if starts_cut else 0))
            if (begun := self._needles.begun(text.data)) >= CUT_BYTES:
                found.append((len(text.data) - begun, len(text.data)))
            for start, end in found:
                if start < end:
                    yield offset + text.origin(start), offset + text.origin(end - 1) + 1

    def _broken_off(self, data: bytes) -> Iterator[Span]:
        for text in unbroken(data):
            ends = [end.start() for end in _BREAKING_OFF.finditer(text.data)]
            for start, end in self._needles.broken_off(text.data, ends):
                yield text.origin(start), text.origin(end - 1) + 1


def _without(data: bytes, spans: Sequence[Span]) -> bytes:
    pieces = segments(0, len(data), spans)
    return b"".join(MARK if secret else data[start:end] for start, end, secret in pieces)


def segments(start: int, end: int, spans: Iterable[Span]) -> Iterator[tuple[int, int, bool]]:
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
    for begin, stop, secret in segments(start, end, spans):
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
