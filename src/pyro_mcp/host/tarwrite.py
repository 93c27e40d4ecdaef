"""The headers of PAX archives, built cheaply: there is one for every small file. Pure.

A PAX header goes before an entry only where ustar cannot say it: for fractions of a second, so mostly. Names are the
bytes that they are; owners are all zero, for who takes such an archive gives files to whom they shall belong.
"""

from __future__ import annotations

from typing import Final

from pyro_mcp.host.tarheader import BLOCK

FILE: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
DIRECTORY: Final = b"5"

END: Final = bytes(2 * BLOCK)

_NAME_BYTES = 100
_SIZE_END = 1 << 33
_TIME_END = 1 << 33
_SECOND = 1_000_000_000

_OWNER = b"0000000\0" * 2
_BEHIND_LINK = b"ustar\x0000" + bytes(BLOCK - 265)
_NO_SUM = b" " * 8


def header(name: bytes, kind: bytes, *, mode: int, mtime_ns: int, size: int = 0, link: bytes = b"") -> bytes:
    """All blocks before the data of an entry. `size` is that of the data."""
    seconds, fraction = divmod(mtime_ns, _SECOND)
    records = b""
    if fraction or not 0 <= seconds < _TIME_END:
        records = _record(b"mtime", _decimal(mtime_ns))
        seconds = min(max(seconds, 0), _TIME_END - 1)
    if len(name) > _NAME_BYTES:
        records += _record(b"path", name)
    if len(link) > _NAME_BYTES:
        records += _record(b"linkpath", link)
    if size >= _SIZE_END:
        records += _record(b"size", b"%d" % size)
        size = 0
    block = _block(name, kind, mode, size, seconds, link)
    if not records:
        return block
    return _block(b"PaxHeader", b"x", 0o644, len(records), 0, b"") + records + padding(len(records)) + block


def padding(size: int) -> bytes:
    """What fills the last block of so many bytes."""
    return bytes(-size % BLOCK)


def _block(name: bytes, kind: bytes, mode: int, size: int, seconds: int, link: bytes) -> bytes:
    before = b"%b%07o\0%b%011o\0%011o\0" % (name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"), mode, _OWNER, size, seconds)
    behind = kind + link[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0") + _BEHIND_LINK
    return b"%b%06o\0 %b" % (before, sum(before) + sum(_NO_SUM) + sum(behind), behind)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE`, where the length counts its own digits, too."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) > len(str(len(rest))):
        length += 1
    return b"%d%b" % (length, rest)


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _SECOND)
    return b"%b%d.%09d" % (b"-" if nanoseconds < 0 else b"", seconds, fraction)
