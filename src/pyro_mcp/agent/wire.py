"""The bytes of the guest protocol: its constants, frames of the multiplexer (section 2) and of bodies (section 4).

Pure: bytes in, values out. `protocol/generation-1/` holds the samples that both sides are tested against.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from pyro_mcp.errors import GuestError

GENERATION = 1
PORT_NAME = "pyro.agent"

MUX_MAGIC = b"\xffPYROMX\x01"
MUX_HEADER_BYTES = 32
MUX_PAYLOAD_BYTES = 32_768
RESYNC_ZERO_BYTES = 32_800
STREAM_CREDIT_BYTES = 262_144
STREAMS_OPEN = 512
JSON_BODY_BYTES = 1_048_576
BODY_FRAME_BYTES = 1_048_576

_MUX_HEADER = struct.Struct(">8sQIB3xII")
_MUX_ZEROES = slice(21, 24)
_MUX_CHECKED = slice(8, 28)
_BODY_HEADER = struct.Struct(">BI")


class MuxKind(IntEnum):
    """Kinds of multiplexer frames."""

    HELLO = 1
    WELCOME = 2
    OPEN = 3
    DATA = 4
    WINDOW = 5
    FIN = 6
    RESET = 7


class BodyKind(IntEnum):
    """Kinds of frames in the bodies of a request; from 16 on they travel from guest to host."""

    START = 1
    STDIN = 2
    STDIN_EOF = 3
    STARTED = 16
    STDOUT = 17
    STDERR = 18
    EXIT = 19
    RESULT = 20
    FAILED = 21
    CONNECTED = 22
    OUTPUT_EOF = 23


def violation(what: str) -> GuestError:
    """The error for a guest that does not keep to the protocol. `what` completes "the guest …"."""
    return GuestError(
        f"the guest broke the protocol: it {what}",
        code="guest-protocol",
        hint="this guest cannot be trusted any more; delete it",
    )


@dataclass(frozen=True, slots=True)
class MuxHeader:
    """The header of a guest's frame."""

    session: int
    stream: int
    kind: MuxKind
    length: int


def encode_mux(session: int, stream: int, kind: MuxKind, payload: bytes | memoryview = b"") -> bytes:
    """A frame of the host: its checksum covers the payload too."""
    return _frame(session, stream, kind, payload, checked=payload)


def welcome_frame(session: int, nonce: bytes) -> bytes:
    """The one frame of a guest that is known before it comes."""
    return _frame(session, 0, MuxKind.WELCOME, nonce, checked=b"")


def _frame(
    session: int, stream: int, kind: MuxKind, payload: bytes | memoryview, *, checked: bytes | memoryview
) -> bytes:
    header = bytearray(_MUX_HEADER.pack(MUX_MAGIC, session, stream, kind, len(payload), 0))
    crc = zlib.crc32(checked, zlib.crc32(header[_MUX_CHECKED]))
    header[28:32] = crc.to_bytes(4, "big")
    return bytes(header) + payload


def decode_mux_header(header: bytes) -> MuxHeader:
    """The header in exactly MUX_HEADER_BYTES. Raises GuestError before anybody allocates what it asks for."""
    magic, session, stream, kind, length, crc = _MUX_HEADER.unpack(header)
    if magic != MUX_MAGIC:
        raise violation("sent bytes that are not a frame")
    if length > MUX_PAYLOAD_BYTES:
        raise violation(f"announced a frame of {length} bytes")
    if any(header[_MUX_ZEROES]) or kind not in MuxKind._value2member_map_:
        raise violation(f"sent a frame of unknown kind {kind}")
    if zlib.crc32(header[_MUX_CHECKED]) != crc:
        raise violation("sent a frame with a wrong checksum")
    return MuxHeader(session, stream, MuxKind(kind), length)


def encode_body(kind: BodyKind, payload: bytes = b"") -> bytes:
    return _BODY_HEADER.pack(kind, len(payload)) + payload


class BodyDecoder:
    """Cuts a guest's answer into body frames, however its bytes are split. Holds one unfinished frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[BodyKind, bytes]]:
        """The frames that `data` completes. Raises GuestError at the first header that cannot be right."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _BODY_HEADER.size:
                number, length = _BODY_HEADER.unpack_from(self._buffer, start)
                kind = _checked(number, length)
                end = start + _BODY_HEADER.size + length
                if len(self._buffer) < end:
                    break
                payload = bytes(self._buffer[end - length : end])
                start = end
                yield kind, payload
        finally:
            del self._buffer[:start]

    @property
    def unfinished(self) -> bool:
        """Whether the bytes so far end inside a frame."""
        return bool(self._buffer)


def _checked(number: int, length: int) -> BodyKind:
    if number not in BodyKind._value2member_map_ or number < BodyKind.STARTED:
        raise violation(f"sent a body frame of unknown kind {number}")
    if length > BODY_FRAME_BYTES:
        raise violation(f"announced a body frame of {length} bytes")
    return BodyKind(number)
