"""The driver without a VMM: what it plans, and what it does not do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from resource import RLIM_INFINITY

import pytest

from pyro_mcp.errors import PyroError, VmmError
from pyro_mcp.host import process
from pyro_mcp.model.machine import MachineSpec, ProcessIdentity
from pyro_mcp.vmm.driver import Start, VmmPlan
from pyro_mcp.vmm.hostcompat import HostcompatDriver

AGENT = Path("/bundle/pyro-guest")
SPEC = MachineSpec(vcpu_count=1, mem_mib=256, kernel=AGENT, initramfs=AGENT, disks=(), tsc_khz=0)


def _files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


class Refusing:
    """A launcher that starts nothing."""

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:  # noqa: ARG002 - none
        raise VmmError("no")

    def explain(self, failure: VmmError) -> PyroError:
        return failure

    def process_log(self) -> str:
        return ""

    async def printed(self, text: str) -> None:  # noqa: ARG002 - none
        raise AssertionError("nobody asks")


def test_the_agent_is_told_where_it_listens_and_nothing_bounds_it(tmp_path: Path) -> None:
    plan = HostcompatDriver().plan(SPEC, tmp_path, {"agent": 7}, Start.COLD)
    assert plan == VmmPlan(
        argv=("/bundle/pyro-guest", "host", "7"),
        binds=(),
        max_file_bytes=RLIM_INFINITY,
        address_space_bytes=RLIM_INFINITY,
    )


async def test_a_start_that_fails_leaves_no_socket(tmp_path: Path) -> None:
    with pytest.raises(VmmError, match="no"):
        await HostcompatDriver().boot(SPEC, tmp_path, Refusing())
    assert not _files(tmp_path)


async def test_an_agent_that_is_gone_cannot_be_attached_to(tmp_path: Path) -> None:
    gone = ProcessIdentity(1, 0, process.boot_id())
    (tmp_path / "agent.sock").touch()
    with pytest.raises(VmmError) as raised:
        await HostcompatDriver().attach(SPEC, tmp_path, gone, Refusing())
    assert raised.value.code == "vmm-gone"
    assert not _files(tmp_path)
