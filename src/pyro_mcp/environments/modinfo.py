"""What a kernel module says about itself, and the order in which modules load. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from pyro_mcp.errors import BuildError

BOOT_MODULES = (
    "virtio_mmio",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "overlay",
    "erofs",
    "vmw_vsock_virtio_transport",
)
"""What the guest needs before it has a root, whichever VMM runs it; what these depend on comes along."""

_FILE_HEADER = struct.Struct("<40xQ10xHHH")
_SECTION_HEADER = struct.Struct("<I20xQQ")


def module_name(file_name: str) -> str:
    """The kernel takes `-` in a file's name for `_`."""
    return file_name.removesuffix(".ko").replace("-", "_")


def dependencies(module: bytes) -> tuple[str, ...]:
    """Names of the modules that must be loaded before this one. Raises BuildError if it is no x86_64 module."""
    fields = (entry.partition(b"=") for entry in _section(module, b".modinfo").split(b"\0"))
    for key, _, value in fields:
        if key == b"depends":
            return tuple(module_name(name) for name in value.decode("ascii", "replace").split(",") if name)
    return ()


def load_order(wanted: Iterable[str], depends: Callable[[str], Iterable[str] | None]) -> tuple[str, ...]:
    """`wanted` and all they depend on, each after its own dependencies.

    `depends` says what a module needs, or None where there is no such file: that one is built into the kernel.
    Raises BuildError for a circle.
    """
    order: list[str] = []
    above: list[str] = []

    def visit(name: str) -> None:
        if name in above:
            raise BuildError(f"kernel modules depend on each other in a circle: {' → '.join([*above, name])}")
        if name in order or (needed := depends(name)) is None:
            return
        above.append(name)
        for other in sorted(needed):
            visit(other)
        above.pop()
        order.append(name)

    for name in sorted(wanted):
        visit(name)
    return tuple(order)


def _section(elf: bytes, wanted: bytes) -> bytes:
    """The contents of one section of a little-endian 64-bit ELF file."""
    try:
        if elf[:6] != b"\x7fELF\x02\x01":
            raise BuildError("a kernel module is not an ELF file for x86_64")
        table, entry_size, count, names_index = _FILE_HEADER.unpack_from(elf)
        headers = [_SECTION_HEADER.unpack_from(elf, table + index * entry_size) for index in range(count)]
        _, names_at, _ = headers[names_index]
        for name_at, at, size in headers:
            start = names_at + name_at
            if elf[start : elf.index(b"\0", start)] == wanted:
                return elf[at : at + size]
    except (struct.error, IndexError, ValueError) as error:
        raise BuildError("a kernel module is cut off or damaged") from error
    raise BuildError(f"a kernel module has no section {wanted.decode()}")
