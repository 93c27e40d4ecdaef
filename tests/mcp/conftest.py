"""The official client, connected to `pyro mcp serve` over stdio."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from tests.harness.installation import Installation

Connect = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def connect(pyro: Installation) -> Connect:
    """Connects to a server of its own. What the server says besides the protocol is a fault of the test's subject."""

    @asynccontextmanager
    async def connected(
        profile: str = "workspace-full", mode: str = "legacy", allow_roots: Sequence[Path] = (), cwd: Path | None = None
    ) -> AsyncIterator[Client]:
        arguments = ["-m", "pyro_mcp", "mcp", "serve", "--profile", profile]
        for root in allow_roots:
            arguments += ["--allow-root", str(root)]
        server = StdioServerParameters(command=sys.executable, args=arguments, env=pyro.environment, cwd=cwd)
        with tempfile.TemporaryFile("w+") as said:
            async with Client(stdio_client(server, errlog=said), mode=mode) as client:
                yield client
            said.seek(0)
            assert said.read() == ""

    return connected
