"""The room a VMM runs in: nothing of the host but the files it was given, no privilege, no network but the guest's.

Both VMMs get the same jail, made by bubblewrap. Started as root, the VMM still becomes an unprivileged user of the
host, in a user namespace in which it owns nothing but itself. It is spawned so that it does not notice when we end.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pyro_mcp.errors import HostError, PyroError, VmmError
from pyro_mcp.host import process, userns
from pyro_mcp.machines.log import Logged
from pyro_mcp.model.machine import Bind, ProcessIdentity
from pyro_mcp.net.namespace import Namespace
from pyro_mcp.vmm.driver import VmmPlan

_START_SECONDS = 20.0
_INFO_BYTES = 4096
_NOT_STARTED = (TimeoutError, ValueError, KeyError, ProcessLookupError)
_OPEN_FILES = 256
_OOM_SCORE = 500
"""Out of memory, the kernel ends a machine before what people run beside it."""

_TOOLS = {"bwrap": "bubblewrap", "prlimit": "util-linux", "choom": "util-linux"}
# What a dynamically linked program of Debian or Ubuntu needs to start.
_LIBRARIES = ("/usr/lib", "/usr/lib64")
_LINKS = (("usr/lib", "/lib"), ("usr/lib64", "/lib64"))
_LOADER_CACHE = "/etc/ld.so.cache"
_SETPRIV = "/usr/bin/setpriv"
_UNSHARE = "/usr/bin/unshare"


class Jail(Logged):
    """Starts one VMM in a jail (`vmm.driver.Launcher`); its output goes to a log in the machine's directory."""

    def __init__(
        self,
        directory: Path,
        *,
        uid: int | None,
        on_process: Callable[[ProcessIdentity], None],
        network: Namespace | None = None,
    ) -> None:
        """`uid`: whom the VMM becomes where we are root, else None. `on_process` hears of it as soon as it exists.

        `network` is where the other end of the guest's cable is; without one the VMM is in a namespace of its own.
        """
        self._directory = directory
        self._network = network
        super().__init__(directory)
        self._nodes: list[Path] = []
        self._uid = uid
        self._on_process = on_process

    async def __call__(self, plan: VmmPlan, inherited: Sequence[int]) -> ProcessIdentity:
        require_tools()
        log = self._log.make()
        for bind in plan.binds:
            if not bind.read_only:
                self._give(bind.source)
        devices = [self._device(device) for device in plan.devices]
        # Pairs of sockets, not pipes: the loop can wait for them.
        told, info = socket.socketpair()
        gate, blocked = socket.socketpair()
        with told, gate:
            with info, blocked:
                enter = () if self._network is None else self._network.enter()
                argv = jail_argv(plan, devices, uid=self._uid, info=info.fileno(), block=blocked.fileno(), enter=enter)
                lifeline = () if self._network is None else (self._network.lifeline,)
                descriptors = (info.fileno(), blocked.fileno(), *lifeline, *inherited)
                child = process.spawn_detached(argv, output=log, inherit=descriptors)
                self._log.follow()
            try:
                identity = await _identity(told)
                self._on_process(identity)
            except BaseException as error:
                # All of it is still in one process group, the VMM waits at the gate.
                child.kill_group()
                if isinstance(error, _NOT_STARTED):
                    raise self.explain(VmmError("the jail did not start", code="jail-failed")) from error
                raise
        if self._network is not None:
            self._network.given()
        return identity

    def explain(self, failure: VmmError) -> PyroError:
        """`failure` with what the VMM, or the jail around it, has printed; HostError if the host is at fault."""
        log = self.process_log().strip()
        if (refused := userns.refused(log)) is not None:
            return refused
        if "Cannot allocate memory" in log:
            return HostError(
                "this host does not have the memory for this machine",
                code="no-memory",
                hint="ask for less with --mem-mib",
            )
        return super().explain(failure)

    def close(self) -> None:
        """Remove what was made for the process, which goes on. Idempotent; its log can still be read here."""
        super().close()
        for node in self._nodes:
            node.unlink(missing_ok=True)

    def _give(self, path: Path) -> None:
        """Make a file the VMM's own, where it runs as somebody else."""
        if self._uid is None:
            return
        try:
            os.chown(path, self._uid, self._uid)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise HostError(
                f"there is no user {self._uid} here: this root's user namespace has too few ids",
                code="userns-disabled",
                hint=f"run pyro as an ordinary user, or give the container more ids than {self._uid}",
            ) from error

    def _device(self, device: Path) -> Bind:
        """A device as the VMM may open it. Where we are root that is a node of its own, whatever the host's allows."""
        if self._uid is None:
            return Bind(device, str(device), read_only=False)
        node = self._directory / device.name
        node.unlink(missing_ok=True)
        self._nodes.append(node)
        try:
            os.mknod(node, stat.S_IFCHR | 0o600, device.stat().st_rdev)
            self._give(node)
        except OSError as error:
            raise HostError(f"{device} cannot be given to a VMM: {error.strerror}", code="vmm-unavailable") from error
        return Bind(node, str(device), read_only=False)


