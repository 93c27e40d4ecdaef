"""The operations on what lives in a workspace, each one row of `routes.OPERATIONS`."""

from __future__ import annotations

from pyro_mcp.config import (
    IDLE_MS_RANGE,
    READY_INTERVAL_MS_RANGE,
    READY_SECONDS_RANGE,
    SHELL_CHARS_RANGE,
    TAIL_LINES_RANGE,
    TERMINAL_RANGE,
)
from pyro_mcp.daemon.call import Call, Payload
from pyro_mcp.engine.services import ServiceRequest
from pyro_mcp.engine.shell_view import Reading
from pyro_mcp.engine.shells import SIGNALS, Opening
from pyro_mcp.errors import UsageError
from pyro_mcp.model.paths import working_directory
from pyro_mcp.model.requests import Command, require_bool, require_identifier, require_range
from pyro_mcp.model.secrets import require_secret_env
from pyro_mcp.model.service import require_ports, require_readiness
from pyro_mcp.model.workspace import WORKSPACE_PATH

_INPUT_CHARACTERS = 1 << 20
_CURSOR_RANGE = (0, 2**53)


async def open_shell(
    call: Call,
    *,
    workspace_id: str,
    cwd: str = WORKSPACE_PATH,
    cols: int = 120,
    rows: int = 30,
    secret_env: object = None,
) -> Payload:
    opening = Opening(
        working_directory(cwd),
        require_range("cols", cols, TERMINAL_RANGE),
        require_range("rows", rows, TERMINAL_RANGE),
        require_secret_env(secret_env if secret_env is not None else {}),
    )
    return await call.engine.shells.open(workspace_id, opening)


async def read_shell(
    call: Call,
    *,
    workspace_id: str,
    shell_id: str,
    cursor: int = 0,
    max_chars: int = 65_536,
    plain: bool = False,
    wait_for_idle_ms: int | None = None,
) -> Payload:
    reading = Reading(
        require_range("cursor", cursor, _CURSOR_RANGE),
        require_range("max_chars", max_chars, SHELL_CHARS_RANGE),
        require_bool("plain", plain),
        None if wait_for_idle_ms is None else require_range("wait_for_idle_ms", wait_for_idle_ms, IDLE_MS_RANGE),
    )
    return await call.engine.shells.read(workspace_id, shell_id, reading)


async def write_shell(
    call: Call, *, workspace_id: str, shell_id: str, input: str, append_newline: bool = True
) -> Payload:
    if not isinstance(input, str) or len(input) > _INPUT_CHARACTERS:
        raise UsageError(f"input must be a text of at most {_INPUT_CHARACTERS} characters")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in input):
        raise UsageError("input is not valid UTF-8")
    append = require_bool("append_newline", append_newline)
    return await call.engine.shells.write(workspace_id, shell_id, input, append_newline=append)


async def signal_shell(call: Call, *, workspace_id: str, shell_id: str, signal_name: str = "INT") -> Payload:
    if signal_name not in SIGNALS:
        raise UsageError(f"signal_name is {str(signal_name)[:20]!r}; it must be one of {', '.join(SIGNALS)}")
    return await call.engine.shells.signal(workspace_id, shell_id, signal_name)


async def resize_shell(call: Call, *, workspace_id: str, shell_id: str, cols: int, rows: int) -> Payload:
    return await call.engine.shells.resize(
        workspace_id,
        shell_id,
        cols=require_range("cols", cols, TERMINAL_RANGE),
        rows=require_range("rows", rows, TERMINAL_RANGE),
    )


async def close_shell(call: Call, *, workspace_id: str, shell_id: str) -> Payload:
    return await call.engine.shells.close(workspace_id, shell_id)


async def attach_shell(call: Call, *, workspace_id: str, shell_id: str, cursor: int | None = None) -> Payload:
    begin = None if cursor is None else require_range("cursor", cursor, _CURSOR_RANGE)
    return await call.engine.shells.attach(workspace_id, shell_id, begin, call.stdin, call.sink)


async def start_service(
    call: Call,
    *,
    workspace_id: str,
    service_name: str,
    command: object,
    cwd: str = WORKSPACE_PATH,
    readiness: object = None,
    ready_timeout_seconds: int = 30,
    ready_interval_ms: int = 500,
    secret_env: object = None,
    published_ports: object = None,
) -> Payload:
    request = ServiceRequest(
        Command.parse(command),
        cwd=working_directory(cwd),
        readiness=require_readiness(readiness),
        ready_timeout_seconds=require_range("ready_timeout_seconds", ready_timeout_seconds, READY_SECONDS_RANGE),
        ready_interval_ms=require_range("ready_interval_ms", ready_interval_ms, READY_INTERVAL_MS_RANGE),
        ports=require_ports(published_ports),
        secret_env=require_secret_env(secret_env if secret_env is not None else {}),
    )
    name = require_identifier("service_name", service_name)
    return await call.engine.services.start(workspace_id, name, request)


async def list_services(call: Call, *, workspace_id: str) -> Payload:
    return call.engine.services.list(workspace_id)


async def status_service(call: Call, *, workspace_id: str, service_name: str) -> Payload:
    return call.engine.services.status(workspace_id, service_name)


async def logs_service(
    call: Call,
    *,
    workspace_id: str,
    service_name: str,
    tail_lines: int = 200,
    all: bool = False,
    follow: bool = False,
) -> Payload:
    lines = require_range("tail_lines", tail_lines, TAIL_LINES_RANGE)
    return await call.engine.services.logs(
        workspace_id,
        service_name,
        call.sink,
        tail_lines=None if require_bool("all", all) else lines,
        follow=require_bool("follow", follow),
    )


async def stop_service(call: Call, *, workspace_id: str, service_name: str) -> Payload:
    return await call.engine.services.stop(workspace_id, service_name)


ROWS = (
    open_shell,
    read_shell,
    write_shell,
    signal_shell,
    resize_shell,
    close_shell,
    attach_shell,
    start_service,
    list_services,
    status_service,
    logs_service,
    stop_service,
)
