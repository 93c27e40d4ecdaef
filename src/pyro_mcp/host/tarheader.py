"""The blocks of a tar archive, taken apart: one header, one list of PAX records. Pure, and strict.

Formats: POSIX.1-2001 (ustar and PAX), GNU, and what was before both. `tarfile` is not used: its way through a hostile
header has had loops, escapes and unbounded reads of its own, and it keeps times as floats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pyro_mcp.errors import UsageError

BLOCK: Final = 512
ZEROS: Final = bytes(BLOCK)

_POSIX = b"ustar\x00"
_GNU_POSITIVE, _GNU_NEGATIVE = 0x80, 0xFF
_FAR_SECONDS = 1 << 40
"""No file is that old or that new; the kernel takes such times and makes something else of them."""

_OCTAL = re.compile(rb" *([0-7]*)(?:[ \0][ \0]*)?")
_TIME = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")
_LENGTH_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Header:
    """One header as it stands in the archive; `kind` is its type flag. What goes before it may change its meaning."""

    name: bytes
    kind: bytes
    mode: int
    size: int
    mtime_ns: int
    link: bytes
    block: bytes


def bad(reason: str, code: str = "bad-archive", **details: object) -> UsageError:
    return UsageError(f"the archive cannot be unpacked: {reason}", code=code, details={"reason": reason, **details})


def parse_header(block: bytes) -> Header:
    """A block of 512 bytes that is not all zero. Raises UsageError `bad-archive`."""
    if number(block[148:156]) not in _checksums(block):
        raise bad("a header with a wrong checksum; tar, tar.gz and tar.zst are understood")
    name = _text(block[:100])
    if block[257:263] == _POSIX and (prefix := _text(block[345:500])):
        name = prefix + b"/" + name
    return Header(
        name=name,
        kind=block[156:157],
        mode=number(block[100:108]) & 0o7777,
        size=size(block[124:136]),
        mtime_ns=_seconds(number(block[136:148])) * 1_000_000_000,
        link=_text(block[157:257]),
        block=block,
    )


def parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records of an extended header in their order. Raises UsageError `bad-archive`."""
    records = []
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + _LENGTH_DIGITS + 1)
        length = data[at:blank]
        if blank < 0 or not length.isdigit():
            raise bad("an extended header without the length of a record")
        end = at + int(length)
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= blank + 1 or data[end - 1] != ord("\n") or not key or not equals:
            raise bad("an extended header with a broken record")
        records.append((key, value))
        at = end
    return records


def decimal(text: bytes) -> int:
    """Raises UsageError `bad-archive` for anything but up to 19 digits."""
    if not text.isdigit() or len(text) > 19:
        raise bad("a number that is none")
    return int(text)


def decimal_time(text: bytes) -> int:
    """Nanoseconds; what is finer is cut off. Raises UsageError `bad-archive`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise bad("a time that is none")
    sign, seconds, fraction = found.groups()
    nanoseconds = _seconds(int(seconds)) * 1_000_000_000 + int((fraction or b"")[:9].ljust(9, b"0"))
    return -nanoseconds if sign else nanoseconds


def size(field: bytes) -> int:
    """As `number`, but not negative."""
    if (value := number(field)) < 0:
        raise bad("a negative size")
    return value


def number(field: bytes) -> int:
    """The number in a field of a header: octal, or GNU's base 256. Raises UsageError `bad-archive`."""
    if field[0] in (_GNU_POSITIVE, _GNU_NEGATIVE):
        value = int.from_bytes(field[1:], "big")
        return value - (1 << 8 * (len(field) - 1)) if field[0] == _GNU_NEGATIVE else value
    found = _OCTAL.fullmatch(field)
    if found is None:
        raise bad("a header with a number that is none")
    return int(found[1] or b"0", 8)


def _seconds(value: int) -> int:
    if abs(value) > _FAR_SECONDS:
        raise bad("a time out of range")
    return value


def _checksums(block: bytes) -> tuple[int, int]:
    """Both sums that have been in use: of unsigned and of signed bytes, the field itself taken as blanks."""
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if block.isascii():
        return unsigned, unsigned
    high = sum(byte > 127 for byte in block[:148] + block[156:])
    return unsigned, unsigned - 256 * high


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
