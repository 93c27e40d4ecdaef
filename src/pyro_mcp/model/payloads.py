"""The JSON objects every face returns. Keys are public: they are added to, never renamed (docs/public-contract.md)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from pyro_mcp.model.living_payloads import DeniedPayload


class Cleanup(TypedDict):
    """What became of the VM of a one-shot command."""

    deleted: bool
    reason: str
    vm_id: str


class RunPayload(TypedDict):
    """Answer of `run_in_vm` and `exec_vm`.

    `stdout` and `stderr` hold up to 1 MiB each, decoded as UTF-8 with replacement. `exit_code` is the command's own
    status, 124 after a timeout, 126 not executable, 127 not found, 128+N for signal N. `duration_ms` is the command's
    own time; `timings_ms` maps each step of the machine's life to milliseconds.
    """

    vm_id: str
    environment: str
    environment_version: str
    command: str
    execution_mode: str
    isolation: str
    exit_code: int
    timed_out: bool
    duration_ms: int
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    timings_ms: dict[str, float]
    cleanup: Cleanup


class LastCommand(TypedDict):
    """`state`: `running`, `ended`, or `interrupted` where its end was never seen; then `exit_code` is null."""

    command: str
    state: str
    exit_code: int | None
    started_at: str
    ended_at: str | None


class VmPayload(TypedDict):
    """A VM as `create_vm`, `start_vm`, `stop_vm` and `status_vm` show it. Times are ISO 8601 in UTC."""

    vm_id: str
    state: str
    environment: str
    environment_version: str
    execution_mode: str
    isolation: str
    vcpu_count: int
    mem_mib: int
    ttl_seconds: int
    created_at: str
    expires_at: str
    ended_at: str | None
    end_reason: str | None
    network_enabled: bool
    allow_host_compat: bool
    timings_ms: dict[str, float]
    command_count: int
    last_command: LastCommand | None
    metadata: dict[str, str]


class DeletePayload(TypedDict):
    vm_id: str
    deleted: bool
    reason: str


class NetworkPayload(TypedDict):
    """What a VM can reach. With policy `off` there is no route anywhere, not even to the host.

    `policy` is the same as `network_policy`, `guest_address` the one of `addresses`. `allow`, `denied` and
    `denied_count` are as in `NetworkStatusPayload`. What there is not without a network is null.
    """

    vm_id: str
    network_enabled: bool
    network_policy: str
    addresses: list[str]
    published_ports: list[dict[str, object]]
    policy: str
    guest_address: str | None
    gateway: str | None
    nameserver: str | None
    allow: list[str] | None
    denied: list[DeniedPayload] | None
    denied_count: int | None


class ReapPayload(TypedDict):
    count: int
    vm_ids: list[str]


class EnvironmentPayload(TypedDict):
    """One environment of the catalog and its state in the local cache."""

    name: str
    version: str
    description: str
    distribution: str
    distribution_version: str
    installed: bool
    source: str
    source_digest: str | None
    install_dir: str | None
    catalog_version: str
    compatibility: dict[str, str]
    size_bytes: NotRequired[int]
    disk_bytes: NotRequired[int]
    kernel_version: NotRequired[str]
    installed_at: NotRequired[str]


class EnvironmentListPayload(TypedDict):
    catalog_version: str
    count: int
    environments: list[EnvironmentPayload]


class PrunePayload(TypedDict):
    count: int
    deleted_environments: list[str]
    freed_bytes: int


class StartPayload(TypedDict):
    """One start of a VM: restored from a template or booted, and how long each step took."""

    vm_id: str
    environment: str
    vmm: str
    restored: bool
    total_ms: float
    timings_ms: dict[str, float]


class DaemonPayload(TypedDict):
    """The daemon of this state directory; all but `running` and the paths are absent when there is none.

    `starts` are the last ten of this state directory, latest first.
    """

    running: bool
    state_dir: str
    socket: str
    log: str
    leaving: NotRequired[bool]
    pid: NotRequired[int]
    version: NotRequired[str]
    uptime_seconds: NotRequired[float]
    machines: NotRequired[int]
    operations: NotRequired[int]
    starts: NotRequired[list[StartPayload]]


class KvmPayload(TypedDict):
    """`usable`: a guest has really booted with it; the device's existence proves nothing."""

    exists: bool
    readable: bool
    writable: bool
    usable: bool


class DoctorPayload(TypedDict):
    """What `pyro doctor` found. Each of `issues` is one line that ends with its remedy.

    `notes` are such lines about what would be better but is not needed: guests run all the same. `starts` are those
    that the daemon tells of (`DaemonPayload`), none where none runs.
    """

    platform: str
    runtime_ok: bool
    runtime: dict[str, object]
    kvm: KvmPayload
    networking: dict[str, bool]
    environment_cache: str
    capabilities: dict[str, bool]
    issues: list[str]
    notes: list[str]
    starts: list[StartPayload]
    boot: NotRequired[dict[str, object]]
