"""Fixtures for tests with real guests, and what is printed when one of them fails."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator

import pytest

from tests.harness.installation import INSTALLATION, Installation, installation, left_as_found

# A shell that starts tests in the background has them ignore SIGINT, and so would everything that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_pyro() -> Iterator[Installation]:
    """One installation, with `debian:12`, for tests that leave nothing behind and do not touch its daemon."""
    with installation() as pyro:
        done = pyro.cli("env", "pull", "debian:12")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        yield pyro


@pytest.fixture(scope="session")
def cold_pyro() -> Iterator[Installation]:
    """As `shared_pyro`, but its machines boot."""
    with installation(PYRO_TEMPLATES="off") as pyro:
        done = pyro.cli("env", "pull", "debian:12")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        yield pyro


@pytest.fixture
def pyro(shared_pyro: Installation, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """The shared installation; the test must leave it as it found it."""
    yield from left_as_found(shared_pyro, request)


@pytest.fixture
def own_pyro(shared_pyro: Installation, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """An installation of the test's own, to stop, kill or configure its daemon. The environment is there."""
    assert shared_pyro.state_dir.exists()
    with installation() as own:
        request.node.stash[INSTALLATION] = own
        yield own


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and INSTALLATION in item.stash:
        report.sections.append(("daemon log", item.stash[INSTALLATION].logs()))
    return report
