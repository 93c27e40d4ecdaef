"""The JSON objects about what lives in a workspace: shells, services, their ports, its network and its secrets.

Keys are public: they are added to, never renamed (docs/public-contract.md). What is not, or not yet, is null.
"""

from __future__ import annotations

from typing import TypedDict


class ShellPayload(TypedDict):
    """A shell and, of `read_shell` and `attach_shell`, what it wrote. `state`: `running` or `exited`.

    Cursors count the bytes that the terminal has written since it was opened: `cursor` is where `output` begins,
    `next_cursor` where the next read goes on. `truncated`: more is there than was asked for. `lost_bytes`: how much
    between the cursor asked for and `cursor` was no longer kept. `exit_code` is null while it runs, 128+N for signal N.
    """

    workspace_id: str
    shell_id: str
    cwd: str
    cols: int
    rows: int
    state: str
    cursor: int
    next_cursor: int
    output: str
    truncated: bool
    lost_bytes: int
    exit_code: int | None


class ShellWritePayload(TypedDict):
    """`input_length` counts the characters of `input`, without the newline that may have been added."""

    workspace_id: str
    shell_id: str
    input_length: int
    append_newline: bool


class PublishedPortPayload(TypedDict):
    """A port of the guest that this host listens for, at `host`, which is always 127.0.0.1. `protocol`: `tcp`."""

    host: str
    host_port: int
    guest_port: int
    protocol: str


class ServicePayload(TypedDict):
    """A service. `state`: `starting`, `running`, `stopped` (it was ended), `exited` (by itself) or `failed`.

    `failed` is one that was not ready in time, or ended before it was. `stop_reason` says why it no longer runs.
    `readiness` is what it was started with, `ready_at` when that came true. Times are ISO 8601 in UTC.
    """

    workspace_id: str
    service_name: str
    state: str
    command: str
    cwd: str
    pid: int | None
    readiness: dict[str, str] | None
    ready_at: str | None
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    stop_reason: str | None
    published_ports: list[PublishedPortPayload]


class ServiceListPayload(TypedDict):
    """All services since the last reset, by name. `running_count` counts those that run or are about to."""

    workspace_id: str
    count: int
    running_count: int
    services: list[ServicePayload]


class ServiceLogsPayload(ServicePayload):
    """The service and the end of its outputs, up to 1 MiB of each. `tail_lines` is null where all was asked for.

    `truncated`: more was written than is here.
    """

    stdout: str
    stderr: str
    tail_lines: int | None
    truncated: bool


class DeniedPayload(TypedDict):
    """What a guest tried to reach and was refused, `count` times. `port` is null where the protocol has none."""

    address: str
    protocol: str
    port: int | None
    count: int


class NetworkStatusPayload(TypedDict):
    """What a guest with a network may reach. `policy`: `egress` or `egress+published-ports`.

    `allow` are the ranges that it may reach beside the internet, as they were given. `denied` are some of the
    destinations that were refused, `denied_count` is how many packets or connections were.
    """

    policy: str
    allow: list[str]
    denied: list[DeniedPayload]
    denied_count: int


class SecretInfoPayload(TypedDict):
    """That there is a secret, never what it is. `source_kind`: `literal` or `file`."""

    name: str
    source_kind: str
