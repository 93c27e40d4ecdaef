"""What modules say about themselves, and the order in which they load."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import pytest

from pyro_mcp.environments import modinfo
from pyro_mcp.errors import BuildError
from tests.unit.environments.modules import module


def test_a_module_names_what_it_depends_on() -> None:
    assert modinfo.dependencies(module("virtio", "virtio-ring")) == ("virtio", "virtio_ring")
    assert modinfo.dependencies(module()) == ()


@pytest.mark.parametrize("damaged", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(58), module()[:-100]])
def test_what_is_no_module_is_refused(damaged: bytes) -> None:
    with pytest.raises(BuildError):
        modinfo.dependencies(damaged)


def test_every_cut_of_a_module_is_refused_or_read_without_another_error() -> None:
    whole = module("virtio")
    for length in range(len(whole)):
        with suppress(BuildError):
            assert modinfo.dependencies(whole[:length]) == ("virtio",)


def test_modules_load_after_all_they_depend_on() -> None:
    depends = {"blk": ["virtio", "ring"], "virtio": [], "ring": [], "net": ["fail"], "fail": ["over"], "over": []}
    order = modinfo.load_order(["net", "blk"], depends.get)
    assert sorted(order) == sorted(depends)
    for name, needed in depends.items():
        assert all(order.index(other) < order.index(name) for other in needed)


def test_the_order_does_not_depend_on_how_one_asks() -> None:
    depends: Mapping[str, list[str]] = {"a": ["c"], "b": ["c"], "c": []}
    assert modinfo.load_order(["a", "b"], depends.get) == modinfo.load_order(["b", "a"], depends.get) == ("c", "a", "b")


def test_what_is_built_into_the_kernel_needs_no_file() -> None:
    assert modinfo.load_order(["blk", "builtin"], {"blk": ["crc32"]}.get) == ("blk",)


def test_a_circle_is_refused() -> None:
    with pytest.raises(BuildError, match="a → b → a"):
        modinfo.load_order(["a"], {"a": ["b"], "b": ["a"]}.get)
