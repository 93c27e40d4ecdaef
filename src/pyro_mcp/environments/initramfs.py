"""The first root of a guest: our binary as /init and the modules it loads, as an uncompressed cpio archive. Pure.

Uncompressed: an emulated guest would spend longer on unpacking than anybody saves on the disk. Format: "newc", see the
kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Equal inputs give equal bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from itertools import count

from pyro_mcp.environments import modinfo

_DIRECTORIES = ("dev", "lib", "lib/modules", "mnt", "proc", "run", "sys", "tmp")


def build_initramfs(modules: Mapping[str, bytes], guest_binary: bytes) -> bytes:
    """The archive for `modules` (names without `.ko`) and the guest's binary.

    /lib/modules/load names the modules' paths in the order they must be loaded, one per line. Raises BuildError if a
    module cannot be read.
    """
    depends = {name: modinfo.dependencies(module) for name, module in modules.items()}
    order = modinfo.load_order(modules, depends.get)
    load = "".join(f"/lib/modules/{name}.ko\n" for name in order)
    archive = Archive()
    for directory in _DIRECTORIES:
        archive.directory(directory)
    archive.file("init", guest_binary, 0o755)
    archive.file("lib/modules/load", load.encode(), 0o644)
    for name in order:
        archive.file(f"lib/modules/{name}.ko", modules[name], 0o644)
    return archive.finish()


class Archive:
    """A cpio archive in the making; everything in it belongs to root and is as old as the epoch."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inodes = count(1)

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._entry(path, stat.S_IFDIR | mode, b"", links=2)

    def file(self, path: str, contents: bytes, mode: int) -> None:
        self._entry(path, stat.S_IFREG | mode, contents, links=1)

    def finish(self) -> bytes:
        self._header("TRAILER!!!", inode=0, mode=0, links=1, size=0)
        return bytes(self._data)

    def _entry(self, path: str, mode: int, contents: bytes, links: int) -> None:
        self._header(path, next(self._inodes), mode, links, len(contents))
        self._data += contents
        self._pad()

    def _header(self, path: str, inode: int, mode: int, links: int, size: int) -> None:
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, then major and minor of two devices, name's length, checksum
        fields = (inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)
