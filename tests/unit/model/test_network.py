"""Policies and ranges as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyro_mcp.errors import UsageError
from pyro_mcp.model.network import Allowed, NetworkPolicy, require_allowed, require_policy


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.1.2.0/24", "10.1.2.0/24"),
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3:5432", "10.1.2.3/32:5432"),
        ("192.168.0.0/16:80", "192.168.0.0/16:80"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_ranges_are_what_they_say(text: str, meant: str) -> None:
    assert str(Allowed.parse(text)) == meant
    assert Allowed.parse(meant) == Allowed.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/8:",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:http",
        "10.0.0.0/8 ",
        "10.0.0.0/8\n",
        "010.0.0.1",
        "10.0.0",
        "example.com",
        "fd00::/8",
        "[::1]:80",
        "127.0.0.1",
        "127.0.0.0/8:80",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "100.127.254.2",
        "١٠.0.0.1",
        7,
        None,
    ],
)
def test_what_is_no_range_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(UsageError) as refused:
        Allowed.parse(text)
    assert refused.value.code == "invalid-allow"
    assert "\n" not in refused.value.message
    assert refused.value.hint


@given(st.text())
def test_no_text_gets_into_the_rules_but_numbers(text: str) -> None:
    try:
        allowed = Allowed.parse(text)
    except UsageError:
        return
    assert set(str(allowed)) <= set("0123456789./:")


def test_ranges_without_a_network_are_a_mistake() -> None:
    assert require_allowed([], networked=False) == ()
    assert require_allowed(None, networked=True) == ()
    with pytest.raises(UsageError):
        require_allowed(["10.0.0.0/8"], networked=False)
    with pytest.raises(UsageError):
        require_allowed(["10.0.0.0/8"] * 65, networked=True)
    assert len(require_allowed(["10.0.0.0/8", "10.0.0.0/8"], networked=True)) == 1


def test_a_policy_is_one_of_three() -> None:
    assert require_policy("egress") is NetworkPolicy.EGRESS
    for wrong in ("on", "", None, 1, ["off"]):
        with pytest.raises(UsageError):
            require_policy(wrong)
