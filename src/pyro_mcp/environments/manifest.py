"""Records of what is installed, and whether the files still are what they were.

A record is JSON, written last and atomically: without a readable one nothing is installed. It holds the digest of every
file together with a fingerprint taken at that moment. An unchanged fingerprint is trusted; a changed one (the cache was
copied, the host rebooted onto another device number, or someone wrote) makes the file be read and hashed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyro_mcp.errors import IntegrityError
from pyro_mcp.host import files

SCHEMA = 3

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an object, `path` relative to the object's directory."""

    path: str
    sha256: str
    fingerprint: files.Fingerprint


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """A kernel: `image` is the bzImage, `modules` a tar archive of all modules, `boot_modules` what an initramfs needs.

    All are files of the object `digest`, which is made from the digests of `image` and `modules`.
    """

    digest: str
    catalog_version: str
    version: str
    image: StoredFile
    modules: StoredFile
    boot_modules: tuple[StoredFile, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """An installed environment: `rootfs` is the file of the object with the same digest.

    `kernel` is the digest of the KernelRecord whose modules are in there.
    """

    name: str
    version: str
    kernel: str
    rootfs: StoredFile
    variables: Mapping[str, str]
    installed_at: str


def record_file(directory: Path, path: str, on_bytes: Callable[[int], None] | None = None) -> StoredFile:
    """Hash a file of the object in `directory`, which may still move. Raises OSError."""
    # Taken first: a write during the hashing shows as a change.
    before = files.fingerprint(directory / path)
    return StoredFile(path, files.sha256(directory / path, on_bytes), before)


def verify(directory: Path, stored: StoredFile) -> StoredFile:
    """The same, with a fresh fingerprint if that had changed. Raises IntegrityError if the bytes are others or gone."""
    path = directory / stored.path
    try:
        if files.fingerprint(path) == stored.fingerprint:
            return stored
        found = record_file(directory, stored.path)
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}", details={"path": str(path)}) from error
    if found.sha256 != stored.sha256:
        details = {"path": str(path), "expected": stored.sha256, "found": found.sha256}
        raise IntegrityError(f"{path} is damaged: its bytes are not what was installed", details=details)
    return found


def write(path: Path, record: KernelRecord | EnvironmentRecord | StoredFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1, sort_keys=True).encode())


def read_kernel(path: Path) -> KernelRecord | None:
    """None if there is no record that can be understood."""
    return _read(path, _kernel)


def read_environment(path: Path) -> EnvironmentRecord | None:
    """None if there is no record that can be understood."""
    return _read(path, _environment)


def read_file(path: Path) -> StoredFile | None:
    """None if there is no record that can be understood."""
    return _read(path, _file)


def _read(path: Path, parse: Callable[[dict[str, Any]], _Record]) -> _Record | None:
    try:
        content = json.loads(path.read_bytes())
        if content.pop("schema") != SCHEMA:
            return None
        return parse(content)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _kernel(content: dict[str, Any]) -> KernelRecord:
    boot_modules = tuple(_file(module) for module in content.pop("boot_modules"))
    image, modules = _file(content.pop("image")), _file(content.pop("modules"))
    return KernelRecord(**_strings(content), image=image, modules=modules, boot_modules=boot_modules)


def _environment(content: dict[str, Any]) -> EnvironmentRecord:
    rootfs, variables = _file(content.pop("rootfs")), _strings(content.pop("variables"))
    return EnvironmentRecord(**_strings(content), rootfs=rootfs, variables=variables)


def _file(content: dict[str, Any]) -> StoredFile:
    numbers = content.pop("fingerprint")
    if not all(type(number) is int for number in numbers.values()):
        raise TypeError
    return StoredFile(**_strings(content), fingerprint=files.Fingerprint(**numbers))


def _strings(content: dict[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in content.values()):
        raise TypeError
    return content
