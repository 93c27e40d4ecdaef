"""What the lab is given, as one disk: the project, the Python packages its tests need, and an installed environment.

A disk, because a serial port would take minutes. It belongs to one lab, which may write to it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from uuid import uuid4

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyro_mcp.config import Settings
from pyro_mcp.disk.clone import clone
from pyro_mcp.environments.store import Store
from pyro_mcp.host import command, mke2fs

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENT = "debian:12"
_PROJECT = ("src", "tests", "protocol", "pyproject.toml")
_TEST_PACKAGES = ("pytest", "pytest-asyncio", "pytest-timeout")
_LEFT_AT_HOME = {"mcp"}
"""Nothing that runs a machine imports it, and what it requires was compiled for this Python alone."""

_PYTHON = "3.11"
"""Debian 12's."""

_ROOM_BYTES = 512 << 20
"""For what the installations in the lab add to their cache."""


def pack(directory: Path) -> Path:
    """Make the disk in `directory`, which is then full of intermediate files. Raises HostError, OSError."""
    tree = directory / "luggage"
    tree.mkdir()
    copy_project(tree / "project")
    copy_packages(tree / "packages")
    _cache(tree / "cache")
    image = directory / "luggage.ext4"
    _format(tree, image)
    shutil.rmtree(tree)
    return image


def copy_project(target: Path) -> None:
    target.mkdir()
    for name in _PROJECT:
        source = ROOT / name
        # Byte code comes along: in there compiling takes longer than running.
        shutil.copytree(source, target / name) if source.is_dir() else shutil.copy2(source, target / name)


def copy_packages(target: Path) -> None:
    """The installed packages that pyro and its tests need, and nothing that was compiled for this Python alone."""
    for found in _closure(["pyro-mcp", *_TEST_PACKAGES]).values():
        for file in found.files or ():
            if ".." in file.parts or found.name == "pyro-mcp":
                continue
            assert file.suffix != ".so", f"{found.name} holds {file}, which another Python cannot load"
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(str(found.locate_file(file))), place)


def _closure(names: list[str]) -> dict[str, Distribution]:
    """The distributions `names` and all that they require in the lab's Python."""
    found: dict[str, Distribution] = {}
    while names:
        name = canonicalize_name(names.pop())
        if name not in found and name not in _LEFT_AT_HOME:
            found[name] = distribution(name)
            names.extend(_required(found[name]))
    return found


def _required(of: Distribution) -> Iterator[str]:
    for line in of.requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"python_version": _PYTHON, "extra": ""}):
            yield needed.name


def _cache(target: Path) -> None:
    """An environment cache with one environment: its records, and the objects they name."""
    store = Store(Settings.from_environment().environment_cache_dir)
    environment = store.pull(ENVIRONMENT)
    kernel = environment.kernel_digest.removeprefix("sha256:")
    with store.lease(environment):
        for record in (f"environments/{environment.version}/{environment.name}.json", f"kernels/{kernel}.json"):
            (target / record).parent.mkdir(parents=True)
            shutil.copy2(store.root / record, target / record)
        for item in (environment.rootfs.parent, environment.kernel.parent):
            # Modules for building environments with, which nobody does in there.
            ignored = shutil.ignore_patterns("modules.tar")
            shutil.copytree(item, target / item.relative_to(store.root), ignore=ignored, copy_function=_copy_image)


def _copy_image(source: str, target: str) -> None:
    clone(Path(source), Path(target))
    Path(target).chmod(0o644)


def _format(tree: Path, image: Path) -> None:
    files = list(tree.rglob("*"))
    used = sum(-(-file.lstat().st_size // mke2fs.BLOCK) for file in files)
    wanted = mke2fs.Format(
        image=image,
        blocks=used + _ROOM_BYTES // mke2fs.BLOCK,
        inodes=2 * len(files),
        uuid=uuid4(),
        label="pyro-luggage",
        tree=tree,
    )
    variables = (f"{name}={value}" for name, value in mke2fs.VARIABLES.items())
    made = command.run(["env", *variables, *mke2fs.command(wanted)], deadline_seconds=120)
    assert made.succeeded, made.last_words()
