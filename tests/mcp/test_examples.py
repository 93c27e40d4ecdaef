"""The examples do what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyro_mcp.contract import PROFILES
from tests.harness.installation import DEADLINE, Installation

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python_run", "git version 2"),
        ("python_lifecycle", "state=running\n1\n2\n3\nexit_code=0 deleted=True\n"),
        ("python_shell", "/tmp says 42\n"),
        ("agent_vm_run", "as data:\n| 42\n"),
    ],
)
def test_a_program_runs(pyro: Installation, name: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env=pyro.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


def configurations() -> Iterator[tuple[str, Any]]:
    """Every JSON file, and every JSON and TOML block of a document."""
    for path in sorted(EXAMPLES.glob("*.json")):
        yield path.name, json.loads(path.read_text())
    for path in sorted(EXAMPLES.glob("*.md")):
        for kind, block in re.findall(r"^```(json|toml)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
            yield path.name, json.loads(block) if kind == "json" else tomllib.loads(block)


def test_every_configuration_starts_the_server_with_a_profile_that_exists() -> None:
    found = dict(configurations())

    assert len(found) == 6
    for configuration in found.values():
        (servers,) = (value for value in configuration.values() if isinstance(value, dict))
        server = servers["pyro"]
        command = server["command"] if isinstance(server["command"], list) else [server["command"], *server["args"]]
        assert command[:4] == ["pyro", "mcp", "serve", "--profile"]
        assert command[4] in PROFILES
