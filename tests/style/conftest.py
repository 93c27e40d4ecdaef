"""Names the modules that grow towards the limit, so that they are split before they must be."""

from __future__ import annotations

import pytest

from tests.style import rules
from tests.style.repository import PACKAGE, ROOT, line_count, tracked_beneath


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for file in tracked_beneath(PACKAGE, ".py") + tracked_beneath(ROOT / "guest", ".go"):
        lines = line_count(file)
        if lines > rules.MODULE_LINES_REPORTED:
            terminalreporter.write_line(f"long module: {file.relative_to(ROOT)} has {lines} lines")
