"""The catalog is the one of the public contract."""

from __future__ import annotations

import pytest

from pyro_mcp._version import __version__
from pyro_mcp.environments import catalog
from pyro_mcp.errors import NotFoundError


def test_the_catalog_has_the_three_environments_of_the_contract() -> None:
    assert [entry.name for entry in catalog.entries()] == ["debian:12", "debian:12-base", "debian:12-build"]
    assert __version__ == catalog.VERSION


def test_each_environment_contains_the_smaller_one() -> None:
    base, everyday, build = (set(catalog.find(f"debian:12{suffix}").packages) for suffix in ("-base", "", "-build"))
    assert base < everyday < build


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'debian:12-build'") as failure:
        catalog.find("debian:12-biuld")
    assert failure.value.code == "environment-not-found"
    assert failure.value.hint == "pyro env list"


@pytest.mark.parametrize("name", ["", "fedora", "../../etc", "debian:12\n", "x" * 10_000])
def test_other_names_do_not_exist(name: str) -> None:
    with pytest.raises(NotFoundError) as failure:
        catalog.find(name)
    assert "\n" not in failure.value.message
    assert len(failure.value.message) < 200
