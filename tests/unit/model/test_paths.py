"""Paths in a workspace as callers write them."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.errors import UsageError
from pyro_mcp.model.paths import in_guest, working_directory, workspace_path


@pytest.mark.parametrize(
    ("written", "path", "guest"),
    [
        (".", "/workspace", "."),
        ("/workspace", "/workspace", "."),
        ("/workspace/", "/workspace", "."),
        ("a/b", "/workspace/a/b", "a/b"),
        ("./a//b/", "/workspace/a/b", "a/b"),
        ("a/../b", "/workspace/b", "b"),
        ("//workspace/a", "/workspace/a", "a"),
        ("-x", "/workspace/-x", "-x"),
        ("a b\n", "/workspace/a b\n", "a b\n"),
    ],
)
def test_a_path_begins_in_the_workspace(written: str, path: str, guest: str) -> None:
    assert workspace_path("path", written) == path
    assert in_guest(path) == guest


@pytest.mark.parametrize(
    "written", ["..", "../x", "/", "/etc/passwd", "/workspace/../etc", "a/../../x", "/workspacetwin"]
)
def test_a_path_that_leads_out_is_refused(written: str) -> None:
    with pytest.raises(UsageError) as refused:
        workspace_path("path", written)
    assert refused.value.code == "path-outside-workspace"


@pytest.mark.parametrize("written", ["", " ", "a\0b", "\ud800", "x" * 5000, None, 7, b"a"])
def test_what_is_no_path_is_refused(written: object) -> None:
    with pytest.raises(UsageError):
        workspace_path("path", written)


@given(st.text(alphabet="./ab\\~", max_size=40))
def test_nothing_that_is_accepted_leads_out(written: str) -> None:
    try:
        path = workspace_path("path", written)
    except UsageError:
        return
    assert posixpath.normpath(path) == path
    assert path == "/workspace" or path.startswith("/workspace/")
    assert in_guest(path).split("/")[0] not in ("..", "")


def test_a_command_may_begin_anywhere() -> None:
    assert [working_directory(cwd) for cwd in ("/tmp", "src", "/", "../etc")] == ["/tmp", "/workspace/src", "/", "/etc"]
    for wrong in ("", "a\0", None):
        with pytest.raises(UsageError):
            working_directory(wrong)
