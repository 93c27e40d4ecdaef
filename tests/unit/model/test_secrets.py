"""What callers may give as secrets, and that no refusal shows a value."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from pyro_mcp.errors import NotFoundError, PyroError, UsageError
from pyro_mcp.host.files import read_beginning
from pyro_mcp.model.secrets import (
    SecretInfo,
    SecretRequest,
    SecretSource,
    not_found,
    refuse_in_names,
    require_secret_env,
    require_secrets,
)

VALUE = "canary-5f2c9a7e-tail"


def given(*entries: object) -> tuple[SecretRequest, ...]:
    return require_secrets(list(entries), read_beginning)


def told(error: PyroError) -> str:
    """All that anybody might print of an error, causes included."""
    return "".join(traceback.format_exception(error)) + repr(error.to_wire())


def test_literals_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    file, link = tmp_path / "token", tmp_path / "link"
    file.write_text("grüße\n")
    link.symlink_to(file)
    secrets = given(
        {"name": "A", "value": f" {VALUE} "},
        {"name": "_b2", "file_path": str(file)},
        {"name": "C", "file_path": str(link)},
        {"name": "D", "value": "x" * 65_536},
    )
    assert [(secret.name, secret.value) for secret in secrets[:3]] == [
        ("A", f" {VALUE} "),
        ("_b2", "grüße\n"),
        ("C", "grüße\n"),
    ]
    assert [secret.info for secret in secrets[:2]] == [
        SecretInfo("A", SecretSource.LITERAL),
        SecretInfo("_b2", SecretSource.FILE),
    ]
    assert given() == ()


def test_a_request_does_not_show_its_value() -> None:
    (secret,) = given({"name": "A", "value": VALUE})
    assert VALUE not in f"{secret!r}{secret}{(secret,)}"


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([VALUE], "invalid-secret"),
        ([{"name": "A"}], "invalid-secret"),
        ([{"name": "A", "value": VALUE, "file_path": "/x"}], "invalid-secret"),
        ([{"name": "A", "value": VALUE, "more": 1}], "invalid-secret"),
        ([{"name": "A", VALUE: VALUE}], "invalid-secret"),
        ([{"name": VALUE, "value": "A"}], "invalid-secret"),
        ([{"name": "1A", "value": VALUE}], "invalid-secret"),
        ([{"name": "A\n", "value": VALUE}], "invalid-secret"),
        ([{"name": "A" * 65, "value": VALUE}], "invalid-secret"),
        ([{"name": "Ä", "value": VALUE}], "invalid-secret"),
        ([{"name": None, "value": VALUE}], "invalid-secret"),
        ([{"name": "A", "value": 3}], "invalid-secret"),
        ([{"name": "A", "value": ""}], "invalid-secret"),
        ([{"name": "A", "value": f"{VALUE}\0"}], "invalid-secret"),
        ([{"name": "A", "value": f"{VALUE}\udcff"}], "invalid-secret"),
        ([{"name": "A", "value": VALUE * 4000}], "secret-too-large"),
        ([{"name": "A", "value": "é" * 40_000}], "secret-too-large"),
        ([{"name": "A", "value": VALUE}, {"name": "A", "value": VALUE}], "duplicate-secret"),
        ([{"name": "A", "file_path": VALUE}], "invalid-secret"),
        ([{"name": "A", "file_path": f"/{VALUE}\0"}], "invalid-secret"),
        ([{"name": "A", "file_path": f"/no/{VALUE}"}], "unreadable-secret-file"),
        ([{"name": "A", "file_path": f"/{VALUE}\ud800"}], "unreadable-secret-file"),
        ([{"name": "A", "file_path": "/"}], "unreadable-secret-file"),
        ([{"name": f"A{number}", "value": VALUE} for number in range(65)], "invalid-secret"),
    ],
)
def test_what_is_no_secret_is_refused_without_showing_it(entries: list[object], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        given(*entries)
    assert refused.value.code == code
    assert "canary" not in told(refused.value)
    assert "5f2c9a7e" not in told(refused.value)


@pytest.mark.parametrize("wrong", [None, {}, "A=b", 3, ({"name": "A", "value": "b"},)])
def test_secrets_come_as_a_list(wrong: object) -> None:
    with pytest.raises(UsageError):
        require_secrets(wrong, read_beginning)


def test_files_are_checked_like_literals(tmp_path: Path) -> None:
    def refusal(data: bytes) -> str:
        (tmp_path / "f").write_bytes(data)
        with pytest.raises(UsageError) as refused:
            given({"name": "A", "file_path": str(tmp_path / "f")})
        assert "canary" not in told(refused.value)
        return refused.value.code

    assert refusal(b"") == "invalid-secret"
    assert refusal(b"canary\xff") == "invalid-secret"
    assert refusal(b"canary\0") == "invalid-secret"
    assert refusal(b"canary" * 20_000) == "secret-too-large"


def test_only_regular_files_are_read_and_nothing_waits(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), Path("/dev/tty")):
        with pytest.raises(UsageError) as refused:
            given({"name": "A", "file_path": str(path)})
        assert refused.value.code == "unreadable-secret-file"


def test_of_a_file_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    assert read_beginning(tmp_path / "f", 10) == b"x" * 10
    assert read_beginning(tmp_path / "f", 2000) == b"x" * 1000


def test_secrets_are_mapped_to_variables() -> None:
    assert require_secret_env({"A": "TOKEN", "b": "_x"}) == {"A": "TOKEN", "b": "_x"}
    assert require_secret_env({}) == {}


@pytest.mark.parametrize(
    "variable",
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TERM", "LANG", "IFS", "ENV", "BASH_ENV"),
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_"),
    ],
)
def test_variables_that_decide_what_runs_are_refused(variable: str) -> None:
    with pytest.raises(UsageError) as refused:
        require_secret_env({"A": variable})
    assert refused.value.code == "reserved-name"
    assert require_secret_env({"A": f"{variable}2" if not variable.startswith("LD_") else "LDX"})


@pytest.mark.parametrize("variable", ["", "1A", "A-B", "A=B", "A\0", "A\n", "Ä", "A" * 70_000])
def test_what_is_no_variable_is_refused(variable: str) -> None:
    with pytest.raises(UsageError) as refused:
        require_secret_env({"A": variable})
    assert refused.value.code == "invalid-name"
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("wrong", [None, [], "A", {"A": 1}, {1: "A"}, {"A": None}])
def test_secret_env_is_an_object_of_texts(wrong: object) -> None:
    with pytest.raises(UsageError):
        require_secret_env(wrong)


def test_no_variable_is_given_twice() -> None:
    for secret_env, env in (({"A": "X", "B": "X"}, {}), ({"A": "X"}, {"X": "plain"})):
        with pytest.raises(UsageError, match="'X' is given twice"):
            require_secret_env(secret_env, env)


def test_a_secret_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotFoundError) as refused:
        require_secret_env({"no name": "X"})
    assert refused.value.code == "secret-not-found"
    error = not_found("C", {"B": "", "A": ""})
    assert (error.code, error.hint) == ("secret-not-found", "it has A, B")


def test_names_with_a_value_in_them_are_refused() -> None:
    refuse_in_names(["short", VALUE], ["a short name", "canary"])
    with pytest.raises(UsageError) as refused:
        refuse_in_names([VALUE], ["fine", f"x{VALUE}y"])
    assert refused.value.code == "secret-in-name"
    assert VALUE not in told(refused.value)
