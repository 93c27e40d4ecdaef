"""The guest's agent, as its host calls it: one method per request of the protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from pyro_mcp.agent.channel import Connector
from pyro_mcp.agent.deadlines import Deadlines
from pyro_mcp.agent.execution import encode_start, execute
from pyro_mcp.agent.http import deadline, exchange
from pyro_mcp.agent.messages import (
    ExecEvent,
    Exited,
    GuestState,
    Hello,
    Output,
    OutputStream,
    Started,
    parse_clock,
    parse_hello,
    parse_object,
    parse_state,
    refusal,
)
from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.agent.work import Work, work

__all__ = ["ExecEvent", "Exited", "GuestAgent", "GuestState", "Hello", "Output", "OutputStream", "Started", "Work"]

_DEADLINES = Deadlines()


class GuestAgent:
    """The agent behind `connector`, which it owns.

    Every method raises GuestError, whatever a guest does, and by a deadline: `guest-protocol` for nonsense,
    `guest-silent` at the deadline, `guest-gone` when nobody holds the other end, `guest-refused` for an error that the
    guest reports (details: guest_code, status), `guest-reset` for a request that it broke off.
    """

    def __init__(self, connector: Connector, deadlines: Deadlines = _DEADLINES) -> None:
        self._connector = connector
        self._deadlines = deadlines

    async def hello(self) -> Hello:
        """Who is there. Raises GuestError `guest-generation` if host and guest do not fit together."""
        return parse_hello(await self._call("GET", "/v1/hello", None, self._deadlines.request))

    async def identity(self, *, hostname: str, machine_id: str, entropy: bytes, clock_ns: int) -> int:
        """Give the guest names, 32 bytes of entropy and the wall clock; the clock as the guest set it.

        Returns only after the guest has confirmed that its random generator was reseeded.
        """
        body = {"hostname": hostname, "machine_id": machine_id, "entropy": entropy.hex(), "clock_ns": clock_ns}
        answer = await self._call("POST", "/v1/identity", body, self._deadlines.request)
        return parse_clock(answer, asked_ns=clock_ns, tolerance_ns=int(self._deadlines.request * 1e9))

    async def mount(self, *, base: str, scratch: str, environment: Mapping[str, str]) -> None:
        """Join the disks at these device paths into the guest's root; `environment` is what every command gets."""
        body = {"base": base, "scratch": scratch, "environment": dict(environment)}
        parse_state(await self._call("POST", "/v1/mount", body, self._deadlines.mount), "ready")

    async def network(self, *, address: str, gateway: str, nameserver: str, mtu: int) -> None:
        """Give the one network interface this address (CIDR) and way out, and programs this resolver."""
        body = {"address": address, "gateway": gateway, "nameserver": nameserver, "mtu": mtu}
        parse_state(await self._call("POST", "/v1/network", body, self._deadlines.request), "ready")

    async def mount_workspace(self, *, baseline: str, disk: str) -> None:
        """Lay the overlay of these two disks over /workspace."""
        body = {"baseline": baseline, "disk": disk}
        parse_state(await self._call("POST", "/v1/workspace", body, self._deadlines.mount), "ready")

    async def secret(self, name: str, value: str) -> None:
        """Put `value` into the file /run/pyro-secrets/`name`, in place of what is there."""

        async def content() -> AsyncIterator[bytes]:
            yield value.encode()

        async with self.ask("secret", {"name": name}, content()) as asked:
            await asked.result()

    async def freeze(self, *, hold_seconds: float) -> None:
        """Stop all writing to the workspace's disk, for at most `hold_seconds`; called again, for so long from now."""
        body = {"hold_ms": int(hold_seconds * 1000)}
        parse_state(await self._call("POST", "/v1/freeze", body, self._deadlines.mount), "frozen")

    async def thaw(self) -> None:
        """Let writing go on. Raises GuestError, guest_code `not-frozen` if it went on before."""
        parse_state(await self._call("POST", "/v1/thaw", {}, self._deadlines.request), "thawed")

    def work(
        self, name: str, parameters: Mapping[str, object], sent: AsyncIterator[bytes] | None = None
    ) -> AbstractAsyncContextManager[Work]:
        """Do something in /workspace: `async with agent.work(…) as work: … await work.result()` (`agent/work.py`)."""
        path = f"/v1/workspace/{name}"
        return work(self._connector, path, parameters, sent, silence_seconds=self._deadlines.silence, bulk=True)

    def ask(
        self,
        name: str,
        parameters: Mapping[str, object],
        sent: AsyncIterator[bytes] | None = None,
        *,
        answers: Collection[BodyKind] = (),
        patience_seconds: float | None = 0.0,
    ) -> AbstractAsyncContextManager[Work]:
        """Something of what lives in the guest, such as `shell/open` (protocol/README.md, section 6).

        `answers` are the frames that it may answer with, RESULT and FAILED aside. The guest may be silent for
        `patience_seconds` longer than a guest at work may; None is for ever.
        """
        silence = None if patience_seconds is None else self._deadlines.silence + patience_seconds
        return work(self._connector, f"/v1/{name}", parameters, sent, silence_seconds=silence, answers=answers)

    async def poweroff(self) -> None:
        """Ask the guest to end; it answers first, its end shows at the VMM."""
        parse_state(await self._call("POST", "/v1/poweroff", {}, self._deadlines.poweroff), "stopping")

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        timeout_ms: int,
        stdin: AsyncIterator[bytes] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[ExecEvent]]:
        """Run a command: `async with agent.exec(…) as events: async for event in events: …`.

        Yields Started (unless nothing could be run), Output as it comes, Exited last. Leaving the block before that
        kills the command with all its processes. `timeout_ms` 0 means none; the guest enforces it, and one that does
        not is given up soon after. Raises UsageError for text that is not UTF-8 or more than 1 MiB of it.
        """
        start = encode_start(argv, env=env, cwd=cwd, timeout_ms=timeout_ms, stdin=stdin is not None)
        return execute(self._connector, start, self._deadlines, timeout_ms=timeout_ms, stdin=stdin)

    async def close(self) -> None:
        """End all conversations with the guest. Idempotent."""
        await self._connector.close()

    async def _call(
        self, method: str, path: str, body: Mapping[str, object] | None, seconds: float
    ) -> dict[str, object]:
        payload = b"" if body is None else json.dumps(body).encode()
        async with exchange(self._connector) as http, deadline(seconds, path):
            await http.request(method, path, payload)
            status, answer = await http.status(), await http.whole_body()
        if status != 200:
            raise refusal(status, answer, path)
        return parse_object(answer, f"an answer to {path}")
