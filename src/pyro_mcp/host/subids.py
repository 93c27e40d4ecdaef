"""Working as root on trees whose files belong to many users, also as an ordinary user.

The ordinary user gets a user namespace in which root is that user and the other ids come from the range that
`/etc/subuid` and `/etc/subgid` grant. Both kinds of user get mount and pid namespaces: what a command mounts is seen by
nobody else, and when it is killed, or its starter dies, everything it started dies with it.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyro_mcp.errors import HostError
from pyro_mcp.host import command

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where tools are looked for: mke2fs and chroot live in directories that are not on an ordinary user's PATH."""

_PROBE_SECONDS = 30
_RANGE = 65536
_FIRST_SUBORDINATE_ID = 100_000


def as_root(argv: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> list[str | Path]:
    """The command that runs `argv` as root in namespaces of its own, with `variables` added to the environment."""
    identity = [] if os.geteuid() == 0 else ["--map-auto", "--map-root-user"]
    settings = {"PATH": PATH, "LC_ALL": "C.UTF-8", **(variables or {})}
    return [
        *(_tool("setpriv"), "--pdeathsig", "KILL"),
        *(_tool("unshare"), *identity, "--mount", "--ipc", "--pid", "--fork", "--kill-child"),
        *(_tool("env"), *(f"{name}={value}" for name, value in settings.items())),
        *argv,
    ]


def require() -> None:
    """Check that `as_root` works here. Raises HostError (`no-subordinate-ids` or `no-namespaces`) with the remedy."""
    tried = command.run(as_root(["chown", "--version"]), deadline_seconds=_PROBE_SECONDS)
    if tried.succeeded:
        return
    if os.geteuid() != 0:
        _explain_missing_ids()
    raise HostError(
        f"namespaces for building cannot be made here: {tried.last_words()}",
        code="no-namespaces",
        hint="allow unprivileged user namespaces on this host, or build as root outside of a container",
    )


def find(name: str) -> str | None:
    """Where the program `name` is, in the places that `as_root` looks."""
    return shutil.which(name, path=PATH)


def remove_tree(path: Path) -> None:
    """Remove `path` and all below, whoever in the namespace it belongs to; nothing there is fine. Raises HostError."""
    shutil.rmtree(path, ignore_errors=True)
    if not os.path.lexists(path):
        return
    removed = command.run(as_root(["rm", "-rf", "--", path]), deadline_seconds=600)
    if not removed.succeeded:
        raise HostError(f"{path} cannot be removed: {removed.last_words()}", code="cannot-remove")


def _explain_missing_ids() -> None:
    if find("newuidmap") is None or find("newgidmap") is None:
        raise HostError(
            "the programs newuidmap and newgidmap are not installed",
            code="no-subordinate-ids",
            hint="sudo apt-get install uidmap",
        )
    user = _user_name()
    tables = [Path("/etc/subuid"), Path("/etc/subgid")]
    if not all(_grants(table, user) for table in tables):
        first = max(_first_free(table) for table in tables)
        span = f"{first}-{first + _RANGE - 1}"
        raise HostError(
            f"the user {user} has no range of subordinate ids in /etc/subuid and /etc/subgid",
            code="no-subordinate-ids",
            hint=f"sudo usermod --add-subuids {span} --add-subgids {span} {user}",
        )


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _grants(table: Path, user: str) -> bool:
    return any(fields[0] in (user, str(os.getuid())) for fields in _rows(table))


def _first_free(table: Path) -> int:
    ends = [int(start) + int(count) for _, start, count in _rows(table)]
    return max([_FIRST_SUBORDINATE_ID, *ends])


def _rows(table: Path) -> list[list[str]]:
    try:
        rows = [line.strip().split(":") for line in table.read_text().splitlines()]
    except OSError:
        return []
    return [row for row in rows if len(row) == 3 and row[1].isdecimal() and row[2].isdecimal()]


def _tool(name: str) -> str:
    found = find(name)
    if found is None:
        raise HostError(
            f"the program {name} is not installed",
            code="tool-missing",
            hint="sudo apt-get install util-linux coreutils",
        )
    return found
