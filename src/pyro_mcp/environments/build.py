"""Building a root file system: packages into a tree, the kernel's modules beside them, the tree into an image.

Every step works in one private directory and names itself in progress and errors. Nothing is copied twice: packages are
unpacked where mke2fs reads them.
"""

from __future__ import annotations

from pathlib import Path

from pyro_mcp.environments import catalog, recipe
from pyro_mcp.environments.tools import Tools
from pyro_mcp.errors import BuildError
from pyro_mcp.host import mke2fs
from pyro_mcp.model.environment import CatalogEntry, Progress, ProgressSink

ROOTFS = "rootfs.ext4"

# What a host leaves in a tree that was made on it, replaced by what is true on no machine and wrong on none. An empty
# machine-id is filled in at each boot.
_IDENTITY = {
    "hostname": "debian\n",
    "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "resolv.conf": "",
    "machine-id": "",
}
_EMPTIED = ("dev", "run", "tmp", "var/tmp", "var/log", "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists")


def build_rootfs(
    entry: CatalogEntry, kernel_version: str, modules: Path, out: Path, tools: Tools, progress: ProgressSink
) -> None:
    """Make `out`/rootfs.ext4; `modules` is the kernel's archive. Raises BuildError, HostError, OSError."""
    tree = tools.work.path / "rootfs"
    _packages(entry, tree, tools, progress)
    progress(Progress("modules", 0, 1, "steps", kernel_version))
    _modules(kernel_version, modules, tree, tools)
    progress(Progress("modules", 1, 1, "steps", kernel_version))
    _clean(tree, tools)
    for script in recipe.LOGIN_SCRIPTS:
        _replace(tree / script, recipe.quick_login((tree / script).read_text()))
    _image(entry, tree, out / ROOTFS, tools, progress)


def _packages(entry: CatalogEntry, tree: Path, tools: Tools, progress: ProgressSink) -> None:
    reader = recipe.InstallProgress()

    def on_line(line: str) -> None:
        if (update := reader.read(line)) is not None:
            progress(update)

    progress(Progress(reader.phase, 0, 0, "steps", f"package lists of {entry.suite}"))
    tools.run("packages", recipe.rootfs_command(entry, tree), on_line=on_line)


def _modules(version: str, archive: Path, tree: Path, tools: Tools) -> None:
    tools.run("modules", ["tar", "-C", tree / "usr/lib", "-xf", archive])
    tools.run("modules", ["chroot", tree, "depmod", version])


def _clean(tree: Path, tools: Tools) -> None:
    emptied = [tree / path for path in _EMPTIED]
    tools.run("clean", ["find", *emptied, "-mindepth", "1", "-delete"])
    for name, text in _IDENTITY.items():
        _replace(tree / "etc" / name, text)


def _replace(path: Path, text: str) -> None:
    # Removed first: nothing may be written through a link that a package put there.
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def _image(entry: CatalogEntry, tree: Path, image: Path, tools: Tools, progress: ProgressSink) -> None:
    progress(Progress("image", 0, 1, "steps"))
    size = recipe.TreeSize()
    try:
        tools.run("image", ["find", tree, "-printf", recipe.FIND_FORMAT], on_line=size.read)
    except ValueError as error:
        raise BuildError("building failed in step 'image': the tree cannot be measured") from error
    wanted = recipe.rootfs_format(entry, catalog.VERSION, size, tree, image)
    tools.run("image", mke2fs.command(wanted), variables=mke2fs.VARIABLES)
    progress(Progress("image", 1, 1, "steps"))