def require_tools() -> None:
    """Raises HostError for a program that every jail needs, or root's, and this host does not have."""
    dropping = {_SETPRIV: "util-linux", _UNSHARE: "util-linux"} if os.geteuid() == 0 else {}
    for tool, package in {**_TOOLS, **dropping}.items():
        if shutil.which(tool) is None:
            name = Path(tool).name
            raise HostError(f"{name} is not installed", code=f"{name}-missing", hint=f"sudo apt-get install {package}")


async def _identity(told: socket.socket) -> ProcessIdentity:
    """The jail's first process, from bubblewrap's JSON. Raises one of _NOT_STARTED if it ends without having told."""
    told.setblocking(False)
    text = b""
    async with asyncio.timeout(_START_SECONDS):
        while b"}" not in text and len(text) < _INFO_BYTES:
            part = await asyncio.get_running_loop().sock_recv(told, _INFO_BYTES)
            if not part:
                break
            text += part
    return process.identify(int(json.loads(text)["child-pid"]))


def jail_argv(
    plan: VmmPlan, devices: Sequence[Bind], *, uid: int | None, info: int, block: int, enter: Sequence[str] = ()
) -> tuple[str, ...]:
    """The command that runs `plan` in a jail. Pure.

    `devices` are the nodes to be seen for `plan.devices`. `uid` is the unprivileged user it becomes when started as
    root, None when started by an ordinary user, whose identity it keeps. bubblewrap writes the host's pid of the VMM to
    the descriptor `info`, and runs the VMM once `block` can be read or was closed at its other end. `enter` is what a
    command begins with to run in the network namespace that is meant; without it, that is one with nothing in it.
    """
    # As root no user namespace yet: `_drop` makes it once it is no longer root.
    user = () if uid is not None else ("--unshare-user",)
    return (
        *("choom", "-n", str(_OOM_SCORE), "--"),
        *("prlimit", "--core=0:0", f"--nofile={_OPEN_FILES}:{_OPEN_FILES}"),
        *(f"--fsize={plan.max_file_bytes}", f"--as={plan.address_space_bytes}"),
        *enter,
        "bwrap",
        *user,
        *("--unshare-pid", *(() if enter else ("--unshare-net",))),
        *("--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
        *("--new-session", "--as-pid-1", "--clearenv", "--cap-drop", "ALL"),
        *(_kept_capabilities() if uid is not None else ()),
        *_root(plan.binds, devices, drop_tools=uid is not None),
        *("--chdir", "/vm", "--info-fd", str(info), "--block-fd", str(block), "--"),
        *(_drop(uid) if uid is not None else ()),
        *plan.argv,
    )


def _root(binds: Sequence[Bind], devices: Sequence[Bind], *, drop_tools: bool) -> Iterator[str]:
    """A root directory with `binds` and little else, all of it read-only but the files bound otherwise."""
    tools = tuple(Bind(Path(tool), tool) for tool in (_SETPRIV, _UNSHARE)) if drop_tools else ()
    libraries = tuple(Bind(Path(directory), directory) for directory in _LIBRARIES)
    shown = (*libraries, *tools, *binds)
    # Named one by one: directories that bubblewrap has to invent on its own can be entered by root alone.
    for directory in sorted({str(parent) for bind in shown for parent in Path(bind.target).parents} - {"/"}):
        yield from ("--dir", directory)
    for bind in shown:
        yield from ("--ro-bind" if bind.read_only else "--bind", str(bind.source), bind.target)
    for target, link in _LINKS:
        yield from ("--symlink", target, link)
    yield from ("--ro-bind-try", _LOADER_CACHE, _LOADER_CACHE)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for directory in sorted({str(Path(device.target).parent) for device in devices} - {"/dev"}):
        yield from ("--dir", directory)
    for device in devices:
        yield from ("--dev-bind", str(device.source), device.target)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def _kept_capabilities() -> Iterator[str]:
    """What `_drop` needs to drop everything."""
    for name in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
        yield from ("--cap-add", name)


def _drop(uid: int) -> tuple[str, ...]:
    """From root to `uid` on the host, then to a user namespace of its own, then to no capability even there."""
    return (
        *(_SETPRIV, f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
        *(_UNSHARE, "--user", "--map-root-user"),
        *(_SETPRIV, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
    )
