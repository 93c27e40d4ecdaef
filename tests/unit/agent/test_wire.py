"""The bytes of the protocol, against the samples that the guest's tests read too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.agent import wire
from pyro_mcp.errors import GuestError

PROTOCOL = Path(__file__).parents[3] / "protocol" / f"generation-{wire.GENERATION}"
SCHEMA: dict[str, Any] = json.loads((PROTOCOL / "schema.json").read_text())
GOLDEN: dict[str, Any] = json.loads((PROTOCOL / "golden.json").read_text())

FROM_HOST, FROM_GUEST = (
    [sample for sample in GOLDEN["mux"] if sample["sender"] == sender] for sender in ("host", "guest")
)
TO_HOST = [sample for sample in GOLDEN["body"] if sample["kind"] >= wire.BodyKind.STARTED]


def test_constants_are_those_of_the_schema() -> None:
    assert SCHEMA["generation"] == GOLDEN["generation"] == wire.GENERATION
    assert SCHEMA["port_name"] == wire.PORT_NAME
    assert SCHEMA["mux_kinds"] == {kind.name: kind.value for kind in wire.MuxKind}
    assert SCHEMA["body_kinds"] == {kind.name: kind.value for kind in wire.BodyKind}
    limits = {name: value for name, value in SCHEMA["limits"].items() if name != "vsock_port"}
    assert limits == {name: getattr(wire, name.upper()) for name in limits}


@pytest.mark.parametrize("sample", FROM_HOST, ids=lambda sample: sample["name"])
def test_frames_are_written_as_in_the_golden_file(sample: dict[str, Any]) -> None:
    session, payload = int(sample["session"], 16), bytes.fromhex(sample["payload"])
    written = wire.encode_mux(session, sample["stream"], wire.MuxKind(sample["kind"]), payload)
    assert written == bytes.fromhex(sample["bytes"])


@pytest.mark.parametrize("sample", FROM_GUEST, ids=lambda sample: sample["name"])
def test_frames_are_read_as_in_the_golden_file(sample: dict[str, Any]) -> None:
    session, payload = int(sample["session"], 16), bytes.fromhex(sample["payload"])
    golden = bytes.fromhex(sample["bytes"])
    header = wire.decode_mux_header(golden[:32])
    assert header == wire.MuxHeader(session, sample["stream"], wire.MuxKind(sample["kind"]), len(payload))
    if header.kind is wire.MuxKind.WELCOME:
        assert wire.welcome_frame(session, payload) == golden


@pytest.mark.parametrize("sample", GOLDEN["mux_refused"], ids=lambda sample: sample["name"])
def test_a_mux_frame_of_the_refused_is_refused(sample: dict[str, Any]) -> None:
    data = bytes.fromhex(sample["bytes"])
    with pytest.raises(GuestError) as refused:
        wire.decode_mux_header(data[:32])
    assert refused.value.code == "guest-protocol"


@given(at=st.integers(0, 31), bit=st.integers(0, 7))
def test_every_flipped_bit_of_a_header_is_noticed(at: int, bit: int) -> None:
    data = bytearray(wire.welcome_frame(7, b"a nonce"))
    data[at] ^= 1 << bit
    with pytest.raises(GuestError):
        wire.decode_mux_header(bytes(data[:32]))


@pytest.mark.parametrize("sample", GOLDEN["body"], ids=lambda sample: sample["name"])
def test_body_frames_are_those_of_the_golden_file(sample: dict[str, Any]) -> None:
    kind, payload = wire.BodyKind(sample["kind"]), bytes.fromhex(sample["payload"])
    assert wire.encode_body(kind, payload) == bytes.fromhex(sample["bytes"])


@given(st.integers(1, 40))
def test_an_answer_is_the_same_however_it_is_cut(size: int) -> None:
    data = b"".join(bytes.fromhex(sample["bytes"]) for sample in TO_HOST)
    decoder = wire.BodyDecoder()
    frames = [found for at in range(0, len(data), size) for found in decoder.feed(data[at : at + size])]
    assert frames == [(sample["kind"], bytes.fromhex(sample["payload"])) for sample in TO_HOST]
    assert not decoder.unfinished


@pytest.mark.parametrize("sample", GOLDEN["body_refused"], ids=lambda sample: sample["name"])
def test_a_body_frame_of_the_refused_is_refused(sample: dict[str, Any]) -> None:
    with pytest.raises(GuestError):
        list(wire.BodyDecoder().feed(bytes.fromhex(sample["bytes"])))


@pytest.mark.parametrize("kind", [wire.BodyKind.START, wire.BodyKind.STDIN, wire.BodyKind.STDIN_EOF])
def test_frames_that_only_a_host_may_send_are_refused(kind: wire.BodyKind) -> None:
    with pytest.raises(GuestError):
        list(wire.BodyDecoder().feed(wire.encode_body(kind)))


def test_a_truncated_frame_is_unfinished() -> None:
    decoder = wire.BodyDecoder()
    assert list(decoder.feed(wire.encode_body(wire.BodyKind.STDOUT, b"abc")[:-1])) == []
    assert decoder.unfinished
