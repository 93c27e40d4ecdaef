"""The shelf: what is put there is found again whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyro_mcp.environments import templates
from pyro_mcp.environments.layout import Layout
from pyro_mcp.environments.templates import Shelf, Template
from pyro_mcp.errors import BuildError
from pyro_mcp.host import files
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.sealed import seal

KEY = "0123456789abcdef"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "cache")
    layout.create()
    return layout


@pytest.fixture
def shelf(layout: Layout) -> Shelf:
    return Shelf(layout)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    sealed = []
    for name in ("memory", "state", "scratch"):
        (tmp_path / name).write_bytes(name.encode() * 50_000)
        sealed.append(seal(tmp_path / name))
    return Template(*sealed)


def digests(template: Template) -> tuple[str, str, str]:
    return template.memory.digest, template.state.digest, template.scratch.digest


def put(shelf: Shelf, template: Template, key: str = KEY) -> None:
    shelf.put(key, template, {"vmm": "qemu"})


def test_what_was_put_is_found_equal(shelf: Shelf, template: Template, layout: Layout) -> None:
    put(shelf, template)
    found = shelf.load(KEY)
    assert found is not None
    assert digests(found) == digests(template)
    assert json.loads((layout.templates / KEY / "manifest.json").read_text())["ingredients"] == {"vmm": "qemu"}
    assert (layout.templates / KEY).stat().st_mode & 0o777 == 0o700


def test_another_key_is_another_template(shelf: Shelf, template: Template) -> None:
    put(shelf, template)
    assert shelf.load("f" * 16) is None


def flip(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        with (place / name).open("r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))

    return damage


DAMAGE: dict[str, Callable[[Path], object]] = {
    "memory flipped": flip("memory"),
    "state flipped": flip("state"),
    "scratch flipped": flip("scratch"),
    "memory truncated": lambda place: os.truncate(place / "memory", 100),
    "state longer": lambda place: os.truncate(place / "state", 10_000_000),
    "no scratch": lambda place: (place / "scratch").unlink(),
    "no manifest": lambda place: (place / "manifest.json").unlink(),
    "empty manifest": lambda place: (place / "manifest.json").write_bytes(b""),
    "other manifest": lambda place: (place / "manifest.json").write_bytes(b'{"files": {"memory": 1}}'),
    "deep manifest": lambda place: (place / "manifest.json").write_bytes(b"[" * 100_000),
    "a list": lambda place: (place / "manifest.json").write_bytes(b"[]"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_not_there_and_can_be_put_again(
    damage: Callable[[Path], object], shelf: Shelf, template: Template, layout: Layout
) -> None:
    put(shelf, template)
    damage(layout.templates / KEY)
    assert shelf.load(KEY) is None
    put(shelf, template)
    assert shelf.load(KEY) is not None
    assert list((layout.root / "work").iterdir()) == []


def test_what_becomes_of_the_files_later_makes_no_difference(shelf: Shelf, template: Template, layout: Layout) -> None:
    put(shelf, template)
    found = shelf.load(KEY)
    for name in ("memory", "state", "scratch"):
        (layout.templates / KEY / name).write_bytes(b"other")
    shelf.discard(KEY)
    assert found is not None
    assert found.memory.path.read_bytes() == b"memory" * 50_000


def test_those_used_last_stay(shelf: Shelf, template: Template, layout: Layout) -> None:
    for number in range(templates.KEPT):
        put(shelf, template, f"{number:016x}")
        os.utime(layout.templates / f"{number:016x}", (number, number))
    assert shelf.load("0" * 16) is not None  # used again
    put(shelf, template, "f" * 16)
    kept = {path.name for path in layout.templates.iterdir()}
    assert len(kept) == templates.KEPT
    assert kept >= {"0" * 16, "f" * 16}
    assert f"{1:016x}" not in kept


def test_a_second_maker_waits_and_can_be_called_off(shelf: Shelf) -> None:
    cancel = Cancellation()
    with shelf.making(KEY, Cancellation()):
        cancel.set()
        with pytest.raises(BuildError, match="cancelled"), shelf.making(KEY, cancel):
            raise AssertionError("two makers at a time")
    with shelf.making(KEY, Cancellation()):
        pass


def test_a_put_that_fails_leaves_nothing(
    shelf: Shelf, template: Template, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        put(shelf, template)
    assert list(layout.templates.iterdir()) == []
    assert list((layout.root / "work").iterdir()) == []
