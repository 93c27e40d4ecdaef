"""The lab's tests take long: they are collected where somebody asks for them by name, `pytest tests/lab`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.model.environment import InstalledEnvironment
from tests.lab import rootfs
from tests.lab.luggage import pack

_HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(_HERE) for path in asked) else True


@pytest.fixture(scope="session")
def host() -> InstalledEnvironment:
    """The environment that the lab runs."""
    return rootfs.pull()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The disk that every lab gets a copy of."""
    directory = tmp_path_factory.mktemp("luggage")
    yield pack(directory)
    shutil.rmtree(directory)
