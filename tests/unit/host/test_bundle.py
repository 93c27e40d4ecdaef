"""The runtime bundle's own account of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pyro_mcp.errors import IntegrityError
from pyro_mcp.host import bundle


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    build(tmp_path, b"guest")
    return tmp_path


def build(at: Path, guest: bytes) -> None:
    """A bundle whose manifest is right about its guest binary."""
    (at / bundle.GUEST).write_bytes(guest)
    files = {bundle.GUEST: {"sha256": hashlib.sha256(guest).hexdigest(), "size": len(guest)}}
    (at / "manifest.json").write_text(json.dumps({"version": "1", "files": files, "absent": ["bin/other"]}))


def elf(*, size: int = 2, order: int = 1, machine: int = 62) -> bytes:
    """The head of a program; as it is, of one for x86-64."""
    return b"\x7fELF" + bytes([size, order, 1]) + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little")


def test_a_bundle_as_it_was_built_has_no_issues(built: Path) -> None:
    assert bundle.issues(built) == {}
    assert bundle.verify(built, bundle.GUEST) == hashlib.sha256(b"guest").hexdigest()
    build(built, elf())
    assert bundle.issues(built) == {}


def test_what_could_not_be_had_is_no_issue_but_cannot_be_used(built: Path) -> None:
    assert bundle.absent(built) == ("bin/other",)
    with pytest.raises(IntegrityError, match="bin/other is not in this build"):
        bundle.verify(built, "bin/other")


def test_an_altered_file_is_named(built: Path) -> None:
    (built / bundle.GUEST).write_bytes(b"mine")
    assert "bin/pyro-guest is not the file that was built" in bundle.issues(built)[bundle.GUEST]


def test_a_missing_file_is_named(built: Path) -> None:
    (built / bundle.GUEST).unlink()
    assert "bin/pyro-guest is missing" in bundle.issues(built)[bundle.GUEST]


@pytest.mark.parametrize("foreign", [elf(machine=183), elf(machine=3, size=1), elf(order=2), b"\x7fELF"])
def test_a_program_for_another_processor_is_named_though_its_digest_is_right(foreign: bytes, built: Path) -> None:
    build(built, foreign)
    assert "another processor" in bundle.issues(built)[bundle.GUEST]
    with pytest.raises(IntegrityError, match="another processor"):
        bundle.verify(built, bundle.GUEST)


def test_a_bundle_that_was_built_without_a_guest_binary_has_an_issue(built: Path) -> None:
    (built / "manifest.json").write_text('{"files": {}, "absent": ["bin/pyro-guest"]}')
    assert "not in this build" in bundle.issues(built)[bundle.GUEST]


@pytest.mark.parametrize("manifest", [None, "", "[]", '{"files": 1}', '{"files": {"a": {}}}'])
def test_a_manifest_that_cannot_be_read_is_the_one_issue(manifest: str | None, built: Path) -> None:
    (built / "manifest.json").unlink() if manifest is None else (built / "manifest.json").write_text(manifest)
    (issue,) = bundle.issues(built).items()
    assert issue[0] == "manifest.json"
    assert "no readable manifest" in issue[1]
    assert bundle.absent(built) == ()
