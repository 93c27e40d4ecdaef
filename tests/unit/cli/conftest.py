"""The stand-in for the daemon, in place for one test."""

from __future__ import annotations

import pytest

from pyro_mcp.sdk.caller import Caller
from tests.unit.cli.stand_in import Daemon


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    stand_in = Daemon()
    monkeypatch.setattr(Caller, "_call", lambda *arguments: stand_in.call(*arguments))
    return stand_in
