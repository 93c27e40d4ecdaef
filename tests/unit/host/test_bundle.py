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
    (tmp_path / "bin/tool").write_bytes(b"tool")
    files = {"bin/tool": {"sha256": hashlib.sha256(b"tool").hexdigest(), "size": 4}}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": "1", "files": files, "absent": ["bin/other"]}))
    return tmp_path


def test_a_bundle_as_it_was_built_has_no_issues(built: Path) -> None:
    assert list(bundle.issues(built)) == []
    assert bundle.verify(built, "bin/tool") == hashlib.sha256(b"tool").hexdigest()


def test_what_could_not_be_had_is_no_issue_but_cannot_be_used(built: Path) -> None:
    assert bundle.absent(built) == ("bin/other",)
    with pytest.raises(IntegrityError, match="bin/other is not in this build"):
        bundle.verify(built, "bin/other")


def test_an_altered_file_is_named(built: Path) -> None:
    (built / "bin/tool").write_bytes(b"mine")
    (issue,) = bundle.issues(built)
    assert "bin/tool is not the file that was built" in issue


def test_a_missing_file_is_named(built: Path) -> None:
    (built / "bin/tool").unlink()
    (issue,) = bundle.issues(built)
    assert "bin/tool is missing" in issue


@pytest.mark.parametrize("manifest", [None, "", "[]", '{"files": 1}', '{"files": {"a": {}}}'])
def test_a_manifest_that_cannot_be_read_is_the_one_issue(manifest: str | None, built: Path) -> None:
    (built / "manifest.json").unlink() if manifest is None else (built / "manifest.json").write_text(manifest)
    (issue,) = bundle.issues(built)
    assert "no readable manifest" in issue
    assert bundle.absent(built) == ()
