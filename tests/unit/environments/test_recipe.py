"""Arguments, sizes and progress, from values to values."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyro_mcp.environments import catalog, recipe
from pyro_mcp.environments.recipe import InstallProgress, TreeSize
from pyro_mcp.model.environment import Progress


def test_the_packages_of_an_environment_are_asked_for_and_no_mirror_is_named() -> None:
    argv = [str(argument) for argument in recipe.rootfs_command(catalog.find("debian:12"), Path("/tree"))]
    assert argv[0] == "mmdebstrap"
    assert argv[-2:] == ["bookworm", "/tree"]
    assert "--variant=minbase" in argv
    assert next(a for a in argv if a.startswith("--include=")).split("=")[1].split(",")[1:3] == ["git", "python3"]
    assert not any("://" in argument for argument in argv)


def test_progress_has_a_total_in_each_round_and_never_runs_past_it() -> None:
    reader = InstallProgress()
    lines = """\
I: running apt-get update...
Get:1 an index
0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
I: installing essential packages...
Unpacking libc6:amd64 (2.36) ...
Setting up libc6:amd64 (2.36) ...
I: installing remaining packages inside the chroot...
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Unpacking git (1:2.39) ...
Unpacking less (590) ...
Setting up git (1:2.39) ...
Setting up less (590) ...
Setting up git (1:2.39) ...
""".splitlines()
    assert [update for line in lines if (update := reader.read(line)) is not None] == [
        Progress("download", 0, 2, "steps"),
        Progress("essential", 0, 2, "steps"),
        Progress("essential", 1, 2, "steps", "Unpacking libc6"),
        Progress("essential", 2, 2, "steps", "Setting up libc6"),
        Progress("install", 0, 4, "steps"),
        Progress("install", 1, 4, "steps", "Unpacking git"),
        Progress("install", 2, 4, "steps", "Unpacking less"),
        Progress("install", 3, 4, "steps", "Setting up git"),
        Progress("install", 4, 4, "steps", "Setting up less"),
        Progress("install", 4, 4, "steps", "Setting up git"),
    ]


def test_a_tree_is_measured_in_blocks_and_hard_links_once() -> None:
    size = TreeSize()
    for line in ("d 1 4096 3", "f 2 1 1", "f 3 4097 1", "l 4 30 1", "f 5 8192 2", "f 5 8192 2", "d 6 99 2"):
        size.read(line)
    assert size.files == 6
    assert size.blocks == 6 + 1 + 2 + 2


@pytest.mark.parametrize("line", ["", "find: denied", "f 2 x 1", "f 2 1 1 1"])
def test_what_find_cannot_have_said_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        TreeSize().read(line)


def test_an_image_has_room_for_its_tree_and_little_more() -> None:
    size = TreeSize(files=10_000, blocks=80_000)
    wanted = recipe.rootfs_format(catalog.find("debian:12"), "4.0.0", size, Path("/tree"), Path("/image"))
    assert 80_000 + 10_000 // 16 < wanted.blocks < 90_000
    assert wanted.inodes > 10_000


def test_an_image_knows_its_environment_and_version() -> None:
    def uuid(name: str, version: str) -> str:
        entry = catalog.find(name)
        return str(recipe.rootfs_format(entry, version, TreeSize(1, 1), Path("/t"), Path("/i")).uuid)

    assert uuid("debian:12", "4.0.0") == uuid("debian:12", "4.0.0")
    assert len({uuid("debian:12", "4.0.0"), uuid("debian:12", "4.0.1"), uuid("debian:12-base", "4.0.0")}) == 3


def test_a_quick_login_script_starts_no_program() -> None:
    script = 'if [ "$(id -u)" -eq 0 ]; then\n  PATH=a\nfi\nexport PATH\n\nmesg n 2> /dev/null || true\n'
    assert recipe.quick_login(script) == "if [ -O /etc ]; then\n  PATH=a\nfi\nexport PATH\n\n"


def test_another_login_script_stays_as_it_is() -> None:
    assert recipe.quick_login("mesg y\n") == "mesg y\n"
