"""What callers may ask for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.errors import NotFoundError, UsageError
from pyro_mcp.model.requests import Command, MachineRequest, new_vm_id, parse_isolation, require_vm_id


def test_a_string_is_a_shell_line_and_a_list_an_argv() -> None:
    assert Command.parse("ls | wc") == Command(("sh", "-lc", "ls | wc"), "ls | wc")
    assert Command.parse(["ls", "a b"]) == Command(("ls", "a b"), "ls 'a b'")


@pytest.mark.parametrize("command", ["", "  \n", [], [""], [" ", "x"]])
def test_nothing_to_run_is_refused(command: object) -> None:
    with pytest.raises(UsageError) as refused:
        Command.parse(command)
    assert refused.value.code == "empty-command"


@pytest.mark.parametrize("command", [None, 1, ["a", 1], {"a": "b"}, b"ls", "a\0b", ["\udcff"], "x" * 200_000])
def test_what_is_no_command_is_refused(command: object) -> None:
    with pytest.raises(UsageError):
        Command.parse(command)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1))
def test_an_argv_is_passed_word_for_word(words: list[str]) -> None:
    if not words[0].strip():
        return
    assert Command.parse(words).argv == tuple(words)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("vcpu_count", 1, 8), ("mem_mib", 256, 32_768), ("ttl_seconds", 60, 86_400)]
)
def test_sizes_are_within_their_bounds(name: str, low: int, high: int) -> None:
    for value in (low, high):
        MachineRequest(environment="e", **{name: value})  # type: ignore[arg-type]
    for wrong in (low - 1, high + 1, "1", 1.5, True, None):
        with pytest.raises(UsageError, match=name):
            MachineRequest(environment="e", **{name: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"environment": ""}, {"environment": 3}, {"environment": "e", "network": "yes"}])
def test_parameters_have_their_types(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        MachineRequest(**wrong)  # type: ignore[arg-type]


@given(st.text())
def test_only_ids_that_were_given_out_are_ids(text: str) -> None:
    if not re.fullmatch(r"vm-[0-9a-f]{12}", text, re.ASCII):
        with pytest.raises(NotFoundError):
            require_vm_id(text)


def test_a_new_id_is_an_id_and_new() -> None:
    ids = {require_vm_id(new_vm_id()) for _ in range(100)}
    assert len(ids) == 100


def test_only_kvm_can_be_required() -> None:
    assert parse_isolation(None) is None
    assert parse_isolation("kvm") == "kvm"
    for wrong in ("emulated", "none", "", 1):
        with pytest.raises(UsageError):
            parse_isolation(wrong)
