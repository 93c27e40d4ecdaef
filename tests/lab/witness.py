"""Who runs machines here, by the kernel's own account.

KVM announces every machine that is made or ends, with the process that made it, as a uevent of `/dev/kvm`
(kvm_uevent_notify_change in the kernel's virt/kvm/kvm_main.c). Any user may listen, nobody can fake one.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

_NETLINK_KOBJECT_UEVENT = 15
_GROUP_KERNEL = 1
_EVENT_BYTES = 65536
_BUFFER_BYTES = 4 << 20
_KVM = b"change@/devices/virtual/misc/kvm"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A process in the moment in which it made a machine.

    `vm_id` is None unless the process prints into a machine directory of pyro; `fault` says what is wrong with it, and
    is empty for the expected VMM with `/dev/kvm` open.
    """

    pid: int
    executable: str
    vm_id: str | None
    fault: str


class Witness:
    """Listens from creation to `close`; then `sightings` is complete."""

    def __init__(self, vmm: Path) -> None:
        """`vmm` is the one executable that may make machines."""
        self.sightings: list[Sighting] = []
        self.vmm = vmm
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT)
        self._events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._events.bind((0, _GROUP_KERNEL))
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._listen, name="kvm-witness")
        self._thread.start()

    def close(self) -> None:
        """Take what was announced until now, then stop listening."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)
        self._events.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._events, selectors.EVENT_READ)
            selector.register(self._stop, selectors.EVENT_READ)
            while True:
                stopping = self._stop in {key.fileobj for key, _ in selector.select()}
                self._take_all()
                if stopping:
                    return

    def _take_all(self) -> None:
        while True:
            try:
                event = self._events.recv(_EVENT_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # The kernel dropped some (ENOBUFS): then nothing is certain any more.
                self.sightings.append(Sighting(0, "", None, f"announcements were lost: {error}"))
                continue
            head, *lines = event.split(b"\0")
            fields = dict(line.split(b"=", 1) for line in lines if b"=" in line)
            if head == _KVM and fields.get(b"EVENT") == b"create":
                self.sightings.append(look_at(int(fields[b"PID"]), self.vmm))


def look_at(pid: int, vmm: Path) -> Sighting:
    """What `/proc` shows of a process that is about to run a machine."""
    process = Path(f"/proc/{pid}")
    try:
        executable = str((process / "exe").readlink())
        descriptors = list((process / "fd").iterdir())
        faults = []
        if not (process / "exe").samefile(vmm):
            faults.append(f"it is not {vmm}")
        if not any(_is_kvm(descriptor) for descriptor in descriptors):
            faults.append("it has not opened /dev/kvm")
        machine = re.search(r"/machines/(vm-[0-9a-f]{12})/", str((process / "fd/1").readlink()))
    except OSError as error:
        return Sighting(pid, "", None, f"it could not be looked at: {error}")
    return Sighting(pid, executable, machine[1] if machine else None, "; ".join(faults))


def _is_kvm(descriptor: Path) -> bool:
    try:
        return descriptor.stat().st_rdev == Path("/dev/kvm").stat().st_rdev
    except FileNotFoundError:
        return False  # closed meanwhile
