"""What all methods of `Pyro` stand on: one call to the daemon, which is started when there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyro_mcp.config import Settings
from pyro_mcp.sdk.autostart import with_daemon
from pyro_mcp.sdk.stdin import Stdin, as_file, feed
from pyro_mcp.sdk.transport import Exchange, Interruption, OnEvent, OnOutput

Command = str | Sequence[str]
"""A string is a shell line (`sh -lc`); a sequence of strings is an argv, passed without re-quoting."""


class Caller:
    _interruption: Interruption | None = None
    """What breaks a call off from another thread; `AsyncPyro` has one for each call."""

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` default to the environment variables (see `Settings.from_environment`)."""
        self._settings = settings or Settings.from_environment()

    def _call(
        self,
        name: str,
        arguments: Mapping[str, object],
        on_event: OnEvent | None = None,
        on_output: OnOutput | None = None,
        stdin: Stdin | None = None,
    ) -> dict[str, object]:
        source = None if stdin is None else as_file(stdin)

        def call() -> dict[str, object]:
            exchange = self._exchange()

            def on_any(event: Mapping[str, object]) -> None:
                if event.get("event") == "stdin" and source is not None:
                    feed(exchange, source)
                elif on_event is not None:
                    on_event(event)

            return exchange.call(name, self._document(arguments), on_any, on_output or _ignore_output)

        return with_daemon(self._settings, call)

    def _exchange(self) -> Exchange:
        return Exchange(self._settings.daemon_socket, self._settings.fingerprint, self._interruption)

    def _document(self, arguments: Mapping[str, object]) -> dict[str, object]:
        context = {"vmm": self._settings.vmm, "require_isolation": self._settings.require_isolation}
        return {"arguments": arguments, "context": context}


def as_json(command: Command) -> object:
    """What is no command goes as it is, to be refused by the daemon like every other wrong argument."""
    return list(command) if isinstance(command, Sequence) and not isinstance(command, str) else command


def as_list(items: object) -> object:
    """Any sequence as a list; what is none goes as it is, as above."""
    return list(items) if isinstance(items, Sequence) and not isinstance(items, str) else items


def _ignore_output(_stream: str, _data: bytes) -> None:
    pass
