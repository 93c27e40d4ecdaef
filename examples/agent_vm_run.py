"""The loop of an agent around `vm_run`: offer the tool, carry out the call, hand the answer back.

The model here is a script, so that the example runs without an account. Put yours in its place: it gets the tool as
MCP describes it and answers with a name and arguments.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from mcp import Client
from mcp_types import TextContent, Tool

from pyro_mcp import create_server


def ask_model(tool: Tool, answer: str | None) -> tuple[str, Mapping[str, Any]] | None:
    """A tool call, or None when the model is content."""
    if answer is None:
        return tool.name, {"environment": "debian:12", "command": "python3 -c 'print(6 * 7)'"}
    return None


async def main() -> None:
    async with Client(create_server("vm-run")) as client:
        (tool,) = (await client.list_tools()).tools
        answer = None
        while (call := ask_model(tool, answer)) is not None:
            name, arguments = call
            result = await client.call_tool(name, dict(arguments))
            (content,) = result.content
            assert isinstance(content, TextContent)
            answer = content.text
            print(answer)


if __name__ == "__main__":
    asyncio.run(main())
