"""A large project that nobody here wrote, worked on: the Go distribution that builds the agent, as PyPI has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pyro_mcp.model.workspace_payloads import DiffEntryPayload
from tests.guest.test_workspace_files import git
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation
from tests.harness.trees import Entry, changes, tree_of

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]

# Half of the distribution, which takes half of the time, and which no build needs.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "testdata", "cmd")

_PROGRAM = """\
package main

import (
	"container/heap"
	"sort"
)

type ints struct{ sort.IntSlice }

func (h *ints) Push(x any) { h.IntSlice = append(h.IntSlice, x.(int)) }

func (h *ints) Pop() any {
	last := h.IntSlice[len(h.IntSlice)-1]
	h.IntSlice = h.IntSlice[:len(h.IntSlice)-1]
	return last
}

func main() {
	numbers := &ints{sort.IntSlice{2, 0, 1}}
	for heap.Init(numbers); numbers.Len() > 0; {
		print(heap.Pop(numbers).(int))
	}
}
"""

# The runtime and what it needs, compiled from source, and a program with them, which prints to its stderr.
_BUILD = """
set -e; cd /tmp/program
export GOROOT=/workspace GOCACHE=/tmp/cache HOME=/root GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0
/workspace/bin/go mod init program 2> /dev/null; /workspace/bin/go build -o program . >&2; ./program
"""

# Three hundred files edited, a directory renamed, one deleted, a mode, a link, a file that ends without a newline.
_WORK = """
set -e; cd /workspace
grep -rl 'BSD-style' src/net src/go src/crypto | head -300 | xargs sed -i 's/BSD-style/B-S-D-style/'
mv src/html src/hypertext; rm -r src/image/draw; chmod +x src/errors/errors.go; ln -s errors src/mistakes
printf 'no newline' >> src/sort/sort.go; printf 'new\\n' > 'src/sort/a new file.txt'
"""


def test_a_large_project_is_built_changed_compared_and_taken_out(pyro: Installation, tmp_path: Path) -> None:
    seed, out = tmp_path / "seed", tmp_path / "out"
    shutil.copytree(_go_root(), seed, symlinks=True, ignore=_LEFT_OUT)
    for tool in ("compile", "link", "asm"):
        assert list(seed.glob(f"pkg/tool/*/{tool}")), "the distribution has its own compiler"
    before = tree_of(seed)
    assert len(before) > 3000

    with workspace(pyro, seed_path=seed, mem_mib=2048, ttl_seconds=3600) as workspace_id:
        sdk = pyro.sdk()
        sdk.exec_workspace(
            workspace_id, command="mkdir /tmp/program; cat > /tmp/program/main.go", stdin=_PROGRAM.encode()
        )
        built = sdk.exec_workspace(workspace_id, command=_BUILD, timeout_seconds=1500)
        assert (built["exit_code"], built["stderr"]) == (0, "012"), built
        assert not sdk.diff_workspace(workspace_id)["changed"], "a build outside of the tree changes nothing in it"

        said(pyro, workspace_id, _WORK)
        diff = sdk.diff_workspace(workspace_id)
        sdk.export_workspace(workspace_id, ".", output_path=out)

    after = tree_of(out)
    assert {entry["path"]: entry["status"] for entry in diff["entries"]} == changes(before, after)
    assert len([entry for entry in diff["entries"] if entry["status"] == "modified"]) > 300
    assert not diff["patch_truncated"]

    git(seed, "init", "-q")
    git(seed, "apply", "--check", "--whitespace=nowarn", "-", stdin=diff["patch"].encode())
    git(seed, "apply", "--whitespace=nowarn", "-", stdin=diff["patch"].encode())
    applied = {name: entry for name, entry in tree_of(seed).items() if not name.startswith(".git")}
    assert contents(applied, diff["entries"]) == contents(after, diff["entries"])


def _go_root() -> Path:
    go = Path(sys.executable).with_name("go")
    return Path(subprocess.run([go, "env", "GOROOT"], capture_output=True, check=True).stdout.decode().strip())


def contents(tree: Mapping[str, Entry], entries: list[DiffEntryPayload]) -> dict[str, tuple[int, str]]:
    """What a text patch can bring about: files and links, but for those that the comparison has no text for."""
    others = {entry["path"].removeprefix("/workspace/") for entry in entries if entry["text_patch"] is None}
    return {name: (entry.kind, entry.content) for name, entry in tree.items() if entry.content and name not in others}
