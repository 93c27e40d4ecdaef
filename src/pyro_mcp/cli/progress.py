"""Progress of an environment's installation: a bar on a terminal, lines in a pipe, nothing where it would disturb."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyro_mcp.cli import output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class PullProgress:
    """Renders `progress` events; others are none of its business. The bar, if any, ends with the context."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._phase = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_event(self, event: Mapping[str, object]) -> None:
        if self._quiet or event.get("event") != "progress":
            return
        if not self._phase:
            output.note(f"[pull] phase=install environment={event['environment']}")
        if sys.stderr.isatty():
            self._move_bar(event)
        elif event["phase"] != self._phase:
            output.note(f"[pull] step={event['phase']} {event['detail']}".rstrip())
        self._phase = str(event["phase"])

    def _move_bar(self, event: Mapping[str, object]) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415 - loaded only where a bar is drawn
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

            columns = TextColumn("[pull] {task.description}", markup=False), BarColumn(), TimeElapsedColumn()
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        assert self._task is not None
        total = event["total"] or None
        assert isinstance(total, int | None)
        current = event["current"]
        assert isinstance(current, int)
        self._bar.update(self._task, description=str(event["phase"]), completed=current, total=total)
