"""What the style tests look for: pure functions from a source text to findings, `LINE: what`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

MODULE_LINES = 400
MODULE_LINES_REPORTED = 300
FUNCTION_LINES = 60

# Keep a Changelog 1.1.0.
CHANGE_KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


@dataclass(frozen=True, slots=True)
class Ban:
    """Names that code may use only beneath `rooms` (paths within the package); `instead` is what to do about it."""

    names: frozenset[str]
    rooms: tuple[str, ...]
    instead: str


BANS = (
    Ban(frozenset({"time.sleep", "asyncio.sleep"}), (), "wait for the event itself, with a deadline"),
    Ban(frozenset({"print"}), ("cli/",), "only cli/ renders"),
    Ban(frozenset({"os.environ", "os.getenv"}), ("config.py",), "config.py alone reads the environment"),
    Ban(
        frozenset({"asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"}),
        ("host/",),
        "only host/ starts processes",
    ),
)


def banned_names(source: str, place: str) -> list[str]:
    """Uses of a banned name in the module at `place`, whatever it was imported as."""
    bans = [ban for ban in BANS if not place.startswith(ban.rooms)]
    return [
        f"{line}: {name}: {ban.instead}"
        for line, name in _names_used(ast.parse(source))
        for ban in bans
        if name in ban.names
    ]


def long_functions(source: str) -> list[str]:
    """Python functions over the limit, docstring and signature included."""
    return [
        f"{node.lineno}: {node.name} has {length} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


def long_go_functions(source: str) -> list[str]:
    """Go functions over the limit; gofmt puts `func` and its closing brace at the start of a line."""
    findings = []
    for match in re.finditer(r"^func (.*?)\{\n.*?^\}", source, re.MULTILINE | re.DOTALL):
        length = match[0].count("\n") + 1
        if length > FUNCTION_LINES:
            line = source.count("\n", 0, match.start()) + 1
            findings.append(f"{line}: func {match[1].strip()} has {length} lines")
    return findings


def missing_docstring(source: str) -> list[str]:
    """The module's own docstring; in a package it also says what stands above and below."""
    return [] if ast.get_docstring(ast.parse(source)) else ["1: no module docstring"]


def changelog_faults(text: str) -> list[str]:
    """Departures from the format: `## [VERSION] - DATE`, or `- unreleased`, newest first, then `### KIND` and items."""
    faults = []
    versions = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            release = re.fullmatch(r"## \[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d{2}-\d{2}|unreleased)", line)
            if release is None:
                faults.append(f"{number}: not a release heading: {line}")
            else:
                versions.append(tuple(int(part) for part in release.groups()[:3]))
        elif line.startswith("### ") and line[4:] not in CHANGE_KINDS:
            faults.append(f"{number}: not a kind of change: {line}")
    if versions != sorted(versions, reverse=True) or len(set(versions)) != len(versions):
        faults.append("1: releases are not in order, newest first")
    return faults


def registry_hosts(text: str) -> list[str]:
    """Hosts of package registries. Mirrors differ by site, so the project leaves the choice to the tools' settings."""
    # Spelled in two pieces, or this file would name them.
    hosts = ("deb.debian" + ".org", "python" + "hosted", "pypi" + ".org", "registry.npm" + "js")
    return [
        f"{number}: {host}"
        for number, line in enumerate(text.splitlines(), 1)
        for host in hosts
        if host in line.lower()
    ]


def relative_links(text: str) -> list[str]:
    """The files that a Markdown text links to, as written, without anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [path for target in targets if "://" not in target and (path := target.partition("#")[0])]


def _names_used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name and attribute that is used, by its full dotted name."""
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            origin |= {item.asname: item.name for item in node.names if item.asname}
        elif isinstance(node, ast.ImportFrom):
            origin |= {item.asname or item.name: f"{node.module}.{item.name}" for item in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            head, dot, rest = ast.unparse(node).partition(".")
            yield node.lineno, origin.get(head, head) + dot + rest
