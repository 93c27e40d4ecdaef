"""Kernel modules made by hand, for tests: as much of an ELF file as is ever read."""

from __future__ import annotations

import struct


def module(*depends: str) -> bytes:
    """A relocatable x86_64 file with a .modinfo that says what it depends on."""
    info = b"license=GPL\0depends=" + ",".join(depends).encode() + b"\0vermagic=6.1.0 SMP\0"
    names = b"\0.modinfo\0.shstrtab\0"
    names_at = 64 + len(info)
    table_at = names_at + len(names)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, 3, 2)
    sections = [(0, 0, 0), (1, 64, len(info)), (10, names_at, len(names))]
    table = b"".join(struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, at, size, 0, 0, 1, 0) for name, at, size in sections)
    return header + info + names + table
