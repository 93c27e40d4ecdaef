"""What an installation of pyro leaves on a host: counted before and after, the counts must be equal.

`take(root)` looks at everything that mentions the installation's state directory, and at all network namespaces and
pyro's helper processes of the machine. `tests/unit/harness/test_census.py` plants one leak of each kind to prove that
it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

# What the daemon keeps for as long as the state directory lives.
_LASTING = {"daemon.lock", "daemon.log", "daemon.log.1", "start.lock", "machines", "tsc.json", "kvm.json"}
_LASTING |= {"blank.ext4", "blank-workspace.ext4", "empty.erofs", "workspaces", "reserve"}
_LASTING |= {f"state.sqlite3{suffix}" for suffix in ("", "-wal", "-shm")} | {"daemon.sock"}


@dataclass(frozen=True)
class Census:
    processes: frozenset[str]
    mounts: frozenset[str]
    sockets: frozenset[str]
    network_namespaces: frozenset[str]
    files: frozenset[str]

    def leaks_since(self, before: Census) -> dict[str, list[str]]:
        """What is there now and was not before, by kind; empty is what a test wants."""
        found = {f.name: sorted(getattr(self, f.name) - getattr(before, f.name)) for f in fields(self)}
        return {kind: names for kind, names in found.items() if names}


def take(root: Path) -> Census:
    return Census(
        processes=frozenset(_processes(root)),
        mounts=frozenset(_lines_with(root, Path("/proc/self/mountinfo"))),
        sockets=frozenset(line.split()[-1] for line in _lines_with(root, Path("/proc/net/unix"))),
        network_namespaces=frozenset(_network_namespaces(root)),
        files=frozenset(_files(root)),
    )


def processes_of(root: Path) -> list[int]:
    """Processes that hold a file of the installation open or name it in their command line; the daemon is not one.

    What runs on the host itself for a machine is told by the variable that names the machine's directory.
    """
    return [pid for pid in _pids() if _belongs(pid, root) and "pyro_mcp.daemon" not in _command_line(pid)]


def _processes(root: Path) -> Iterator[str]:
    for pid in processes_of(root):
        yield f"{pid} {_command_line(pid)[:120]}"


def _belongs(pid: int, root: Path) -> bool:
    if str(root) in _command_line(pid):
        return True
    try:
        if f"PYRO_MACHINE_DIRECTORY={root}/".encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return True
        links = [entry.readlink() for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return False
    return any(str(link).startswith(f"{root}/") for link in links)


def _network_namespaces(root: Path) -> Iterator[str]:
    for pid in processes_of(root):
        try:
            yield str(Path(f"/proc/{pid}/ns/net").readlink())
        except OSError:
            continue


def _files(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if name not in _LASTING:
            yield name


def _lines_with(root: Path, path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if f"{root}/" in line and not line.endswith("daemon.sock"):
            yield line


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
