"""How a text may be written without being hidden: the forms in which tools put it into their outputs.

Pure. What is not here is not recognised: compression, encryption, reversal, rot13, a form of a form (but JSON in JSON).
docs/security.md lists what is promised.
"""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from pyro_mcp.model.printable import printable

ENCODED_BYTES = 4
"""Texts shorter than this are looked for as they are only: their encoded forms would be found everywhere."""

LINE_BYTES = 8
"""The lines of a text that has several are looked for by themselves from this length on."""

LINES_IN_ALL_FORMS, LINES = 1_000, 10_000
"""Of all values together so many lines are looked for in every form, and so many as they are."""

ALL_FORMS_BYTES = 32 << 20
"""Once the forms of all values together are larger than this, what is left is looked for as it is only."""

BASE64_CHARACTERS = 6
"""The shortest piece of base64 that is looked for."""

# Its first character that none of the bytes before it has a part in, by the number of those modulo 3.
_BASE64_FIRST = (0, 2, 3)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ENDS_OF_LINES = re.compile(r"[\r\n]+")
# What encodeURIComponent of JavaScript leaves alone, beside letters, digits and `-_.~`.
_URI_COMPONENT = "!'()*"
# What `printf %q` of bash puts a backslash before; at the beginning also `#` and `~`.
_SHELL_SPECIAL = re.compile(r"[\t !\"$&'()*,;<>?\[\\\]^`{|}]")
_ANSI_C = {"\\": "\\\\", "'": "\\'", "\a": "\\a", "\b": "\\b", "\x1b": "\\E", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ANSI_C |= {"\t": "\\t", "\v": "\\v"}


def spellings(value: str) -> set[bytes]:
    """Every form of `value`, of it without blanks around it, and of its lines."""
    return {form for text in itertools.chain(_wholes(value), _lines(value)) for form in _forms(text)}


def forms(values: Iterable[str]) -> set[bytes]:
    """Those of all `values` together, within bounds: short values come before long ones, and values before lines."""
    ordered = sorted(filter(None, values), key=len)
    found, left = set[bytes](), ALL_FORMS_BYTES
    lines = dict.fromkeys(line for value in ordered for line in _lines(value))
    texts = [text for value in ordered for text in _wholes(value)]
    texts += itertools.islice(lines, LINES_IN_ALL_FORMS)
    for text in texts:
        found.add(_bytes(text))
        if left > 0:
            more = set(_forms(text)) - found
            left -= sum(map(len, more))
            found |= more
    return found.union(map(_bytes, itertools.islice(lines, LINES)))


def _wholes(value: str) -> Iterable[str]:
    return dict.fromkeys((value, value.strip()))


def _lines(value: str) -> Iterator[str]:
    lines = [line.strip() for line in _ENDS_OF_LINES.split(value.strip())]
    return (line for line in lines if len(lines) > 1 and len(_bytes(line)) >= LINE_BYTES)


def _forms(text: str) -> Iterator[bytes]:
    data = _bytes(text)
    yield data
    if len(data) < ENCODED_BYTES:
        return
    yield from _base64(data)
    for digits in (data.hex(), data.hex(" ")):
        yield from (digits.encode(), digits.upper().encode())
    for encoding in ("utf-16-le", "utf-16-be"):
        yield text.encode(encoding, "surrogatepass")
    if not text.isprintable():
        yield _bytes(printable(text, len(text)))
    for form in itertools.chain(_percent(data), _json(text), _markup(text), _escaped(text), _shell(text)):
        yield _bytes(form)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _base64(data: bytes) -> Iterator[bytes]:
    """What of it does not depend on its neighbours, wherever in a group of three bytes it begins.

    Then the same where nothing follows: the last character has zeros for what is missing, and padding may follow.
    """
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data)[_BASE64_FIRST[before] :]
        own = (before + len(data)) * 8 // 6 - _BASE64_FIRST[before]
        for form in (coded[:own], coded.rstrip(b"="), coded):
            if len(form.rstrip(b"=")) >= BASE64_CHARACTERS:
                yield form
                yield form.translate(_URL_SAFE)


def _percent(data: bytes) -> Iterator[str]:
    for safe in ("", "/", _URI_COMPONENT):
        form = quote(data, safe=safe)
        for variant in (form, form.replace("%20", "+")):
            yield variant
            yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), variant)


def _json(text: str) -> Iterator[str]:
    """As the inside of a JSON string, and of one that is in a JSON string itself."""
    for ascii_only in (True, False):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield json.dumps(form, ensure_ascii=ascii_only)[1:-1]
        for variant in (form, _html_safe(form)):
            yield variant
            yield variant.replace("/", "\\/")
            yield re.sub(r"\\u[0-9a-f]{4}", lambda code: "\\u" + code[0][2:].upper(), variant)


def _html_safe(form: str) -> str:
    """As Go writes JSON."""
    return re.sub("[<>&\u2028\u2029]", lambda character: f"\\u{ord(character[0]):04x}", form)


def _markup(text: str) -> Iterator[str]:
    """As XML and HTML have it, in elements and in attributes."""
    inside = html.escape(text, quote=False)
    double = ('"', "&quot;", "&#34;") if '"' in text else ('"',)
    single = ("'", "&#x27;", "&#39;", "&apos;") if "'" in text else ("'",)
    for first, second in itertools.product(double, single):
        yield inside.replace('"', first).replace("'", second)


def _escaped(text: str) -> Iterator[str]:
    """As the inside of a literal of Python, its texts and its bytes, and of languages like it."""
    yield repr(text)[1:-1]
    yield repr(_bytes(text))[2:-1]
    doubled = text.replace("\\", "\\\\")
    yield doubled.replace("'", "\\'")
    yield doubled.replace('"', '\\"')


def _shell(text: str) -> Iterator[str]:
    """As the inside of a word of a shell: between single quotes, double ones, with backslashes, as `$'…'`."""
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")
    yield re.sub(r'[\\"$`]', r"\\\g<0>", text)
    with_backslashes = _SHELL_SPECIAL.sub(r"\\\g<0>", text)
    yield with_backslashes
    if text[0] in "#~":
        yield "\\" + with_backslashes
    yield "".join(_ansi_c(character, ascii_only=False) for character in text)
    yield "".join(_ansi_c(character, ascii_only=True) for character in text)


def _ansi_c(character: str, *, ascii_only: bool) -> str:
    if character in _ANSI_C:
        return _ANSI_C[character]
    if " " <= character < "\x7f" or (character > "\x7f" and not ascii_only):
        return character
    return "".join(f"\\{byte:03o}" for byte in _bytes(character))
