"""The runtime bundle: files that come with pyro, and whether they still are the ones that were built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.errors import IntegrityError

_REMEDY = "install pyro-mcp anew, or run `make runtime-materialize` in a checkout"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files` maps names to digests; `absent` are files that could not be had when the bundle was built."""

    files: Mapping[str, str]
    absent: tuple[str, ...]


def read_manifest(bundle: Path) -> Manifest:
    """Raises IntegrityError `bundle-incomplete`."""
    try:
        content = json.loads((bundle / "manifest.json").read_text())
        files = {str(name): str(facts["sha256"]) for name, facts in content["files"].items()}
        return Manifest(files, tuple(map(str, content.get("absent", ()))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(f"the runtime bundle {bundle} has no readable manifest") from error


def verify(bundle: Path, name: str) -> str:
    """The digest of a file of the bundle. Raises IntegrityError `bundle-incomplete` if it is not as it was built."""
    manifest = read_manifest(bundle)
    if name in manifest.absent:
        raise _broken(f"{name} is not in this build's runtime bundle")
    try:
        digest = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    except OSError as error:
        raise _broken(f"{bundle / name} is missing") from error
    if digest != manifest.files.get(name):
        raise _broken(f"{bundle / name} is not the file that was built")
    return digest


def absent(bundle: Path) -> tuple[str, ...]:
    """What this build lacks because it could not be had."""
    try:
        return read_manifest(bundle).absent
    except IntegrityError:
        return ()


def issues(bundle: Path) -> Iterator[str]:
    """One line for each file that is missing or altered. What could not be had is no issue."""
    try:
        names = read_manifest(bundle).files
    except IntegrityError as error:
        yield f"{error.message}: {error.hint}"
        return
    for name in names:
        try:
            verify(bundle, name)
        except IntegrityError as error:
            yield f"{error.message}: {error.hint}"


def _broken(message: str) -> IntegrityError:
    return IntegrityError(message, code="bundle-incomplete", hint=_REMEDY)
