"""One real store for all tests here; what a test damages it repairs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.environments.store import Store
from pyro_mcp.model.environment import Progress
from tests.environments.puller import ordinary_user


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Progress]]:
    """A store with `debian:12`, and what was heard while it was made."""
    store = Store(tmp_path_factory.mktemp("environments") / "store")
    heard: list[Progress] = []
    store.pull("debian:12", progress=heard.append)
    return store, heard


@pytest.fixture
def store(built: tuple[Store, list[Progress]]) -> Iterator[Store]:
    yield built[0]
    # Whatever a test did, nothing half-made is left behind it.
    assert leftovers(built[0].root) == []


@pytest.fixture
def user() -> Iterator[tuple[str, Path]]:
    """A fresh ordinary user with subordinate ids and an empty home."""
    with ordinary_user("pyro-builder") as home:
        yield "pyro-builder", home


def leftovers(root: Path) -> list[str]:
    """Unfinished work in a store, and processes that still have something of it open or in their command line."""
    return [str(path) for path in (root / "work").iterdir()] + [f"process {pid}" for pid in processes(root)]


def processes(root: Path) -> list[int]:
    """Processes that work in a store, this one aside."""
    found = (path for path in Path("/proc").iterdir() if path.name.isdecimal() and int(path.name) != os.getpid())
    return [int(path.name) for path in found if _uses(path, root)]


def _uses(process: Path, root: Path) -> bool:
    try:
        links = [str(link.readlink()) for link in [process / "cwd", process / "root", *(process / "fd").iterdir()]]
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(str(root) in text for text in links + words)
