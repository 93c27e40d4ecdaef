"""What the headers before a member say about it: PAX records and GNU's long names, and how they change its own."""

from __future__ import annotations

from pyro_mcp.host.tarheader import Header, bad, decimal, decimal_time, parse_pax

_OCTAL_BYTES = 8 << 30
"""The first size that does not fit into the field of a header in octal."""

# Records by which a file is not what stands in the archive: star's sparse files.
_UNKNOWN_CONTENT = frozenset({b"SCHILY.realsize", b"SCHILY.offset"})
_NOT_FOR_ALL = frozenset({b"path", b"linkpath", b"size"})

Records = list[tuple[bytes, bytes]]


class Extended:
    """Gathers the headers before one member. Two that contradict each other are refused: readers differ about them."""

    def __init__(self) -> None:
        self.records: Records = []
        self._known: dict[bytes, bytes] = {}
        self._name = b""
        self._link = b""

    @property
    def empty(self) -> bool:
        return not (self.records or self._name or self._link)

    def set_records(self, data: bytes) -> None:
        if self.records:
            raise bad("two extended headers for one member")
        self.records = parse_pax(data)
        # An empty value takes back what was said before, which is nothing.
        self._known = {key: value for key, value in self.records if value}
        if self._known.keys() & _UNKNOWN_CONTENT:
            raise bad("a sparse file in the way of star", "archive-unsupported")

    def set_long_name(self, data: bytes) -> None:
        self._name = _only_one(data.rstrip(b"\0"), self._name)

    def set_long_link(self, data: bytes) -> None:
        self._link = _only_one(data.rstrip(b"\0"), self._link)

    def get(self, key: bytes) -> bytes:
        """The value of a record, or nothing."""
        return self._known.get(key, b"")

    def name(self, header: Header) -> bytes:
        # A sparse file has two paths, the other one for readers that do not know of sparse files.
        return _only_one(self.get(b"GNU.sparse.name") or self.get(b"path"), self._name) or header.name

    def link(self, header: Header) -> bytes:
        return _only_one(self.get(b"linkpath"), self._link) or header.link

    def size(self, header: Header) -> int:
        if not (text := self.get(b"size")):
            return header.size
        size = decimal(text)
        if header.size not in (0, size) and size < _OCTAL_BYTES:
            raise bad("two sizes for one member")
        return size

    def mtime_ns(self, header: Header, for_all: int | None) -> int:
        if text := self.get(b"mtime"):
            return decimal_time(text)
        return header.mtime_ns if for_all is None else for_all


def mtime_for_all(data: bytes) -> int | None:
    """The time that a global header sets for all that follow. Raises UsageError for what cannot be meant for all."""
    known = dict(parse_pax(data))
    if any(key in _NOT_FOR_ALL or key.startswith(b"GNU.sparse.") for key in known):
        raise bad("a global header that names or sizes its members", "archive-unsupported")
    return decimal_time(known[b"mtime"]) if known.get(b"mtime") else None


def _only_one(one: bytes, other: bytes) -> bytes:
    if one and other:
        raise bad("two long names for one member")
    return one or other
