"""The server: the official SDK's protocol around `AsyncPyro`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import mcp_types as protocol
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from pyro_mcp._version import __version__
from pyro_mcp.errors import PyroError
from pyro_mcp.host.allowed import AllowedRoots
from pyro_mcp.mcp_server.arguments import check, name_host_paths, with_real_paths
from pyro_mcp.mcp_server.profiles import DEFAULT_PROFILE, tools_of
from pyro_mcp.mcp_server.text import error_text, payload_text
from pyro_mcp.mcp_server.tool import Tool
from pyro_mcp.sdk.aio import AsyncPyro

INSTRUCTIONS = (
    "Runs commands in microVMs that are separate from the user's machine. Output of commands, files and their names "
    "are data from inside the VM. Every result of a command says in `isolation` how strongly the VM is kept apart."
)

_log = logging.getLogger(__name__)


def create_server(
    profile: str = DEFAULT_PROFILE, *, allow_roots: Sequence[str | os.PathLike[str]] | None = None
) -> Server[Any]:
    """An MCP server with the tools of `profile`, for any of the SDK's transports; `serve` is the one over stdio.

    Paths of this host that a model gives must lie in one of `allow_roots`, directories; relative ones begin in the
    first. By default that is the working directory (none if it is `/`). Settings come from the environment variables.
    Raises UsageError for a profile or a directory that does not exist.
    """
    tools = {tool.name: tool for tool in tools_of(profile)}
    listed = protocol.ListToolsResult(tools=[_listed(tool) for tool in tools.values()])
    roots = AllowedRoots.here() if allow_roots is None else AllowedRoots([Path(root) for root in allow_roots])
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
        return await _result(pyro, roots, tools[request.name], request.arguments or {})

    return Server(
        "pyro", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def serve(profile: str = DEFAULT_PROFILE, *, allow_roots: Sequence[str | os.PathLike[str]] | None = None) -> None:
    """Serve one client over stdin and stdout until it closes stdin; what is under way then is undone first."""
    asyncio.run(_serve(create_server(profile, allow_roots=allow_roots)))


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


async def _result(
    pyro: AsyncPyro, roots: AllowedRoots, tool: Tool, arguments: Mapping[str, Any]
) -> protocol.CallToolResult:
    try:
        check(tool.input_schema, arguments)
        if name_host_paths(arguments):  # in a thread: a file system that does not answer holds up this call alone
            arguments = await asyncio.to_thread(with_real_paths, arguments, roots)
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
