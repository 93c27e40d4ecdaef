"""The Python face: `Pyro`, one method per operation, and the way to the daemon.

Above: `cli/`, `mcp_server/` and programs of users. Below: `model/`, `host/`, `config`, `errors`; the daemon is
reached through its unix socket, never imported. Light on purpose: no HTTP library, no asyncio, no click here.
"""
