"""How an environment is made, as values: arguments for the tools, sizes, and what the tools' output means. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid5

from pyro_mcp.host import mke2fs
from pyro_mcp.model.environment import CatalogEntry, Progress

KERNEL_PACKAGE = "linux-image-cloud-amd64"
"""Debian's kernel for virtual machines. It is fetched and unpacked, never installed: nothing in a guest boots it."""

DEFAULT_NAME = "debian"
"""What /etc/hostname says until a machine gets its own name."""

_NAMESPACE = UUID("7f0c7f52-5d3c-4b8e-9d3e-6a1d3c0f9a11")

# Documentation is most of what an image can lose without losing a function. Licences stay, and so do the directories of
# manual pages: some packages' scripts put links into them and fail without.
_LEFT_OUT = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*/*",
    # The guest's root lives in a file that is thrown away with the machine: waiting for the disk buys nothing.
    "force-unsafe-io",
)


def mmdebstrap(suite: str, target: Path, *options: str) -> list[str | Path]:
    """Runs as root in namespaces of ours, hence one mode for everyone. No mirror is named, so Debian's own is used."""
    return [
        *("mmdebstrap", "--mode=root", "--verbose"),
        *('--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"'),
        *options,
        *(suite, target),
    ]


def rootfs_command(entry: CatalogEntry, target: Path) -> list[str | Path]:
    return mmdebstrap(
        entry.suite,
        target,
        "--variant=minbase",
        "--format=directory",
        f"--include={','.join(entry.packages)}",
        *(f"--dpkgopt={option}" for option in _LEFT_OUT),
    )


def kernel_command(suite: str, directory: Path) -> list[str | Path]:
    """Puts the package of the current kernel, checked against the archive's signature, into `directory`."""
    # The well-known name is an empty package that depends on the real one.
    real_name = f"apt-cache depends {KERNEL_PACKAGE} | sed -n 's/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p'"
    fetch = (
        'set -e; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; cd "$PYRO_KERNEL_DIRECTORY"; '
        f'package=$({real_name}); apt-get download "$package"'
    )
    return mmdebstrap(suite, directory / "unused", "--variant=custom", "--format=null", f"--customize-hook={fetch}")


@dataclass(slots=True)
class InstallProgress:
    """Reads mmdebstrap's output. Each of its two rounds of packages says how many there are, then names each twice."""

    phase: str = "download"
    done: int = 0
    total: int = 0

    def read(self, line: str) -> Progress | None:
        """What `line` says about the progress, if anything."""
        if announced := re.match(r"\d+ upgraded, (\d+) newly installed", line):
            self.phase = "install" if self.total else "download"
            self.done, self.total = 0, 2 * int(announced[1])
            return self._at("")
        if line.startswith("I: installing essential packages"):
            self.phase = "essential"
            return self._at("")
        if step := re.match(r"(Unpacking|Setting up) ([a-z0-9.+-]+)", line):
            self.done += 1
            return self._at(f"{step[1]} {step[2]}")
        return None

    def _at(self, detail: str) -> Progress:
        # A package may be named a third time when its triggers run late.
        return Progress(self.phase, min(self.done, self.total), self.total, "steps", detail)


LOGIN_SCRIPTS = ("etc/profile", "root/.profile")
"""What a login shell of root reads, in the tree."""


def quick_login(script: str) -> str:
    """A login script of Debian's that does the same and starts no program.

    `sh -lc` is how a line is run, and three emulated processes take three times as long as one. `id` is asked whether
    the user is root: whoever owns /etc is. `mesg` keeps other users from writing to the terminal: there are neither.
    """
    return script.replace('"$(id -u)" -eq 0', "-O /etc").replace("mesg n 2> /dev/null || true\n", "")


FIND_FORMAT = r"%y %i %s %n\n"
"""Type, inode, bytes and links of each file, one line each."""


@dataclass(slots=True)
class TreeSize:
    """Adds up what a tree will need as an ext4 image, from `find -printf` with FIND_FORMAT."""

    files: int = 0
    blocks: int = 0
    _linked: set[str] = field(default_factory=set)

    def read(self, line: str) -> None:
        """Raises ValueError for a line that `find` cannot have printed."""
        kind, inode, size, links = line.split(" ")
        if kind != "d" and links != "1":
            if inode in self._linked:
                return
            self._linked.add(inode)
        self.files += 1
        # One more block than the bytes need: for a directory, a long symbolic link, extended attributes.
        self.blocks += 1 + (-(-int(size) // mke2fs.BLOCK) if kind == "f" else 0)


def rootfs_format(entry: CatalogEntry, version: str, size: TreeSize, tree: Path, image: Path) -> mke2fs.Format:
    """An image just large enough: it is read-only for ever."""
    inodes = size.files + 64
    tables = inodes * mke2fs.INODE // mke2fs.BLOCK
    return mke2fs.Format(
        image=image,
        blocks=(size.blocks + tables) * 51 // 50 + 2048,
        inodes=inodes,
        uuid=uuid5(_NAMESPACE, f"{entry.name} {version}"),
        label="pyro-base",
        tree=tree,
    )
