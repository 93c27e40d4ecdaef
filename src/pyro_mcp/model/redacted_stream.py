"""Secret values taken out of a stream: nothing is shown before it is certain that it is no part of one. Pure."""

from __future__ import annotations

from pyro_mcp.model.needles import CUT_BYTES, merged
from pyro_mcp.model.redaction import MARK, Redactor, segments
from pyro_mcp.model.unbroken import LINE_ENDS

QUIET_BYTES = 4
"""Of what may become a match, fewer bytes than this are let go when a stream falls silent."""


class StreamRedactor:
    """Give it what comes, show what it gives."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # From the first byte on that may be the beginning of a match: what came, how much of it was given out, and how
        # far a match reaches into it that began before it. And whether a mark was given out last.
        self._data = b""
        self._given = 0
        self._covered = 0
        self._marked = False
        # Whether it begins behind a gap, and what of it belongs to a match from before that is not known yet.
        self._begins_cut = False

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._data) - self._given

    def feed(self, data: bytes) -> bytes:
        """What can be shown now that `data` has come."""
        if not self._redactor:
            return data
        self._data += data
        if not self._settle():
            return b""
        begun = len(self._data) - self._redactor.begun(self._data)[0]
        return self._give(begun, begun)

    def pass_over(self, data: bytes) -> None:
        """`data` went before, and is not shown: what comes next may be the rest of a match that has begun in it."""
        self._data += data
        if self._settle():
            self._give(len(self._data), len(self._data) - self._redactor.begun(self._data)[0])
        self._given = len(self._data)
        self._marked = False

    def gap(self) -> bytes:
        """What comes next does not follow what came, or the true beginning: what else can be shown of that.

        What may be a match that the gap has cut is redacted, on both sides of it: from four bytes on.
        """
        if not self._redactor:
            return b""
        self._settle(final=True)
        begun, length = self._redactor.begun(self._data)
        end = len(self._data)
        shown = self._give(end, end, cut_off=begun if length >= CUT_BYTES else 0)
        self._begins_cut = True
        return shown

    def flush(self, final: bool) -> bytes:
        """What else can be shown now that the stream has ended (`final`), or has been quiet for a while.

        A quiet one lets go of what is held only where that is the beginning of very little of a value; should it turn
        out to be one indeed, the rest is redacted. Called again in the same silence it gives nothing.
        """
        if not self._settle(final=final):
            few = len(self._data.translate(None, LINE_ENDS)) < QUIET_BYTES
            return self._give(len(self._data), 0) if few else b""
        begun, length = (0, 0) if final else self._redactor.begun(self._data)
        if length >= QUIET_BYTES:
            return b""
        return self._give(len(self._data), len(self._data) - begun)

    def _settle(self, *, final: bool = False) -> bool:
        """Whether it is certain what at the beginning is the end of a match that a gap has cut. `final` makes it so."""
        if self._begins_cut:
            length, certain = self._redactor.cut(self._data)
            if certain or final:
                self._covered, self._begins_cut = length, False
        return not self._begins_cut

    def _give(self, end: int, begun: int, *, cut_off: int = 0) -> bytes:
        """What stands up to `end` and was not given out; what stands from `begun` on may still become a match.

        The last `cut_off` bytes are not shown.
        """
        length = len(self._data)
        spans = merged([(0, self._covered), (length - cut_off, length), *self._redactor.spans(self._data)])
        end = max(self._given, end)
        shown = []
        for start, stop, secret in segments(self._given, end, spans):
            if not secret:
                shown.append(self._data[start:stop])
            elif start > self._given or not self._marked:
                shown.append(MARK)
            self._marked = secret
        covered = max([self._covered, *(stop for start, stop in spans if start < begun)])
        self._data, self._given, self._covered = self._data[begun:], end - begun, max(0, covered - begun)
        return b"".join(shown)
