"""The code keeps the measures of the house. Each rule is first shown a sample that it must refuse."""

from __future__ import annotations

import pytest

from tests.style import rules
from tests.style.repository import PACKAGE, ROOT, findings, line_count, tracked_beneath

PYTHON = tracked_beneath(PACKAGE, ".py")
GO = [file for file in tracked_beneath(ROOT / "guest", ".go") if not file.name.endswith("_test.go")]
TESTS = [file for file in tracked_beneath(ROOT / "tests", ".py") if file.stat().st_size > 0]


@pytest.mark.parametrize(
    ("place", "source", "name"),
    [
        ("engine/run.py", "import time\ntime.sleep(1)", "time.sleep"),
        ("engine/run.py", "from time import sleep as nap\nnap(1)", "time.sleep"),
        ("engine/run.py", "print('here')", "print"),
        ("vmm/driver.py", "import os as system\nsystem.environ['HOME']", "os.environ"),
        ("vmm/driver.py", "import asyncio\nasyncio.create_subprocess_exec('qemu')", "asyncio.create_subprocess_exec"),
    ],
)
def test_a_banned_name_is_found_under_any_alias(place: str, source: str, name: str) -> None:
    assert [finding.split(": ")[1] for finding in rules.banned_names(source, place)] == [name]


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("cli/render.py", "print('here')"),
        ("config.py", "import os\nos.environ['HOME']"),
        ("engine/run.py", "import os\nos.open('x', 0)"),
    ],
)
def test_a_name_is_allowed_in_its_own_room(place: str, source: str) -> None:
    assert rules.banned_names(source, place) == []


def test_code_uses_no_banned_names() -> None:
    places = {file.relative_to(PACKAGE).as_posix(): file for file in PYTHON}
    found = {place: rules.banned_names(file.read_text(), place) for place, file in places.items()}
    assert {place: names for place, names in found.items() if names} == {}


def test_tests_do_not_sleep() -> None:
    def sleeps(source: str) -> list[str]:
        return [finding for finding in rules.banned_names(source, "cli/") if "sleep" in finding]

    assert findings(TESTS, sleeps) == []


def test_a_long_function_is_found_in_python_and_in_go() -> None:
    body = "    pass\n" * rules.FUNCTION_LINES
    assert rules.long_functions(f"\ndef long():\n{body}") == ["2: long has 61 lines"]
    assert rules.long_functions("def short():\n    pass\n") == []
    go = "\nfunc (s *Server) Long(a int) error {\n" + "\tstep()\n" * 60 + "}\n"
    assert rules.long_go_functions(go) == ["2: func (s *Server) Long(a int) error has 62 lines"]
    assert rules.long_go_functions("func Short() {\n\tstep()\n}\n") == []


def test_functions_are_short() -> None:
    assert findings(PYTHON, rules.long_functions) == []
    assert findings(GO, rules.long_go_functions) == []


def test_modules_are_short() -> None:
    assert [f"{file.relative_to(ROOT)}" for file in PYTHON + GO if line_count(file) > rules.MODULE_LINES] == []


def test_a_module_without_a_docstring_is_found() -> None:
    assert rules.missing_docstring("x = 1\n") == ["1: no module docstring"]
    assert rules.missing_docstring('"""Why this is here."""\n') == []


def test_every_module_says_what_it_is_for() -> None:
    assert findings(PYTHON + TESTS, rules.missing_docstring) == []


def test_the_checks_see_the_code() -> None:
    assert PACKAGE / "errors.py" in PYTHON
    assert any(file.name == "main.go" for file in GO)
