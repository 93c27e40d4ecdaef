"""`Pyro`: the synchronous Python face. One method per operation; each returns the same JSON-able payload as the CLI."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from pyro_mcp.config import Settings
from pyro_mcp.sdk.caller import Command, as_json, as_list
from pyro_mcp.sdk.services import ServiceMethods
from pyro_mcp.sdk.shells import ShellMethods
from pyro_mcp.sdk.transport import Interruption, NobodyThereError, OnEvent, OnOutput
from pyro_mcp.sdk.workspaces import WorkspaceMethods

if TYPE_CHECKING:  # dozens of classes, which nobody needs who only calls
    from pyro_mcp.model.payloads import (
        DaemonPayload,
        DeletePayload,
        EnvironmentListPayload,
        EnvironmentPayload,
        NetworkPayload,
        PrunePayload,
        ReapPayload,
        RunPayload,
        VmPayload,
    )

_LEAVE_SECONDS = 60.0


class Pyro(WorkspaceMethods, ShellMethods, ServiceMethods):
    """A client of the daemon of one state directory; the daemon is started when there is none.

    Holds no connection and no process: it needs no closing, and may be used from several threads at once. Every method
    may raise `PyroError` (`pyro_mcp.errors`), whose `code` is stable and whose `hint` is the next step. An exception
    during a call, KeyboardInterrupt included, undoes at the daemon what the call began.
    """

    def run_in_vm(
        self,
        *,
        environment: str,
        command: Command,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        timeout_seconds: int = 30,
        ttl_seconds: int = 600,
        network: bool = False,
        allow: Sequence[str] | None = None,
        allow_host_compat: bool = False,
        require_isolation: str | None = None,
        on_event: OnEvent | None = None,
        on_output: OnOutput | None = None,
    ) -> RunPayload:
        """Run one command in a fresh VM that is gone when this returns.

        `vcpu_count` 1–8, `mem_mib` 256–32768. After `timeout_seconds` (1–86400) the command's whole process tree is
        killed, the output so far is kept, `timed_out` is true and `exit_code` 124. `ttl_seconds` (60–86400) bounds the
        VM's life as a whole. `network` lets it reach the internet, and what `allow` names beside that: ranges like
        `10.1.2.0/24` or `192.168.1.5:5432`, up to 64. `require_isolation="kvm"` refuses software emulation.
        `allow_host_compat` permits running on the host itself where no VMM boots.

        `on_output(stream, data)` is called with `"stdout"` or `"stderr"` and bytes as they come, without the 1 MiB
        bound of the payload; `on_event` with dicts that name phases and progress. A missing environment is built first.
        """
        arguments = {
            "environment": environment,
            "command": as_json(command),
            "vcpu_count": vcpu_count,
            "mem_mib": mem_mib,
            "timeout_seconds": timeout_seconds,
            "ttl_seconds": ttl_seconds,
            "network": network,
            "allow": as_list(allow),
            "allow_host_compat": allow_host_compat,
            "require_isolation": require_isolation,
        }
        return cast("RunPayload", self._call("run_in_vm", arguments, on_event, on_output))

    def create_vm(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow: Sequence[str] | None = None,
        allow_host_compat: bool = False,
        require_isolation: str | None = None,
        on_event: OnEvent | None = None,
    ) -> VmPayload:
        """Reserve a VM; nothing runs yet. It is deleted after `ttl_seconds`, used or not."""
        arguments = {
            "environment": environment,
            "vcpu_count": vcpu_count,
            "mem_mib": mem_mib,
            "ttl_seconds": ttl_seconds,
            "network": network,
            "allow": as_list(allow),
            "allow_host_compat": allow_host_compat,
            "require_isolation": require_isolation,
        }
        return cast("VmPayload", self._call("create_vm", arguments, on_event))

    def start_vm(self, vm_id: str) -> VmPayload:
        """Boot a created or stopped VM. A guest that does not come up is a GuestError."""
        return cast("VmPayload", self._call("start_vm", {"vm_id": vm_id}))

    def exec_vm(
        self, vm_id: str, *, command: Command, timeout_seconds: int = 30, on_output: OnOutput | None = None
    ) -> RunPayload:
        """Run one command in a started VM, then delete the VM, whatever became of the command."""
        arguments = {
            "vm_id": vm_id,
            "command": as_json(command),
            "timeout_seconds": timeout_seconds,
        }
        return cast("RunPayload", self._call("exec_vm", arguments, None, on_output))

    def stop_vm(self, vm_id: str) -> VmPayload:
        """Shut the guest down cleanly, by force after 10 s. Its disk stays until deletion or expiry. Idempotent."""
        return cast("VmPayload", self._call("stop_vm", {"vm_id": vm_id}))

    def delete_vm(self, vm_id: str) -> DeletePayload:
        """End the VM, whatever it is doing, and delete all of it. Raises NotFoundError for one that is gone."""
        return cast("DeletePayload", self._call("delete_vm", {"vm_id": vm_id}))

    def status_vm(self, vm_id: str) -> VmPayload:
        """What the VM is and does. Raises NotFoundError, with code `vm-expired` where its time ran out."""
        return cast("VmPayload", self._call("status_vm", {"vm_id": vm_id}))

    def network_info_vm(self, vm_id: str) -> NetworkPayload:
        """What the VM can reach, and what it tried to and was refused."""
        return cast("NetworkPayload", self._call("network_info_vm", {"vm_id": vm_id}))

    def reap_expired(self) -> ReapPayload:
        """Delete every VM whose time is over, now. The daemon does so by itself; this says which they were."""
        return cast("ReapPayload", self._call("reap_expired", {}))

    def list_environments(self) -> EnvironmentListPayload:
        """The catalog, and what of it is installed."""
        return cast("EnvironmentListPayload", self._call("list_environments", {}))

    def pull_environment(self, environment: str, *, on_event: OnEvent | None = None) -> EnvironmentPayload:
        """Install an environment unless it is installed; a damaged one is made anew. `on_event` gets progress."""
        return cast("EnvironmentPayload", self._call("pull_environment", {"environment": environment}, on_event))

    def inspect_environment(self, environment: str) -> EnvironmentPayload:
        """One environment. Raises IntegrityError if its image is not what was installed."""
        return cast("EnvironmentPayload", self._call("inspect_environment", {"environment": environment}))

    def prune_environments(self) -> PrunePayload:
        """Delete environments of other catalog versions and everything in the cache that nothing refers to."""
        return cast("PrunePayload", self._call("prune_environments", {}))

    def daemon_status(self) -> DaemonPayload:
        """The daemon of this state directory; starts none."""
        return self._daemon("daemon_status")

    def stop_daemon(self) -> DaemonPayload:
        """End the daemon: one-shot VMs are deleted, others stopped. Says what was running; returns once it is gone."""
        found = self._daemon("daemon_stop")
        if found["running"]:
            _wait_gone(found["pid"])
        return found

    def _daemon(self, name: str) -> DaemonPayload:
        try:
            exchange = self._exchange()
            return cast("DaemonPayload", exchange.call(name, self._document({}), _ignore, _ignore))
        except NobodyThereError:
            settings = self._settings
            return {
                "running": False,
                "state_dir": str(settings.state_dir),
                "socket": str(settings.daemon_socket),
                "log": str(settings.daemon_log),
            }


class InterruptiblePyro(Pyro):
    """`Pyro` for one call at a time that another thread can break off: the call then raises InterruptedExchange."""

    def __init__(self, interruption: Interruption, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._interruption = interruption


def _wait_gone(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([process], [], [], _LEAVE_SECONDS)
    finally:
        os.close(process)


def _ignore(*_: object) -> None:
    pass
