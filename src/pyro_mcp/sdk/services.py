"""The methods of `Pyro` about services: named commands that run on when the call is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from pyro_mcp.sdk.caller import Caller, Command, as_json, as_list
from pyro_mcp.sdk.transport import OnOutput

if TYPE_CHECKING:
    from pyro_mcp.model.living_payloads import ServiceListPayload, ServiceLogsPayload, ServicePayload

Readiness = Mapping[str, str]
"""One of `{"type": "file", "path": …}`, `{"type": "tcp", "address": "HOST:PORT"}`, `{"type": "http", "url": …}` and
`{"type": "command", "command": …}`."""


class ServiceMethods(Caller):
    """Names are those of snapshots: 1 to 64 letters, digits, `.`, `_`, `-`, a letter or digit first.

    Methods that look at one raise NotFoundError `service-not-found`. What a service was stays known until one of its
    name is started again or the workspace is reset.
    """

    def start_service(
        self,
        workspace_id: str,
        service_name: str,
        *,
        command: Command,
        cwd: str = "/workspace",
        readiness: Readiness | None = None,
        ready_timeout_seconds: int = 30,
        ready_interval_ms: int = 500,
        secret_env: Mapping[str, str] | None = None,
        published_ports: Sequence[Mapping[str, int]] | None = None,
    ) -> ServicePayload:
        """Start a command that runs on in the background, and return once it is ready.

        It is ready when `readiness` says so: a file that is there, an address that can be connected to, a URL that
        answers with 200 to 399, a shell line that ends with 0; URL and line are tried every `ready_interval_ms`
        (10–60,000). Without one it is ready once it runs. If that has not come true after `ready_timeout_seconds`
        (1–3600), or the command ends before, all of it is ended and `state` is `failed`: that is no error, and its logs
        are kept. Whoever breaks the call off ends it, too.

        `published_ports` makes ports of the guest reachable at 127.0.0.1 of this host, `{"guest_port": 8080}` at any
        free port, `{"guest_port": 8080, "host_port": 18080}` at that one. It takes the network policy
        `egress+published-ports`. `secret_env` maps names of secrets to variables of the command. Raises ConflictError
        `service-exists` while one of that name runs, `ports-not-allowed`, `port-taken`.
        """
        arguments = {
            "workspace_id": workspace_id,
            "service_name": service_name,
            "command": as_json(command),
            "cwd": cwd,
            "readiness": readiness,
            "ready_timeout_seconds": ready_timeout_seconds,
            "ready_interval_ms": ready_interval_ms,
            "secret_env": secret_env,
            "published_ports": as_list(published_ports),
        }
        return cast("ServicePayload", self._call("start_service", arguments))

    def list_services(self, workspace_id: str) -> ServiceListPayload:
        """All services since the last reset, by name."""
        return cast("ServiceListPayload", self._call("list_services", {"workspace_id": workspace_id}))

    def status_service(self, workspace_id: str, service_name: str) -> ServicePayload:
        """What the service is and does."""
        arguments = {"workspace_id": workspace_id, "service_name": service_name}
        return cast("ServicePayload", self._call("status_service", arguments))

    def logs_service(
        self,
        workspace_id: str,
        service_name: str,
        *,
        tail_lines: int = 200,
        all: bool = False,
        follow: bool = False,
        on_output: OnOutput | None = None,
    ) -> ServiceLogsPayload:
        """The last `tail_lines` (1–100,000) lines of each output, or `all` of them, up to 1 MiB of each.

        With `follow`, `on_output(stream, data)` gets these and then what is written, as bytes and as it comes, until
        the service has ended; an exception in it ends the call and leaves the service as it is.
        """
        arguments = {
            "workspace_id": workspace_id,
            "service_name": service_name,
            "tail_lines": tail_lines,
            "all": all,
            "follow": follow,
        }
        return cast("ServiceLogsPayload", self._call("logs_service", arguments, None, on_output))

    def stop_service(self, workspace_id: str, service_name: str) -> ServicePayload:
        """End the service with all that it started: SIGTERM, and after 10 s by force. Its logs stay. Idempotent."""
        arguments = {"workspace_id": workspace_id, "service_name": service_name}
        return cast("ServicePayload", self._call("stop_service", arguments))
