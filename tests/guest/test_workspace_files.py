"""Content of workspaces: pushed, listed, read, written, patched, compared, taken out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyro_mcp.errors import ConflictError, PyroError, UsageError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation
from tests.harness.trees import changes, nasty_tree, tree_of


def git(directory: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.filemode=true", "-c", "core.autocrlf=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pushed_tree_comes_out_as_it_went_in(pyro: Installation, tmp_path: Path) -> None:
    source = nasty_tree(tmp_path / "source")
    with workspace(pyro) as workspace_id:
        pushed = pyro.sdk().push_workspace_sync(workspace_id, source, dest="in/here")["workspace_sync"]
        assert (pushed["mode"], pushed["destination"], pushed["skipped_count"]) == (
            "directory",
            "/workspace/in/here",
            2,
        )
        pyro.sdk().export_workspace(workspace_id, "in/here", output_path=tmp_path / "out")
        assert said(pyro, workspace_id, "ls -A") == "in\n"

    assert tree_of(tmp_path / "out") == tree_of(source)


def test_a_push_replaces_what_it_brings_and_leaves_the_rest(pyro: Installation, tmp_path: Path) -> None:
    (tmp_path / "a/sub").mkdir(parents=True)
    (tmp_path / "a/sub/changed").write_text("new\n")
    (tmp_path / "a/was-directory").write_text("file now\n")
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "mkdir -p sub was-directory/x; echo old > sub/changed; echo kept > sub/kept")
        pyro.sdk().push_workspace_sync(workspace_id, tmp_path / "a")
        assert said(pyro, workspace_id, "cat sub/changed sub/kept was-directory") == "new\nkept\nfile now\n"


def test_a_push_that_fails_changes_nothing(pyro: Installation, tmp_path: Path) -> None:
    torn = tmp_path / "torn.tar"
    (tmp_path / "a").mkdir()
    (tmp_path / "a/first").write_text("new\n")
    (tmp_path / "a/last").write_bytes(b"x" * 100_000)
    subprocess.run(["tar", "-cf", torn, "-C", tmp_path / "a", "first", "last"], check=True)
    torn.write_bytes(torn.read_bytes()[:50_000])
    outside = tmp_path / "outside.tar"
    subprocess.run(["tar", "-P", "-cf", outside, "--transform", "s,^,../,", "-C", tmp_path / "a", "first"], check=True)
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "echo old > first; mkdir sub; ln -s / out; echo f > file")
        before = said(pyro, workspace_id, "find . -printf '%p %T@ %m %s\\n' | sort")
        for source, dest, code in (
            (torn, ".", "bad-archive"),
            (outside, ".", "bad-archive"),
            (tmp_path / "none", ".", "source-not-found"),
            (tmp_path / "a", "../..", "path-outside-workspace"),
            (tmp_path / "a", "out/tmp", "path-outside-workspace"),
            (tmp_path / "a", "file", "not-a-directory"),
        ):
            with pytest.raises(PyroError) as refused:
                pyro.sdk().push_workspace_sync(workspace_id, source, dest=dest)
            assert refused.value.code == code, source
        assert said(pyro, workspace_id, "find . -printf '%p %T@ %m %s\\n' | sort") == before


def test_files_are_listed_read_and_written_by_name(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        written = sdk.write_workspace_file(workspace_id, "src/new.txt", text="grüße\n")
        assert (written["path"], written["bytes_written"]) == ("/workspace/src/new.txt", 8)
        said(pyro, workspace_id, "chmod 755 src/new.txt; ln -s new.txt src/link; mkfifo src/fifo; mkdir src/sub")
        sdk.write_workspace_file(workspace_id, "/workspace/src/new.txt", text="two\n")
        assert said(pyro, workspace_id, "stat -c %a src/new.txt") == "755\n"

        entries = sdk.list_workspace_files(workspace_id, path="src")["entries"]
        assert [
            (entry["path"], entry["artifact_type"], entry["size_bytes"], entry["link_target"]) for entry in entries
        ] == [
            ("/workspace/src/fifo", "other", 0, None),
            ("/workspace/src/link", "symlink", 0, "new.txt"),
            ("/workspace/src/new.txt", "file", 4, None),
            ("/workspace/src/sub", "directory", 0, None),
        ]
        assert [entry["path"] for entry in sdk.list_workspace_files(workspace_id)["entries"]] == ["/workspace/src"]
        deep = sdk.list_workspace_files(workspace_id, recursive=True)["entries"]
        assert len(deep) == 5

        assert sdk.read_workspace_file(workspace_id, "src/link")["content"] == "two\n"
        said(pyro, workspace_id, "yes ä | head -c 200000 > big")
        read = sdk.read_workspace_file(workspace_id, "big", max_bytes=1000)
        # Cut where a character ends.
        assert (read["size_bytes"], read["truncated"], read["content"]) == (200_000, True, "ä\n" * 333)


def test_what_cannot_be_read_or_written_says_why(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        said(
            pyro,
            workspace_id,
            "mkdir dir; mkfifo fifo; printf '\\377' > raw; printf 'a\\0b' > nul; ln -s /etc/passwd out;"
            "ln -s loop loop; ln -s .. up; ln -s /workspace/dir in",
        )
        for path, code in (
            ("dir", "not-a-file"),
            ("fifo", "not-a-file"),
            ("raw", "not-text"),
            ("nul", "not-text"),
            ("none", "path-not-found"),
            ("out", "path-outside-workspace"),
            ("up/etc/passwd", "path-outside-workspace"),
            ("../etc/passwd", "path-outside-workspace"),
            ("/etc/passwd", "path-outside-workspace"),
        ):
            with pytest.raises(PyroError) as refused:
                sdk.read_workspace_file(workspace_id, path)
            assert refused.value.code == code, path
        for path, code in (
            ("dir", "is-a-directory"),
            ("out", "path-outside-workspace"),
            ("up/x", "path-outside-workspace"),
            ("raw/x", "not-a-directory"),
        ):
            with pytest.raises(PyroError) as refused:
                sdk.write_workspace_file(workspace_id, path, text="x")
            assert refused.value.code == code, path
        with pytest.raises(UsageError) as large:
            sdk.write_workspace_file(workspace_id, "x", text="x" * ((1 << 20) + 1))
        assert large.value.code == "file-too-large"
        assert said(pyro, workspace_id, "cat /etc/passwd | head -c 5; ls x 2>&1 | wc -l") == "root:1\n"


def test_a_diff_is_what_git_applies(pyro: Installation, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    for name, text in {
        "edit": "1\n2\n3\n4\n",
        "gone": "bye\n",
        "mode": "x\n",
        "end": "no newline",
        "kind": "k\n",
    }.items():
        (seed / name).write_text(text)
    (seed / "blob").write_bytes(b"\0\1\2")
    (seed / "tree").mkdir()
    (seed / "tree/leaf").write_text("leaf\n")
    change = (
        "sed -i s/2/two/ edit; rm gone; chmod 755 mode; printf '%s' 'new end' > end; rm kind; ln -s edit kind;"
        "echo b >> blob; mv tree wood; echo 'ü' > 'sp ace'; touch empty; mkdir bare;"
        "echo 1 > \"$(printf 'n\\tt')\"; touch edit"
    )
    with workspace(pyro, seed_path=seed) as workspace_id:
        said(pyro, workspace_id, change)
        diff = pyro.sdk().diff_workspace(workspace_id)
        pyro.sdk().export_workspace(workspace_id, ".", output_path=tmp_path / "out")

    statuses = {
        entry["path"].removeprefix("/workspace/"): (entry["status"], entry["artifact_type"])
        for entry in diff["entries"]
    }
    assert statuses == {
        "edit": ("modified", "file"),
        "gone": ("deleted", "file"),
        "mode": ("modified", "file"),
        "end": ("modified", "file"),
        "kind": ("type_changed", "symlink"),
        "blob": ("modified", "file"),
        "tree": ("deleted", "directory"),
        "tree/leaf": ("deleted", "file"),
        "wood": ("added", "directory"),
        "wood/leaf": ("added", "file"),
        "sp ace": ("added", "file"),
        "empty": ("added", "file"),
        "bare": ("added", "directory"),
        "n\tt": ("added", "file"),
    }
    summary = diff["summary"]
    assert (summary["total"], summary["added"], summary["deleted"], summary["type_changed"]) == (14, 6, 3, 1)

    git(seed, "init", "-q")
    git(seed, "apply", "--check", "--whitespace=nowarn", "-", stdin=diff["patch"].encode())
    git(seed, "apply", "--whitespace=nowarn", "-", stdin=diff["patch"].encode())
    for name in ("edit", "mode", "end", "wood/leaf", "sp ace", "empty", "n\tt"):
        assert (seed / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
    assert os.access(seed / "mode", os.X_OK)
    assert str((seed / "kind").readlink()) == "edit"
    assert not (seed / "gone").exists()


def test_a_patch_applies_whole_or_not_at_all(pyro: Installation, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.mkdir()
    lines = [f"line {number}\n" for number in range(40)]
    (seed / "a").write_text("".join(lines))
    (seed / "b").write_text("b\n")
    git(seed, "init", "-q")
    git(seed, "add", ".")
    git(seed, "commit", "-qm", "1")
    (seed / "a").write_text("".join(lines).replace("line 20", "line twenty"))
    (seed / "b").unlink()
    (seed / "c").write_text("created\n")
    git(seed, "add", "-A")
    patch = git(seed, "diff", "--cached").decode()
    git(seed, "reset", "-q", "--hard")

    with workspace(pyro, seed_path=seed) as workspace_id:
        sdk = pyro.sdk()
        said(pyro, workspace_id, "sed -i '1i moved\\nmoved' a")  # the hunk is two lines further down now
        applied = sdk.apply_workspace_patch(workspace_id, patch=patch)
        assert {entry["path"]: entry["status"] for entry in applied["entries"]} == {
            "/workspace/a": "modified",
            "/workspace/b": "deleted",
            "/workspace/c": "added",
        }
        assert said(pyro, workspace_id, "sed -n 23p a; ls") == "line twenty\na\nc\n"

        before = said(pyro, workspace_id, "find . -path ./.git -prune -o -printf '%p %T@ %s\\n'")
        with pytest.raises(ConflictError) as unfit:
            sdk.apply_workspace_patch(workspace_id, patch=patch)
        assert unfit.value.code == "patch-failed"
        for wrong in (
            "",
            "no patch\n",
            "--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n",
            "--- a/a\n+++ b/a\n@@ -1,5 +1 @@\n-x\n",
        ):
            with pytest.raises(UsageError) as refused:
                sdk.apply_workspace_patch(workspace_id, patch=wrong)
            assert refused.value.code in ("bad-patch", "path-outside-workspace"), wrong
        assert said(pyro, workspace_id, "find . -path ./.git -prune -o -printf '%p %T@ %s\\n'") == before


def test_an_export_goes_where_nothing_is(pyro: Installation, tmp_path: Path) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "echo one > file; ln -s /etc/shadow link; mkdir dir; chmod 640 file")
        taken = sdk.export_workspace(workspace_id, "file", output_path=tmp_path / "file")
        assert (taken["artifact_type"], taken["entry_count"], taken["bytes_written"]) == ("file", 1, 4)
        assert (tmp_path / "file").read_text() == "one\n"
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
        sdk.export_workspace(workspace_id, "link", output_path=tmp_path / "link")
        assert str((tmp_path / "link").readlink()) == "/etc/shadow"

        for path, output, code in (
            ("file", tmp_path / "file", "output-exists"),
            ("file", tmp_path / "link", "output-exists"),
            ("file", tmp_path / "no/where", "output-parent-missing"),
            ("none", tmp_path / "x", "path-not-found"),
            ("..", tmp_path / "x", "path-outside-workspace"),
        ):
            with pytest.raises(PyroError) as refused:
                sdk.export_workspace(workspace_id, path, output_path=output)
            assert refused.value.code == code, path
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "link"]


def test_a_real_repository_survives_its_own_tools(pyro: Installation, tmp_path: Path) -> None:
    """Checkouts, renames of directories, hard links and gc in the overlay; the diff against a full comparison."""
    seed = tmp_path / "seed"
    git(tmp_path, "init", "-q", "seed")
    for number in range(60):
        path = seed / f"d{number % 5}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * 20)
    os.link(seed / "d0/f0", seed / "d0/twin")
    git(seed, "add", ".")
    git(seed, "commit", "-qm", "one")
    git(seed, "checkout", "-qb", "other")
    for number in range(0, 60, 3):
        (seed / f"d{number % 5}" / f"f{number}").write_text("other\n")
    git(seed, "commit", "-qam", "two")

    work = (
        "export HOME=/root; git config --global user.email a@b; git config --global user.name a;"
        "git config --global --add safe.directory '*';"
        "git checkout -q - && git checkout -q other && git mv d1 renamed && git mv renamed/f1 d2/moved &&"
        "echo linked >> d0/twin && git commit -qam three && git gc -q && git fsck --strict && git status --short &&"
        "rm -rf d3 && mkdir d3 && echo fresh > d3/f3 && cp -al d4 d4-links && chmod -x d2/moved"
    )
    with workspace(pyro, seed_path=seed) as workspace_id:
        said(pyro, workspace_id, work)
        diff = pyro.sdk().diff_workspace(workspace_id)
        pyro.sdk().export_workspace(workspace_id, ".", output_path=tmp_path / "out")

    before, after = tree_of(seed), tree_of(tmp_path / "out")
    expected = changes(before, after)
    assert {entry["path"]: entry["status"] for entry in diff["entries"]} == expected
    assert len(expected) > 50
