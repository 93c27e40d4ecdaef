"""Tar archives made by hand, byte by byte, as no well-meaning program makes them."""

from __future__ import annotations

from pyro_mcp.host.tarsource import Read

BLOCK = 512
END = bytes(2 * BLOCK)
POSIX, GNU, OLD = b"ustar\x0000", b"ustar  \0", bytes(8)


def block(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    mtime: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = POSIX,
    prefix: bytes = b"",
    checksum: int | None = None,
) -> bytes:
    """One header. Numbers as bytes go into their field as they are."""
    number = {
        "mode": mode if isinstance(mode, bytes) else b"%07o\0" % mode,
        "size": size if isinstance(size, bytes) else b"%011o\0" % size,
        "mtime": mtime if isinstance(mtime, bytes) else b"%011o\0" % mtime,
    }
    before = name.ljust(100, b"\0") + number["mode"] + b"0000000\0" * 2 + number["size"] + number["mtime"]
    behind = kind + link.ljust(100, b"\0") + magic + bytes(80) + prefix
    behind = behind.ljust(BLOCK - 156, b"\0")
    total = sum(before) + sum(behind) + 8 * 32 if checksum is None else checksum
    made = before + b"%06o\0 " % total + behind
    assert len(made) == BLOCK
    return made


def filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def file(name: bytes, data: bytes = b"data", **more: int | bytes) -> bytes:
    return block(name, size=more.pop("size", len(data)), **more) + filled(data)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755) -> bytes:
    return block(name, b"5", mode=mode)


def symlink(name: bytes, target: bytes) -> bytes:
    return block(name, b"2", link=target)


def hard_link(name: bytes, target: bytes) -> bytes:
    return block(name, b"1", link=target)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    return raw_pax(b"".join(record(key, value) for key, value in records), kind)


def raw_pax(data: bytes, kind: bytes = b"x") -> bytes:
    return block(b"pax", kind, size=len(data)) + filled(data)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return block(b"././@LongLink", kind, size=len(name) + 1, magic=GNU) + filled(name + b"\0")


def reader(data: bytes, step: int = 1 << 20) -> Read:
    """Gives `data` in pieces of up to `step` bytes."""
    at = 0

    def read(count: int) -> bytes:
        nonlocal at
        piece = data[at : at + min(count, step)]
        at += len(piece)
        return piece

    return read
