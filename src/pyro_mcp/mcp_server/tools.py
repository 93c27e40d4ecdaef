"""The tools, each one row. What a tool takes and returns is the method's own; here is what a model is told about it.

The texts are neutral and never change at run time: nothing from a guest or a catalog gets into what every
conversation begins with.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyro_mcp.mcp_server import living_tools, vm_tools, workspace_tools
from pyro_mcp.mcp_server.tool import Tool

TOOLS: Mapping[str, Tool] = {row.name: row for row in (*vm_tools.ROWS, *workspace_tools.ROWS, *living_tools.ROWS)}
"""Name → tool."""
