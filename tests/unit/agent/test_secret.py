"""How a secret value reaches a guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyro_mcp.agent.channel import SerialConnector
from pyro_mcp.agent.client import GuestAgent
from pyro_mcp.errors import GuestError
from tests.harness.fake_guest import (
    DATA,
    FIN,
    HTTP_STREAMING,
    START,
    STDIN,
    STDIN_EOF,
    Port,
    Script,
    body_frame,
    fake_guest,
)
from tests.unit.agent.test_client import agent_of, requested

RESULT, FAILED = 20, 21
VALUE = "canary grüße\n"


def takes_all_and_says(*frames: bytes) -> Script:
    async def script(port: Port) -> None:
        await port.welcome()
        stream = await port.request()
        while not requested(port).endswith(b"\r\n0\r\n\r\n"):
            await port.until(DATA)
        await port.send(stream, DATA, HTTP_STREAMING + b"".join(frames))
        await port.send(stream, FIN)

    return script


async def test_name_and_value_are_sent_as_the_protocol_says(tmp_path: Path) -> None:
    async with fake_guest(tmp_path / "agent.sock", takes_all_and_says(body_frame(RESULT, b"{}"))) as ports:
        agent = GuestAgent(SerialConnector(tmp_path / "agent.sock", deadline_seconds=10))
        await agent.secret("TOKEN", VALUE)
        await agent.close()
    said = requested(ports[0])
    assert said.startswith(b"POST /v1/secret HTTP/1.1\r\n")
    frames = [body_frame(START, b'{"name": "TOKEN"}'), body_frame(STDIN, VALUE.encode()), body_frame(STDIN_EOF)]
    places = [said.index(frame) for frame in frames]
    assert places == sorted(places)


async def test_a_guest_that_cannot_take_it_is_an_error_without_the_value(tmp_path: Path) -> None:
    failed = json.dumps({"code": "io-error", "error": "no", "details": {}}).encode()
    async with agent_of(takes_all_and_says(body_frame(FAILED, failed)), tmp_path) as agent:
        with pytest.raises(GuestError) as refused:
            await agent.secret("TOKEN", VALUE)
    assert refused.value.details["guest_code"] == "io-error"
    assert "canary" not in f"{refused.value!r}{refused.value.to_wire()}"
