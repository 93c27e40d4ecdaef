"""What a terminal would show in the end, as text: control sequences obeyed or left out.

Pure, and bounded in time and memory whatever is fed to it. It knows what command lines, progress bars and pagers use:
movements, erasing, insertion and deletion, tabs, wide and combining characters, lines that wrap. Colours, titles and
modes are left out, and so is everything on the alternate screen. References: ECMA-48, xterm's ctlseqs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pyro_mcp.model.screen import Screen

SEQUENCE_BYTES = 4096
"""A control sequence that is longer is no longer waited for as a whole."""

_DIGITS = 5
"""More of a parameter say no more than these: it is larger than any screen."""

_PARAMETERS = 16

# What a text on its way to a terminal consists of. A sequence that is cut off is a token that shows nothing.
_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~]?)"
    # OSC, which BEL ends, too; DCS, SOS, PM and APC. CAN, SUB and any escape break them off.
    r"|(?:\x1b\]|\x9d)[^\x07\x18\x1a\x1b\x9c]*(?:[\x07\x18\x1a\x9c]|\x1b\\|(?=\x1b)|\Z)"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x18\x1a\x1b\x9c]*(?:[\x18\x1a\x9c]|\x1b\\|(?=\x1b)|\Z)"
    r"|\x1b(?P<escape>[ -/]*[0-~]?)"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])",
)

# The same in bytes: one that stands at the end and may go on, and one at the beginning as far as it goes.
_OPEN = re.compile(
    rb"(?:(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*"
    rb"|(?:\x1b\]|\xc2\x9d)[^\x07\x18\x1a\x1b]*\x1b?"
    rb"|(?:\x1b[PX^_]|\xc2[\x90\x98\x9e\x9f])[^\x18\x1a\x1b]*\x1b?"
    rb"|\x1b[ -/]*|\xc2)\Z"
)
_WHOLE = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)[0-?]*[ -/]*[@-~]?"
    rb"|(?:\x1b\]|\xc2\x9d)[^\x07\x18\x1a\x1b]*(?:[\x07\x18\x1a]|\x1b\\)?"
    rb"|(?:\x1b[PX^_]|\xc2[\x90\x98\x9e\x9f])[^\x18\x1a\x1b]*(?:[\x18\x1a]|\x1b\\)?"
    rb"|\x1b[ -/]*[0-~]?"
)

_Action = Callable[[Screen], None]
_Sequence = Callable[[Screen, int, int], None]
"""Given its first two parameters, 0 for one that is missing."""

_CONTROLS: Mapping[str, _Action] = {
    "\b": lambda screen: screen.move(columns=-1),
    "\t": Screen.tab,
    "\n": Screen.new_line,
    "\v": Screen.new_line,
    "\f": Screen.new_line,
    "\r": lambda screen: screen.to(column=0),
    "\x84": Screen.feed,
    "\x85": Screen.new_line,
    "\x8d": lambda screen: screen.move(rows=-1),
}

_ESCAPES: Mapping[str, _Action] = {
    "7": Screen.save,
    "8": Screen.restore,
    "D": Screen.feed,
    "E": Screen.new_line,
    "M": lambda screen: screen.move(rows=-1),
    "c": Screen.clear,
}

_SEQUENCES: Mapping[str, _Sequence] = {
    "A": lambda screen, n, _: screen.move(rows=-(n or 1)),
    "B": lambda screen, n, _: screen.move(rows=n or 1),
    "C": lambda screen, n, _: screen.move(columns=n or 1),
    "D": lambda screen, n, _: screen.move(columns=-(n or 1)),
    "E": lambda screen, n, _: _line_away(screen, n or 1),
    "F": lambda screen, n, _: _line_away(screen, -(n or 1)),
    "G": lambda screen, n, _: screen.to(column=(n or 1) - 1),
    "H": lambda screen, n, m: screen.to(row=(n or 1) - 1, column=(m or 1) - 1),
    "J": lambda screen, n, _: screen.erase_display(n),
    "K": lambda screen, n, _: screen.erase_line(n),
    "L": lambda screen, n, _: screen.insert_lines(n or 1),
    "M": lambda screen, n, _: screen.delete_lines(n or 1),
    "P": lambda screen, n, _: screen.delete(n or 1),
    "X": lambda screen, n, _: screen.erase(n or 1),
    "@": lambda screen, n, _: screen.insert(n or 1),
    "`": lambda screen, n, _: screen.to(column=(n or 1) - 1),
    "b": lambda screen, n, _: screen.repeat(n or 1),
    "d": lambda screen, n, _: screen.to(row=(n or 1) - 1),
    "f": lambda screen, n, m: screen.to(row=(n or 1) - 1, column=(m or 1) - 1),
    "r": lambda screen, n, m: screen.scroll_within(n, m),
    "s": lambda screen, _, __: screen.save(),
    "u": lambda screen, _, __: screen.restore(),
}

_ALTERNATE = frozenset({47, 1047, 1049})
"""Modes that show the alternate screen."""

_INSERT = 4


def plain(data: bytes, columns: int = 0, rows: int = 0) -> str:
    """What `data`, written to a terminal of that size (0: not known), leaves on it and above it.

    Lines that wrapped at `columns` are one line. Of control characters there are only newlines and tabs.
    """
    terminal = _Terminal(columns, rows)
    for token in _TOKEN.finditer(data.decode("utf-8", "replace")):
        terminal.take(token)
    return terminal.screen.text()


def before_open_sequence(data: bytes) -> int:
    """How much of `data` stands before a control sequence that its end may have cut; all of it, if there is none."""
    found = _OPEN.search(data, max(0, len(data) - SEQUENCE_BYTES))
    return found.start() if found else len(data)


def first_sequence(data: bytes) -> int:
    """How long the control sequence is with which `data` begins; 0 if it begins with none."""
    found = _WHOLE.match(data, 0, SEQUENCE_BYTES)
    return found.end() if found else 0


class _Terminal:
    def __init__(self, columns: int, rows: int) -> None:
        self.screen = Screen(columns, rows)
        self._alternate = False

    def take(self, token: re.Match[str]) -> None:
        kind = token.lastgroup
        if kind == "final":
            self._sequence(token["parameters"], token["between"], token["final"])
        elif self._alternate:
            return
        elif kind == "text":
            self.screen.put(token["text"])
        elif kind == "control" and (control := _CONTROLS.get(token["control"])):
            control(self.screen)
        elif kind == "escape" and (escape := _ESCAPES.get(token["escape"])):
            escape(self.screen)

    def _sequence(self, parameters: str, between: str, final: str) -> None:
        if between:
            return
        if parameters[:1] == "?" and final in ("h", "l"):
            if _ALTERNATE.intersection(_numbers(parameters[1:])):
                self._show_alternate(final == "h")
        elif self._alternate or parameters.startswith(("<", "=", ">", "?")):
            return
        elif final in ("h", "l"):
            if _INSERT in _numbers(parameters):
                self.screen.inserting = final == "h"
        elif sequence := _SEQUENCES.get(final):
            first, second, *_ = [*_numbers(parameters), 0, 0]
            sequence(self.screen, first, second)

    def _show_alternate(self, shown: bool) -> None:
        if shown and not self._alternate:
            self.screen.save()
        elif self._alternate and not shown:
            self.screen.restore()
        self._alternate = shown


def _line_away(screen: Screen, rows: int) -> None:
    screen.move(rows=rows)
    screen.to(column=0)


def _numbers(parameters: str) -> list[int]:
    """The first ones; 0 for what is no number."""
    texts = parameters[: _PARAMETERS * (_DIGITS + 1)].split(";")[:_PARAMETERS]
    return [int(text[:_DIGITS]) if text.isdecimal() else 0 for text in texts]
