"""The runtime bundle: files that come with pyro, and whether they still are the ones that were built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.errors import IntegrityError

GUEST = "bin/pyro-guest"
FIRECRACKER = "bin/firecracker"
MANIFEST = "manifest.json"

_ELF = b"\x7fELF"
_ELF_64_LITTLE_ENDIAN = b"\x02\x01"
_ELF_MACHINE = slice(18, 20)
_X86_64 = b"\x3e\x00"

_REMEDY = "install pyro-mcp anew, or run `make runtime-materialize` in a checkout"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files` maps names to digests; `absent` are files that could not be had when the bundle was built."""

    files: Mapping[str, str]
    absent: tuple[str, ...]


def read_manifest(bundle: Path) -> Manifest:
    """Raises IntegrityError `bundle-incomplete`."""
    try:
        content = json.loads((bundle / MANIFEST).read_text())
        files = {str(name): str(facts["sha256"]) for name, facts in content["files"].items()}
        return Manifest(files, tuple(map(str, content.get("absent", ()))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(f"the runtime bundle {bundle} has no readable manifest") from error


def verify(bundle: Path, name: str) -> str:
    """The digest of a file of the bundle.

    Raises IntegrityError `bundle-incomplete` if it is not as it was built, or was built for another processor.
    """
    manifest = read_manifest(bundle)
    if name in manifest.absent:
        raise _broken(f"{name} is not in this build's runtime bundle")
    try:
        content = (bundle / name).read_bytes()
    except OSError as error:
        raise _broken(f"{bundle / name} is missing") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.files.get(name):
        raise _broken(f"{bundle / name} is not the file that was built")
    if _is_foreign(content):
        raise _broken(f"{bundle / name} is a program for another processor than x86_64")
    return digest


def absent(bundle: Path) -> tuple[str, ...]:
    """What this build lacks because it could not be had."""
    try:
        return read_manifest(bundle).absent
    except IntegrityError:
        return ()


def issues(bundle: Path) -> dict[str, str]:
    """The files that are missing, altered or for another processor, and of each one line that says so.

    What could not be had is no issue, the guest binary aside: there are no guests without it.
    """
    try:
        names = {GUEST, *read_manifest(bundle).files}
    except IntegrityError as error:
        return {MANIFEST: f"{error.message}: {error.hint}"}
    found = {}
    for name in sorted(names):
        try:
            verify(bundle, name)
        except IntegrityError as error:
            found[name] = f"{error.message}: {error.hint}"
    return found


def _is_foreign(content: bytes) -> bool:
    if not content.startswith(_ELF):
        return False
    return content[4:6] != _ELF_64_LITTLE_ENDIAN or content[_ELF_MACHINE] != _X86_64


def _broken(message: str) -> IntegrityError:
    return IntegrityError(message, code="bundle-incomplete", hint=_REMEDY)
