"""The members of a tar archive, one after the other, as it streams by.

No length that the archive claims is believed before it is compared with a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from pyro_mcp.host import tarsparse
from pyro_mcp.host.limits import Limits
from pyro_mcp.host.tarextended import Extended, mtime_for_all
from pyro_mcp.host.tarheader import BLOCK, ZEROS, Header, bad, decimal, parse_header
from pyro_mcp.host.tarsource import CHUNK, Read, Source
from pyro_mcp.host.tarsparse import Sparse

_EXTENSION_BYTES = 1 << 20
_EXTENSIONS = 16
"""Headers that may stand before one member."""
_PADDING_BYTES = 16 << 20
"""Zeros behind the end: it is filled up to the size of a tape's block, which `tar -b` sets."""


class Kind(Enum):
    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    LINK = auto()
    SPECIAL = auto()
    """A device or a FIFO; there are no sockets in archives."""


_SPARSE = b"S"
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7", _SPARSE), Kind.FILE),
    **dict.fromkeys((b"3", b"4", b"6"), Kind.SPECIAL),
    b"1": Kind.LINK,
    b"2": Kind.SYMLINK,
    b"5": Kind.DIRECTORY,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry as the archive has it; `name` and `link` may be anything. `size` is that of the whole file."""

    name: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    link: bytes
    size: int
    sparse: Sparse | None = None
    """If set, the data are its segments only."""


class Members:
    """Iterate over the members; take the data of each by `data`, or leave it. Raises UsageError."""

    def __init__(self, read: Read, limits: Limits) -> None:
        self._source = Source(read)
        self._entries = limits.entries
        self._bytes_left = limits.total_bytes
        self._mtime_ns: int | None = None
        self._data_left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        if self._source.at_end():
            raise bad("it is empty")
        for _ in range(self._entries):
            if (member := self._next()) is None:
                return
            yield member
            self._skip()
        if self._next() is not None:
            raise bad(f"more than {self._entries} entries", "archive-too-large")

    def data(self) -> Iterator[bytes]:
        """What the archive has of the member that was given last, in pieces of whole pages but for the last."""
        while self._data_left:
            piece = self._source.take(min(self._data_left, CHUNK))
            self._data_left -= len(piece)
            yield piece

    def _skip(self) -> None:
        for _ in self.data():
            pass
        self._source.take(self._padding)
        self._padding = 0

    def _next(self) -> Member | None:
        extended = Extended()
        for _ in range(_EXTENSIONS):
            header = self._header()
            if header is None:
                if not extended.empty:
                    raise bad("it ends behind an extended header")
                return None
            match header.kind:
                case b"x":
                    extended.set_records(self._extension(header))
                case b"g":
                    self._mtime_ns = mtime_for_all(self._extension(header))
                case b"L":
                    extended.set_long_name(self._extension(header))
                case b"K":
                    extended.set_long_link(self._extension(header))
                case b"V":  # the name of a tape
                    self._extension(header)
                case _:
                    return self._member(header, extended)
        raise bad("too many extended headers before one member")

    def _header(self) -> Header | None:
        """The next header; none at the end, be it marked or, as GNU tar allows, just there."""
        if self._source.at_end():
            return None
        block = self._source.take(BLOCK)
        if block != ZEROS:
            return parse_header(block)
        if not self._source.zeros(_PADDING_BYTES):
            raise bad("something follows its end")
        return None

    def _extension(self, header: Header) -> bytes:
        if header.size > _EXTENSION_BYTES:
            raise bad(f"an extended header of {header.size} bytes", "archive-too-large")
        data = self._source.take(header.size)
        self._source.take(-header.size % BLOCK)
        return data

    def _member(self, header: Header, extended: Extended) -> Member:
        kind = _KINDS.get(header.kind)
        if kind is None:
            raise bad(f"a member of type {header.kind!r}", "archive-unsupported")
        name = extended.name(header)
        if kind is Kind.FILE and name.endswith(b"/"):
            kind = Kind.DIRECTORY  # as archives had them before there was a type for it
        # A hard link may tell the size of its file. The data is not there.
        size = 0 if kind is Kind.LINK else extended.size(header)
        if size and kind is not Kind.FILE:
            raise bad("data of what is no file")
        self._begin(size)
        sparse = self._sparse(header, extended) if kind is Kind.FILE else None
        return Member(
            name=name,
            kind=kind,
            mode=header.mode,
            mtime_ns=extended.mtime_ns(header, self._mtime_ns),
            link=extended.link(header),
            size=size if sparse is None else sparse.size,
            sparse=sparse,
        )

    def _sparse(self, header: Header, extended: Extended) -> Sparse | None:
        if header.kind == _SPARSE:
            sparse = tarsparse.from_old_header(header, self._source.take)
        elif (major := extended.get(b"GNU.sparse.major")) not in (b"", b"0", b"1"):
            raise bad("a sparse file of a format to come", "archive-unsupported")
        elif major == b"1":
            total = decimal(extended.get(b"GNU.sparse.realsize"))
            sparse, taken = tarsparse.from_data(total, self._data_left, self._source.take)
            self._data_left -= taken
        elif (found := tarsparse.from_records(extended.records)) is not None:
            sparse = found
        else:
            return None
        if sparse.stored != self._data_left:
            raise bad("the map of a sparse file does not fit its data")
        self._pay(sparse.size - sparse.stored)
        return sparse

    def _begin(self, size: int) -> None:
        self._pay(size)
        self._data_left, self._padding = size, -size % BLOCK

    def _pay(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise bad("its files are larger than they may be together", "archive-too-large")
