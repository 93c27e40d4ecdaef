"""Arguments and options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pyro_mcp.errors import UsageError
from pyro_mcp.model.frames import MAX_REQUEST_BYTES

F = TypeVar("F", bound=Callable[..., Any])


def as_json(function: F) -> F:
    return click.option("--json", "json_output", is_flag=True, help="Print the payload as JSON on stdout.")(function)


def size(function: F) -> F:
    """Processors and memory of a VM."""
    return _all(
        function,
        click.option("--vcpu-count", type=int, default=1, show_default=True, help="Virtual CPUs, 1-8."),
        click.option("--mem-mib", type=int, default=1024, show_default=True, help="Memory in MiB, 256-32768."),
    )


def require_isolation(function: F) -> F:
    return click.option(
        "--require-isolation",
        type=click.Choice(["kvm"]),
        help="Fail rather than use anything weaker. [env: PYRO_REQUIRE_ISOLATION]",
    )(function)


def machine(function: F) -> F:
    """Size, life and isolation of a VM."""
    return _all(
        function,
        size,
        click.option(
            "--ttl-seconds", type=int, default=600, show_default=True, help="Longest life of the VM, 60-86400."
        ),
        click.option("--network", is_flag=True, help="Let the guest reach the internet."),
        allow,
        click.option("--allow-host-compat", is_flag=True, help="Permit running on this host where no VMM boots."),
        require_isolation,
    )


def allow(function: F) -> F:
    return click.option(
        "--allow",
        multiple=True,
        metavar="CIDR[:PORT]",
        help="What it may reach beside the internet, such as 192.168.1.5:5432; may be given several times.",
    )(function)


def cwd(function: F) -> F:
    return click.option("--cwd", default="/workspace", show_default=True, metavar="DIR", help="Where it begins.")(
        function
    )


def secret_env(function: F) -> F:
    return click.option(
        "--secret-env",
        multiple=True,
        metavar="NAME[=ENV]",
        callback=_secret_env,
        help="A secret that it gets as a variable, of the same name or called ENV; may be given several times.",
    )(function)


def secrets(function: F) -> F:
    """Private texts of a workspace, as the SDK takes them: `literal_secrets` and `file_secrets`."""
    literal = click.option(
        "--secret",
        "literal_secrets",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_secrets("value"),
        help="A secret. Others on this host can see VALUE while this command runs; --secret-file has no such window.",
    )
    file = click.option(
        "--secret-file",
        "file_secrets",
        multiple=True,
        metavar="NAME=PATH",
        callback=_secrets("file_path"),
        help="A secret that a file of this host holds; may be given several times.",
    )
    return _all(function, literal, file)


def workspace_id(function: F) -> F:
    return click.argument("workspace_id")(function)


def pairs(option: str, parameter: str, *, metavar: str, text: str) -> Callable[[F], F]:
    """An option that may be given several times, `NAME=VALUE` each; of the same name the last one counts."""
    return click.option(option, parameter, multiple=True, metavar=metavar, callback=_pairs, help=text)


def command_of(words: tuple[str, ...]) -> str | list[str]:
    """What stands behind `--`: one word is a shell line, several are an argv."""
    return words[0] if len(words) == 1 else list(words)


def text_of(name: str, text: str | None, file: str | None) -> str:
    """What `--NAME` says, or what the file of `--NAME-file` holds, `-` being stdin: exactly one of them is given.

    Raises UsageError: `not-text`, `file-too-large` among others. The daemon's own bounds are narrower than these.
    """
    if (text is None) == (file is None):
        raise click.UsageError(f"give either --{name} or --{name}-file")
    if file is None:
        assert text is not None
        return text
    data = _stdin() if file == "-" else _content(file)
    if len(data) > MAX_REQUEST_BYTES:
        raise UsageError(
            f"{file} is too large for this: more than {MAX_REQUEST_BYTES} bytes",
            code="file-too-large",
            hint="`pyro workspace sync push` brings files of any size",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not UTF-8 text", code="not-text", hint="`pyro workspace sync push` brings files of any kind"
        ) from error


def to_list(function: F) -> F:
    """What commands take that list a directory of a guest."""
    path = click.argument("path", default="/workspace")
    recursive = click.option("--recursive", is_flag=True, help="Also what is in the directories in it.")
    return _all(function, workspace_id, path, recursive, as_json)


def to_read(function: F) -> F:
    """What commands take that print a file of a guest."""
    limit = click.option("--max-bytes", type=int, default=65536, show_default=True, help="How much of it, 1-1048576.")
    raw = click.option("--content-only", is_flag=True, help="Print the content as it is and nothing else.")
    return _all(function, workspace_id, click.argument("path"), limit, raw, as_json)


def json_or_raw(json_output: bool, content_only: bool) -> None:
    """Refuse a command of `to_read` both."""
    if json_output and content_only:
        raise click.UsageError("--json and --content-only exclude each other")


def _all(function: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        found[name] = text
    return found


def _secrets(kind: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], list[dict[str, str]]]:
    """Reads NAME=VALUE into secrets. No error shows a value."""

    def read(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[dict[str, str]]:
        found = []
        for number, value in enumerate(values, 1):
            name, equals, text = value.partition("=")
            if not (name and equals):
                what = "NAME=VALUE" if kind == "value" else "NAME=PATH"
                raise click.BadParameter(f"number {number} is not {what}; what was given is not shown")
            found.append({"name": name, kind: text})
        return found

    return read


def _secret_env(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, variable = value.partition("=")
        if not name or (equals and not variable):
            raise click.BadParameter(f"{value!r} is not NAME or NAME=ENV")
        if name in found:
            raise click.BadParameter(f"{name} is named twice; one command gets a secret as one variable")
        found[name] = variable or name
    return found


def _content(file: str) -> bytes:
    with Path(file).open("rb") as opened:
        return opened.read(MAX_REQUEST_BYTES + 1)


def _stdin() -> bytes:
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
