"""The ELF file inside a bzImage, for VMMs that start it themselves instead of running the image's own decompressor.

Debian's kernel is compressed in lz4's legacy format: blocks of 8 MiB that know nothing of one another. Decoding it in
here takes a second, once per kernel and only where such a VMM is used; a library would be a dependency for that.
Formats: the kernel's Documentation/arch/x86/boot.rst; lz4's lz4_Frame_format.md ("Legacy frame"), lz4_Block_format.md.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pyro_mcp.environments import manifest
from pyro_mcp.environments.layout import Layout
from pyro_mcp.errors import BuildError, IntegrityError
from pyro_mcp.host import files
from pyro_mcp.model.environment import InstalledEnvironment

_SECTOR = 512
_SETUP_SECTORS = 0x1F1
_MAGIC = slice(0x202, 0x206)
_PAYLOAD = 0x248
_LEGACY_LZ4 = bytes.fromhex("02214c18")
_ELF = b"\x7fELF"
_BLOCK_BYTES = 8 << 20
_LONG = 15
_SHORTEST_MATCH = 4


def provide(layout: Layout, environment: InstalledEnvironment) -> Path:
    """The kernel of `environment` as an ELF file, intact; made now unless that was done before.

    Raises BuildError if its image holds none, OSError.
    """
    place = layout.vmlinux(environment.kernel_digest)
    record = place.with_suffix(".json")
    known = manifest.read_file(record)
    if known is not None:
        try:
            if (current := manifest.verify(place.parent, known)) != known:
                manifest.write(record, current)
            return place
        except IntegrityError:
            pass  # it can be made again
    place.parent.mkdir(exist_ok=True)
    files.write_atomically(place, extract(environment.kernel.read_bytes()))
    manifest.write(record, manifest.record_file(place.parent, place.name))
    return place


def extract(image: bytes) -> bytes:
    """The ELF file in the bzImage `image`. Raises BuildError if there is none. Pure."""
    try:
        payload = _payload(image)
        kernel = _unpack(payload[:-4])
        (size,) = struct.unpack("<I", payload[-4:])
    except (struct.error, IndexError, ValueError) as error:
        raise BuildError(f"the kernel image cannot be unpacked: {error}") from error
    if len(kernel) != size or not kernel.startswith(_ELF):
        raise BuildError("the kernel image does not hold a whole ELF file")
    return bytes(kernel)


def _payload(image: bytes) -> memoryview:
    """What the image's decompressor would unpack."""
    if image[_MAGIC] != b"HdrS":
        raise ValueError("it is no bzImage")
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    # The first sector is not counted; no number at all means four.
    start = ((image[_SETUP_SECTORS] or 4) + 1) * _SECTOR + offset
    return memoryview(image)[start : start + length]


def _unpack(frame: memoryview) -> bytearray:
    if frame[:4] != _LEGACY_LZ4:
        raise ValueError("it is not compressed with lz4")
    kernel = bytearray()
    at = 4
    while at < len(frame):
        (length,) = struct.unpack_from("<I", frame, at)
        at += 4
        kernel += _unpack_block(bytes(frame[at : at + length]))
        at += length
    return kernel


def _unpack_block(block: bytes) -> bytearray:
    """One block: sequences of some literal bytes and a copy of bytes further back; the last has literals only."""
    out = bytearray()
    at, end = 0, len(block)
    while True:
        token = block[at]
        literals, at = _length(token >> 4, block, at + 1)
        out += block[at : at + literals]
        at += literals
        if at >= end:
            return out
        distance = block[at] | block[at + 1] << 8
        size, at = _length(token & 15, block, at + 2)
        size += _SHORTEST_MATCH
        start = len(out) - distance
        if not 0 <= start < len(out) or len(out) > _BLOCK_BYTES:
            raise ValueError("its compressed data makes no sense")
        copied = out[start : start + size]
        # A copy may reach into what it is about to write: then it repeats itself.
        out += copied if distance >= size else (copied * (size // distance + 1))[:size]


def _length(nibble: int, block: bytes, at: int) -> tuple[int, int]:
    """A length that starts with these four bits, and where it ends: while all bits are set, there is more to add."""
    if nibble < _LONG:
        return nibble, at
    while (more := block[at]) == 255:
        nibble += more
        at += 1
    return nibble + more, at + 1
