"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def as_json(function: F) -> F:
    return click.option("--json", "json_output", is_flag=True, help="Print the payload as JSON on stdout.")(function)


def machine(function: F) -> F:
    """Size, life and isolation of a VM."""
    for option in reversed(
        (
            click.option("--vcpu-count", type=int, default=1, show_default=True, help="Virtual CPUs, 1-8."),
            click.option("--mem-mib", type=int, default=1024, show_default=True, help="Memory in MiB, 256-32768."),
            click.option(
                "--ttl-seconds", type=int, default=600, show_default=True, help="Longest life of the VM, 60-86400."
            ),
            click.option("--network", is_flag=True, help="Let the guest reach the outside."),
            click.option("--allow-host-compat", is_flag=True, help="Permit running on this host where no VMM boots."),
            click.option(
                "--require-isolation",
                type=click.Choice(["kvm"]),
                help="Fail rather than use anything weaker. [env: PYRO_REQUIRE_ISOLATION]",
            ),
        )
    ):
        function = option(function)
    return function


def command_of(words: tuple[str, ...]) -> str | list[str]:
    """What stands behind `--`: one word is a shell line, several are an argv."""
    return words[0] if len(words) == 1 else list(words)
