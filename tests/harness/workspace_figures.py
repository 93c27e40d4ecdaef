"""What work in a workspace costs, as `make bench` shows it: each figure beside the same work without pyro."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.installation import Installation

FILES = 50_000
LARGE_BYTES = 500_000_000
CHANGED = 10
_SIZES = (200, 1000, 4000, 8000, 36_000)

Figure = tuple[str, list[float], str, list[float]]
"""What was done, the milliseconds of each run, what its floor is, and the milliseconds of that."""


def large_tree(root: Path) -> Path:
    """50,000 files in 500 directories, 500 MB in all; the same at each call."""
    chance = random.Random(1)
    for number in range(FILES // 100):
        directory = root / f"d{number // 25}" / f"e{number}"
        directory.mkdir(parents=True)
        for name in range(100):
            (directory / f"f{name}").write_bytes(chance.randbytes(chance.choice(_SIZES)))
    return root


def figures(pyro: Installation, runs: int) -> Iterator[Figure]:
    sdk = pyro.sdk()
    with tempfile.TemporaryDirectory(prefix="pyro-bench-") as room:
        directory = Path(room)
        empty: list[str] = []
        create = [
            _milliseconds(lambda: empty.append(sdk.create_workspace(environment="debian:12")["workspace_id"]))
            for _ in range(runs + 1)
        ]
        yield "create_workspace, empty", create[1:], "", []
        workspace_id = empty[0]
        sdk.exec_workspace(workspace_id, command=["true"])
        agent: list[float] = []
        own = [
            _milliseconds(lambda: agent.append(sdk.exec_workspace(workspace_id, command=["true"])["duration_ms"]))
            for _ in range(3 * runs)
        ]
        yield "exec_workspace true", own, "from fork to wait, says the agent", agent
        command = ("workspace", "exec", workspace_id, "--", "true")
        yield (
            "pyro workspace exec -- true",
            [_milliseconds(lambda: pyro.cli(*command)) for _ in range(runs)],
            "exec_workspace true",
            own,
        )
        for other in empty:
            sdk.delete_workspace(other)

        seed = large_tree(directory / "seed")
        tar = _milliseconds(lambda: _copy_by_tar(seed, directory / "copy"))
        taken: list[str] = []
        seeded = _milliseconds(
            lambda: taken.append(sdk.create_workspace(environment="debian:12", seed_path=seed)["workspace_id"])
        )
        yield f"seed {FILES} files, 500 MB", [seeded], "tar -c | tar -x", [tar]
        workspace_id = taken[0]
        change = f"for n in $(seq {CHANGED}); do echo x >> d$((n % 20))/e$((n % 20 * 25))/f$n; done"
        assert sdk.exec_workspace(workspace_id, command=change)["exit_code"] == 0
        diffs = [_milliseconds(lambda: sdk.diff_workspace(workspace_id)) for _ in range(runs + 1)]
        assert sdk.diff_workspace(workspace_id)["summary"]["total"] == CHANGED
        yield f"diff, {CHANGED} of {FILES} files changed", diffs[1:], "the first one", diffs[:1]
        names = iter(f"s{number}" for number in range(runs))
        kept = [_milliseconds(lambda: sdk.create_snapshot(workspace_id, next(names))) for _ in range(runs)]
        yield f"snapshot, {FILES} files", kept, "", []
        reset = [_milliseconds(lambda: sdk.reset_workspace(workspace_id, snapshot="s0")) for _ in range(runs)]
        yield "reset", reset, "", []
        fill = f"head -c {LARGE_BYTES} /dev/urandom > large; sync; echo 3 > /proc/sys/vm/drop_caches"
        assert sdk.exec_workspace(workspace_id, command=fill, timeout_seconds=600)["exit_code"] == 0
        cat = "cat large > /dev/null"
        read = _milliseconds(lambda: sdk.exec_workspace(workspace_id, command=cat, timeout_seconds=600))
        export = _milliseconds(lambda: sdk.export_workspace(workspace_id, "large", output_path=directory / "large"))
        yield "export a file of 500 MB", [export], "the guest reads it", [read]
        sdk.delete_workspace(workspace_id)


def mib_per_stopped_workspace(pyro: Installation, count: int) -> float:
    """What a workspace costs on the host's disk that is stopped and in which next to nothing was changed."""
    sdk = pyro.sdk()
    before = _allocated(pyro.state_dir)
    made = []
    for _ in range(count):
        workspace_id = sdk.create_workspace(environment="debian:12")["workspace_id"]
        sdk.exec_workspace(workspace_id, command="echo changed > file")
        sdk.stop_workspace(workspace_id)
        made.append(workspace_id)
    after = _allocated(pyro.state_dir)
    for workspace_id in made:
        sdk.delete_workspace(workspace_id)
    return round((after - before) / count / (1 << 20), 2)


def _allocated(tree: Path) -> int:
    return sum(path.lstat().st_blocks for path in tree.rglob("*")) * 512


def _copy_by_tar(source: Path, target: Path) -> None:
    target.mkdir()
    command = f"tar -C '{source}' -c . | tar -C '{target}' -x"
    subprocess.run(["sh", "-c", command], check=True)


def _milliseconds(work: object) -> float:
    assert callable(work)
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
