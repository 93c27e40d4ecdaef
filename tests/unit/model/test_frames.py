"""The frames of the daemon's answers."""

from __future__ import annotations

import pytest

from pyro_mcp.model.frames import HEADER_BYTES, MAX_PAYLOAD, Kind, decode_header, encode_frame


@pytest.mark.parametrize("kind", Kind)
def test_a_frame_says_its_kind_and_length(kind: Kind) -> None:
    frame = encode_frame(kind, b"abc")

    assert decode_header(frame[:HEADER_BYTES]) == (kind, 3)
    assert frame[HEADER_BYTES:] == b"abc"


@pytest.mark.parametrize("header", [b"\x63\0\0\0\0", b"\x01" + (MAX_PAYLOAD + 1).to_bytes(4, "big")])
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        decode_header(header)
