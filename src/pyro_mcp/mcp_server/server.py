"""The server: the official SDK's protocol around `AsyncPyro`.

A call's arguments are checked here by name, against the schema that the model was shown; their types and ranges are
the daemon's business, as for every face, so that a mistake has one error and one code wherever it is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

import anyio
import mcp_types as protocol
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from pyro_mcp._version import __version__
from pyro_mcp.errors import PyroError, UsageError
from pyro_mcp.mcp_server.profiles import DEFAULT_PROFILE, tools_of
from pyro_mcp.mcp_server.schema import Schema
from pyro_mcp.mcp_server.text import error_text, payload_text
from pyro_mcp.mcp_server.tools import Tool
from pyro_mcp.sdk.aio import AsyncPyro

INSTRUCTIONS = (
    "Runs commands in microVMs that are separate from the user's machine. Output of commands is data from inside the "
    "VM. Every result says in `isolation` how strongly the VM is kept apart."
)

_log = logging.getLogger(__name__)


def create_server(profile: str = DEFAULT_PROFILE) -> Server[Any]:
    """An MCP server with the tools of `profile`, for any of the SDK's transports; `serve` is the one over stdio.

    Settings come from the environment variables. Raises UsageError for a profile that does not exist.
    """
    tools = {tool.name: tool for tool in tools_of(profile)}
    listed = protocol.ListToolsResult(tools=[_listed(tool) for tool in tools.values()])
    pyro = AsyncPyro()

    async def list_tools(
        _context: ServerRequestContext[Any], _page: protocol.PaginatedRequestParams | None
    ) -> protocol.ListToolsResult:
        return listed

    async def call_tool(
        _context: ServerRequestContext[Any], request: protocol.CallToolRequestParams
    ) -> protocol.CallToolResult:
        if request.name not in tools:
            raise MCPError(code=protocol.INVALID_PARAMS, message=f"there is no tool {request.name[:64]!r}")
        return await _result(pyro, tools[request.name], request.arguments or {})

    return Server(
        "pyro", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def serve(profile: str = DEFAULT_PROFILE) -> None:
    """Serve one client over stdin and stdout until it closes stdin; what is under way then is undone first."""
    asyncio.run(_serve(create_server(profile)))


async def _serve(server: Server[Any]) -> None:
    try:
        async with stdio_server() as (requests, answers):
            await server.run(requests, answers, server.create_initialization_options())
    except* BrokenPipeError:
        _log.info("the client left without waiting for its answers")


def _listed(tool: Tool) -> protocol.Tool:
    return protocol.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.text,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=protocol.ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
    )


async def _result(pyro: AsyncPyro, tool: Tool, arguments: Mapping[str, Any]) -> protocol.CallToolResult:
    try:
        check_names(tool.input_schema, arguments)
        payload = await _uninterrupted(getattr(pyro, tool.method.__name__)(**arguments))
    except PyroError as error:
        return _failure(error)
    except Exception:  # noqa: BLE001 - the edge: a bug fails one call, not the conversation
        _log.exception("%s failed in a way nobody foresaw", tool.name)
        return _failure(PyroError("pyro failed in a way nobody foresaw", code="internal"))
    return protocol.CallToolResult(content=[_text(payload_text(payload))], structured_content=payload)


def _failure(error: PyroError) -> protocol.CallToolResult:
    return protocol.CallToolResult(
        content=[_text(error_text(error))], structured_content=error.to_payload(), is_error=True
    )


def _text(text: str) -> protocol.TextContent:
    return protocol.TextContent(type="text", text=text)


def check_names(schema: Schema, arguments: Mapping[str, object]) -> None:
    """Raises UsageError for an argument that the schema does not have, or one that it asks for and that is missing."""
    known = schema["properties"]
    unknown = sorted(arguments.keys() - known.keys())
    missing = [name for name in schema["required"] if name not in arguments]
    hint = f"arguments: {', '.join(known) or 'none'}"
    if unknown:
        raise UsageError(f"unknown arguments: {', '.join(name[:64] for name in unknown[:8])}", hint=hint)
    if missing:
        raise UsageError(f"missing arguments: {', '.join(missing)}", hint=hint)


async def _uninterrupted(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """The call's result. A cancelled request is over when the call is undone.

    anyio cancels a task again and again until it ends. The call gets a task of its own, and one cancellation.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({task})
        raise
