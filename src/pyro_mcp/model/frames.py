"""Length-prefixed frames: kind (1 byte), payload length (u32, big-endian), payload.

The daemon streams every answer to its clients in them (`daemon/`, `sdk/`).
"""

from __future__ import annotations

import struct
from enum import IntEnum

_HEADER = struct.Struct(">BI")
HEADER_BYTES = _HEADER.size
MAX_PAYLOAD = 128 << 20
MAX_REQUEST_BYTES = 16 << 20
"""Longest request body a daemon reads."""


class Kind(IntEnum):
    """What a frame of the daemon's answer carries. STDOUT and STDERR are bytes, the others JSON objects."""

    EVENT = 1
    STDOUT = 2
    STDERR = 3
    RESULT = 4
    ERROR = 5


def encode_frame(kind: Kind, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


def decode_header(header: bytes) -> tuple[Kind, int]:
    """Kind and payload length. Raises ValueError for a frame that cannot be one."""
    kind, length = _HEADER.unpack(header)
    if length > MAX_PAYLOAD:
        raise ValueError(f"frame of {length} bytes")
    return Kind(kind), length
