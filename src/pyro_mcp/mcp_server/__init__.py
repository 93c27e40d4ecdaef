"""The MCP face: tools for language models, each one method of the SDK, over stdin and stdout.

Above: `cli/mcp.py` and programs that embed the server. Below: `sdk/`. The official SDK (`mcp`) is imported in
`server.py` alone: it takes most of a second to load, and names of tools and profiles are needed without it.
"""
