"""When a guest's clock has to be set again."""

from __future__ import annotations

import pytest

from pyro_mcp.machines import clock
from pyro_mcp.machines.clock import ClockWatch, HostClocks


class Host:
    """A host whose clocks a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.awake, self.asleep = 1_000_000.0, 100.0, 0.0
        monkeypatch.setattr(clock.HostClocks, "read", self.read)

    def read(self) -> HostClocks:
        return HostClocks(self.wall - self.awake, self.awake + self.asleep)

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.awake += seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.asleep += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


@pytest.fixture
def watch(host: Host) -> ClockWatch:  # noqa: ARG001 - its clocks are read
    watch = ClockWatch()
    watch.was_set()
    return watch


def test_one_that_nobody_set_is_due() -> None:
    assert ClockWatch().due()


def test_time_that_passes_is_no_reason(host: Host, watch: ClockWatch) -> None:
    host.pass_time(500)
    assert not watch.due()


def test_a_clock_is_not_left_to_itself_for_long(host: Host, watch: ClockWatch) -> None:
    host.pass_time(601)
    assert watch.due()
    watch.was_set()
    assert not watch.due()


@pytest.mark.parametrize("seconds", [0.1, 75 * 3600])
def test_a_host_that_slept_is_a_reason(seconds: float, host: Host, watch: ClockWatch) -> None:
    host.sleep(seconds)
    assert watch.due()


@pytest.mark.parametrize("seconds", [-3600, -0.1, 0.1, 3600])
def test_a_host_whose_clock_was_set_is_a_reason(seconds: float, host: Host, watch: ClockWatch) -> None:
    host.wall += seconds
    assert watch.due()


def test_the_real_clocks_agree_with_themselves() -> None:
    watch = ClockWatch()
    watch.was_set()
    assert not watch.due()
