"""What several commands of `pyro workspace` print for people: facts, small tables, what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pyro_mcp.cli import output
from pyro_mcp.model.printable import printable

if TYPE_CHECKING:
    from pyro_mcp.model.living_payloads import NetworkStatusPayload
    from pyro_mcp.model.workspace_payloads import FileEntryPayload, FileListPayload, FileReadPayload, WorkspacePayload

# Four bytes may stand for one in an escape, and a path has up to 4096.
_PATH_CHARACTERS = 4 * 4096

_WORKSPACE = (
    "workspace_id", "name", "labels", "state", "environment", "environment_version", "execution_mode", "isolation",
    "workspace_path", "workspace_seed", "vcpu_count", "mem_mib", "ttl_seconds", "created_at", "expires_at",
    "last_activity_at", "network_policy", "secrets", "command_count", "last_command", "reset_count", "last_reset_at",
    "service_count", "running_service_count",
)  # fmt: skip


def path(text: str) -> str:
    """A path from anywhere, whole, on one line."""
    return printable(text, limit=_PATH_CHARACTERS)


def workspace(payload: WorkspacePayload) -> None:
    """One fact per line."""
    facts: dict[str, object] = {name: payload[name] for name in _WORKSPACE}  # type: ignore[literal-required]
    if payload["expires_at"] is None:
        facts["expires_at"] = "never"
    facts["secrets"] = " ".join(secret["name"] for secret in payload["secrets"])
    for name, value in facts.items():
        output.human(f"{name}: {_fact(value)}".rstrip())
    if payload["network"] is not None:
        _network(payload["network"])


def _network(status: NetworkStatusPayload) -> None:
    """What is open beside the internet, and a line for each thing that was refused."""
    output.human(f"allow: {_fact(status['allow'])}".rstrip())
    output.human(f"denied_count: {status['denied_count']}")
    for denied in status["denied"]:
        port = "" if denied["port"] is None else f":{denied['port']}"
        output.human(f"denied: {path(denied['address'])}{port} {path(denied['protocol'])} {denied['count']} times")


def facts(payload: Mapping[str, object]) -> None:
    """One per line, whatever they are."""
    for name, value in payload.items():
        output.human(f"{name}: {_fact(value)}".rstrip())


def table(rows: Iterable[Sequence[object]]) -> None:
    """Rows of equally many columns, each as wide as its longest text, the last one as it is."""
    texts = [[path(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        aligned = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        output.human("  ".join([*aligned, row[-1]]).rstrip())


def left_out(tag: str, names: Sequence[str], count: int) -> None:
    """Name on stderr what could not travel: sockets, FIFOs and devices."""
    for name in names:
        output.note(f"[{tag}] skipped={name}")
    if count > len(names):
        output.note(f"[{tag}] skipped {count - len(names)} more")


def summary(tag: str, counts: Mapping[str, int]) -> None:
    """Counts on one line of stderr."""
    output.note(f"[{tag}] " + " ".join(f"{name}={count}" for name, count in counts.items()))


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(
            f"{printable(str(name))}={_fact(item)}" for name, item in value.items() if item not in (None, [])
        )
    if isinstance(value, list):
        return " ".join(map(_fact, value))
    return "" if value is None else path(str(value))


def listing(found: FileListPayload, *, as_json: bool) -> None:
    """Type, size and name of each file, and where it leads if it is a symlink."""
    if as_json:
        output.json_object(found)
        return
    table((entry["artifact_type"], str(entry["size_bytes"]), _file(entry)) for entry in found["entries"])


def content(prefix: str, found: FileReadPayload, *, raw: bool, as_json: bool) -> None:
    """A text, and behind it on stderr what there is of it; with `raw` only if it was cut."""
    if as_json:
        output.json_object(found)
        return
    output.text(found["content"], raw=raw)
    if found["truncated"] or not raw:
        output.note(
            f"[{prefix}] size_bytes={found['size_bytes']} truncated={str(found['truncated']).lower()} "
            f"path={path(found['path'])}"
        )


def _file(entry: FileEntryPayload) -> str:
    target = entry["link_target"]
    return path(entry["path"]) + ("" if target is None else f" -> {path(target)}")
