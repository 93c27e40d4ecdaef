"""Deleting trees that strangers made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pyro_mcp.host.removal import remove_strange_tree


def test_no_permission_no_depth_and_no_link_is_in_the_way(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    tree = tmp_path / "tree"
    script = (
        'mkdir -p closed/in && chmod 0 closed/in closed && ln -s "$1" link && i=0 && '
        "while [ $i -lt 1500 ]; do mkdir d && cd -P d || exit 1; i=$((i+1)); done"
    )
    tree.mkdir()
    subprocess.run(["sh", "-c", script, "sh", str(kept)], cwd=tree, check=True)

    remove_strange_tree(tree)

    assert not tree.exists()
    assert kept.stat().st_mode & 0o777 == 0o755


def test_what_is_mounted_is_unmounted_and_not_deleted(tmp_path: Path) -> None:
    for name in ("kept", "tree/a place"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "kept/file").touch()
    script = (
        'mount --bind "$1/kept" "$1/tree/a place" && mount -t tmpfs none "$1/tree/a place" && exec "$0" -c "$2" "$1"'
    )
    remove = (
        "import sys; from pathlib import Path; from pyro_mcp.host.removal import remove_strange_tree;"
        "remove_strange_tree(Path(sys.argv[1], 'tree'))"
    )
    inside = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        sys.executable,
        str(tmp_path),
        remove,
    ]
    subprocess.run(inside, check=True)

    assert (tmp_path / "kept/file").exists()
    assert not (tmp_path / "tree").exists()
