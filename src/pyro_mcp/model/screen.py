"""The cells of a terminal and its cursor: what control sequences change, and what is seen in the end.

Pure. All numbers may come from a stranger: nothing is taken on trust, and little costs much. What has scrolled out of
the screen is text that nothing changes any more.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

MOST_COLUMNS = 10_000
ROWS = 100
"""Of a screen whose height is not known."""

_TAB = 8
# All cells together that hold nothing of what was written: gaps, insertions, repetitions.
_BLANKS = 1 << 20
# All lines together that nobody has written: jumps downwards, insertions.
_LINES = 1 << 16
_MARKS = 8
"""Combining characters on one other."""


@dataclass(slots=True)
class _Line:
    """Cells from the left. What takes several, as a tab does, stands in the first; the others are empty texts.

    A `wrapped` line goes on with the one above it.
    """

    cells: list[str] = field(default_factory=list)
    wrapped: bool = False

    def split(self, column: int) -> None:
        """Nothing stands on both sides of `column` any more: what did becomes blanks."""
        cells = self.cells
        if not 0 < column < len(cells) or cells[column]:
            return
        start, end = column - 1, column
        while not cells[start]:
            start -= 1
        while end < len(cells) and not cells[end]:
            end += 1
        cells[start:end] = " " * (end - start)

    def text(self) -> str:
        return ("" if self.wrapped else "\n") + "".join(self.cells)


class Screen:
    def __init__(self, columns: int = 0, rows: int = 0) -> None:
        """0 for a size that is not known: lines then are as long as can be."""
        self._columns = min(columns, MOST_COLUMNS) if columns > 0 else MOST_COLUMNS
        self._rows = min(rows, ROWS * 10) if rows > 0 else ROWS
        self._blanks = _BLANKS
        self._spare_lines = _LINES
        self._last = ""
        self._region = (0, self._rows - 1)
        self._saved = (0, 0)
        self.inserting = False
        """Whether what is written moves the rest of its line to the right."""
        self.clear()

    def text(self) -> str:
        """Lines end with a newline each; the last one has none."""
        return "".join([*self._above, *(line.text() for line in self._lines)])[1:]

    def clear(self) -> None:
        """Nothing was ever written."""
        self._above: list[str] = []
        self._lines = [_Line()]
        self._row = self._column = 0

    def put(self, text: str) -> None:
        """Write printable characters at the cursor."""
        self._last = text[-1]
        if text.isascii():
            at = 0
            while at < len(text):
                room = self._room()
                self._write(list(text[at : at + room]))
                at += room
            return
        for character in text:
            width = _width(character)
            if not width and self._mark(character):
                continue
            if self._room() < width:
                self._wrap()
            self._write([character, ""] if width == 2 else [character])

    def repeat(self, count: int) -> None:
        """Write the last character again."""
        if self._last and (count := self._take(min(count, self._columns))):
            self.put(self._last * count)

    def new_line(self) -> None:
        """To the beginning of the next line."""
        self.feed()
        self._column = 0

    def feed(self) -> None:
        """A line down; at the end of what scrolls that moves up."""
        top, bottom = self._region
        if self._row == bottom and bottom < len(self._lines):
            leaving = self._lines.pop(top)
            if top == 0:
                self._above.append(leaving.text())
            self._lines.insert(bottom, _Line())
        else:
            self._row = min(self._row + 1, self._rows - 1)
            if self._row == len(self._lines):
                self._lines.append(_Line())

    def tab(self) -> None:
        cells = self._line.cells
        column = min(self._column, self._columns - 1)
        target = min((column // _TAB + 1) * _TAB, self._columns - 1)
        if target > column >= len(cells):
            self._reach(column)
            if len(cells) == column:
                cells += ["\t", *[""] * (target - column - 1)]
        self._column = target

    def move(self, *, rows: int = 0, columns: int = 0) -> None:
        """Down and to the right from where the cursor is, within what there is."""
        self._row = max(0, min(self._row + rows, len(self._lines) - 1))
        if columns or self._column == self._columns:
            self._column = max(0, min(min(self._column, self._columns - 1) + columns, self._columns - 1))

    def to(self, *, row: int | None = None, column: int | None = None) -> None:
        if row is not None:
            row = min(row, self._rows - 1)
            self._lines += self._empty_lines(row + 1 - len(self._lines))
            self._row = min(row, len(self._lines) - 1)
        if column is not None:
            self._column = min(column, self._columns - 1)

    def save(self) -> None:
        self._saved = self._row, self._column

    def restore(self) -> None:
        self._row, self._column = min(self._saved[0], len(self._lines) - 1), self._saved[1]

    def scroll_within(self, top: int, bottom: int) -> None:
        """Only the lines from `top` to `bottom` (counted from 1; 0 for the first and last) scroll from now on."""
        first, last = max(top, 1) - 1, min(bottom or self._rows, self._rows) - 1
        if first < last:
            self._region = first, last
            self._row = self._column = 0

    def erase_line(self, part: int) -> None:
        """0: from the cursor on; 1: up to it; 2: all of it."""
        cells = self._line.cells
        if part == 1 and self._column < len(cells) - 1:
            self._line.split(self._column + 1)
            cells[: self._column + 1] = " " * (self._column + 1)
            return
        if part == 0:
            self._line.split(self._column)
        del cells[self._column if part == 0 else 0 :]
        if self._row + 1 < len(self._lines):
            self._lines[self._row + 1].wrapped = False

    def erase_display(self, part: int) -> None:
        """0: from the cursor on; 1: up to it; 2: all; 3: what has scrolled out. A screen begun anew has no past."""
        if part == 2 or (part == 0 and self._row == self._column == 0):
            column = self._column
            self.clear()
            self._column = column
        elif part == 3:
            self._above = []
            self._lines[0].wrapped = False
        elif part == 1:
            self._above = []
            del self._lines[: self._row]
            self._row = 0
            self._line.wrapped = False
            self.erase_line(1)
        elif part == 0:
            self.erase_line(0)
            del self._lines[self._row + 1 :]

    def erase(self, count: int) -> None:
        """Blanks in the place of `count` characters."""
        end = min(self._column + count, len(self._line.cells))
        if end > self._column:
            self._line.split(self._column)
            self._line.split(end)
            self._line.cells[self._column : end] = " " * (end - self._column)

    def delete(self, count: int) -> None:
        """Take `count` characters out of the line."""
        self._line.split(self._column)
        self._line.split(self._column + count)
        del self._line.cells[self._column : self._column + count]

    def insert(self, count: int) -> None:
        """Blanks at the cursor, moving the rest of the line to the right."""
        if self._column < len(self._line.cells):
            self._squeeze_in([" "] * self._take(min(count, self._columns - self._column)))

    def insert_lines(self, count: int) -> None:
        self._line.wrapped = False
        self._lines[self._row : self._row] = self._empty_lines(min(count, self._rows - self._row))
        del self._lines[self._rows :]

    def delete_lines(self, count: int) -> None:
        del self._lines[self._row : self._row + count]
        if self._row == len(self._lines):
            self._lines.append(_Line())
        self._line.wrapped = False

    @property
    def _line(self) -> _Line:
        return self._lines[self._row]

    def _room(self) -> int:
        """How many cells are left in the line; one that is full goes on in the next."""
        if self._column >= self._columns:
            self._wrap()
        return self._columns - self._column

    def _wrap(self) -> None:
        self.new_line()
        self._line.wrapped = True

    def _write(self, new: list[str]) -> None:
        """Cells at the cursor, as many as there is room for."""
        line, column = self._line, self._column
        if column > len(line.cells):
            self._reach(column)
            column = len(line.cells)
        if column == len(line.cells):
            line.cells += new
        elif self.inserting:
            self._squeeze_in(new)
        else:
            line.split(column)
            line.split(column + len(new))
            line.cells[column : column + len(new)] = new
        self._column = column + len(new)

    def _squeeze_in(self, new: list[str]) -> None:
        line = self._line
        line.split(self._column)
        line.cells[self._column : self._column] = new
        line.split(self._columns)
        del line.cells[self._columns :]

    def _mark(self, character: str) -> bool:
        """Put a character that takes no room onto the one before the cursor; whether there is one."""
        cells, at = self._line.cells, self._column - 1
        if not 0 <= at < len(cells):
            return False
        while not cells[at]:
            at -= 1
        if len(cells[at]) <= _MARKS:
            cells[at] += character
        return True

    def _reach(self, column: int) -> None:
        """Make the line as long as that, while there are blanks."""
        cells = self._line.cells
        cells += " " * self._take(max(0, column - len(cells)))

    def _empty_lines(self, count: int) -> list[_Line]:
        """So many lines, or what is left of them."""
        taken = max(0, min(count, self._spare_lines))
        self._spare_lines -= taken
        return [_Line() for _ in range(taken)]

    def _take(self, count: int) -> int:
        """So many blanks, or what is left of them."""
        taken = min(count, self._blanks)
        self._blanks -= taken
        return taken


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    """Cells that a character takes. Unicode Standard Annex 11; what combines with another takes none."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf") and character != "\xad":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
