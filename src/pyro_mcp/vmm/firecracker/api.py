"""Firecracker's API: HTTP over a unix socket, a connection per request.

Resources are Firecracker's own (src/firecracker/swagger/firecracker.yaml in its sources); calling one gives the request
that is to be sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h11

from pyro_mcp.errors import VmmError
from pyro_mcp.host import sockets
from pyro_mcp.model.printable import printable

# A snapshot of much memory takes long; everything else is a matter of milliseconds.
_ANSWER_SECONDS = 60.0
_ANSWER_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of the API that can be written. `key` names the field whose value ends its path, if there is one."""

    method: str
    path: str
    key: str | None = None

    def __call__(self, **fields: object) -> Request:
        path = self.path if self.key is None else f"{self.path}/{fields[self.key]}"
        return Request(self.method, path, fields)


MACHINE = Resource("PUT", "/machine-config")
BOOT_SOURCE = Resource("PUT", "/boot-source")
DRIVE = Resource("PUT", "/drives", key="drive_id")
NETWORK = Resource("PUT", "/network-interfaces", key="iface_id")
VSOCK = Resource("PUT", "/vsock")
ACTION = Resource("PUT", "/actions")
STATE = Resource("PATCH", "/vm")
SAVE = Resource("PUT", "/snapshot/create")
LOAD = Resource("PUT", "/snapshot/load")

START = ACTION(action_type="InstanceStart")
PAUSE = STATE(state="Paused")
RESUME = STATE(state="Resumed")
DESCRIBE = Request("GET", "/")


async def send(api: Path, request: Request) -> Mapping[str, object]:
    """What Firecracker answers; empty for what it only does.

    Raises VmmError: `vmm-gone`, `vmm-silent`, `vmm-protocol`, or `vmm-failed` with the reason of a refusal.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            status, answer = await _exchange(api, request)
    except TimeoutError as error:
        text = f"Firecracker did not answer {request.path} within {_ANSWER_SECONDS:g} s"
        raise VmmError(text, code="vmm-silent") from error
    except OSError as error:
        raise VmmError(f"Firecracker's API cannot be reached: {error.strerror}", code="vmm-gone") from error
    except h11.RemoteProtocolError as error:
        raise VmmError(f"Firecracker's answer to {request.path} is not HTTP", code="vmm-protocol") from error
    if status >= 400:
        reason = printable(str(answer.get("fault_message", status)))
        raise VmmError(f"Firecracker refused {request.path}: {reason}", details={"status": status})
    return answer


async def _exchange(api: Path, request: Request) -> tuple[int, Mapping[str, object]]:
    reader, writer = await asyncio.open_unix_connection(sock=await sockets.connect(api))
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_ANSWER_BYTES)
    try:
        writer.write(b"".join(http.send(event) or b"" for event in _events(request)))
        await writer.drain()
        return await _answer(http, reader)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def _events(request: Request) -> Iterator[h11.Event]:
    body = b"" if request.body is None else json.dumps(request.body).encode()
    headers = [("Host", "firecracker"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    yield h11.Request(method=request.method, target=request.path, headers=headers)
    yield h11.Data(data=body)
    yield h11.EndOfMessage()


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, Mapping[str, object]]:
    status, body = 0, bytearray()
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_ANSWER_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        if len(body) > _ANSWER_BYTES:
            raise VmmError("Firecracker sent an answer without end", code="vmm-protocol")
    return status, _parse(bytes(body))


def _parse(body: bytes) -> Mapping[str, object]:
    try:
        answer = json.loads(body or b"{}")
    except ValueError as error:
        raise VmmError("Firecracker sent an answer that is not JSON", code="vmm-protocol") from error
    if not isinstance(answer, dict):
        raise VmmError("Firecracker sent an answer that is no object", code="vmm-protocol")
    return answer
