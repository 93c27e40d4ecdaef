"""Commands in a workspace: any number at a time, each noted before it begins and when it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from pyro_mcp.agent.messages import Exited, Output, OutputStream
from pyro_mcp.config import OUTPUT_BYTES
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.sink import KeptOutput, Sink
from pyro_mcp.engine.streams import Redacted
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.requests import Command
from pyro_mcp.model.times import timestamp
from pyro_mcp.model.workspace import WORKSPACE_PATH, CommandOutcome, HistoryRecord
from pyro_mcp.model.workspace_payloads import LogEntryPayload, WorkspaceExecPayload, WorkspaceLogsPayload
from pyro_mcp.state.history import HistoryTable

HISTORY_BYTES = 64 << 10
"""Of each output stream of a command, so much is kept in the history."""


TOLD_CHARACTERS = 4 << 20
"""Of all outputs in a history together, so much is told; the latest come first."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What to run. `env` comes on top of the environment's variables; `stdin` None is /dev/null."""

    command: Command
    timeout_seconds: int
    cwd: str = WORKSPACE_PATH
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdin: AsyncIterator[bytes] | None = None
    secret_env: Mapping[str, str] = field(default_factory=dict)
    """Which of the workspace's secrets become which variables: name of the secret to that of the variable."""


class Executions:
    def __init__(self, workspaces: Workspaces, history: HistoryTable, secrets: Secrets) -> None:
        self._workspaces = workspaces
        self._history = history
        self._secrets = secrets

    async def run(self, workspace_id: object, execution: Execution, sink: Sink) -> WorkspaceExecPayload:
        """Run one command to its end. Who leaves early kills it with all that it started."""
        async with self._workspaces.working(workspace_id) as (record, machine):
            redactor = self._secrets.redactor(record.workspace_id)
            secret = self._secrets.environment(record.workspace_id, execution.secret_env)
            told = replace(execution, env={**execution.env, **secret})
            now = time.time()
            command, cwd = redactor.redact_text(execution.command.text), redactor.redact_text(execution.cwd)
            sequence = self._history.begin(record.workspace_id, command, cwd, now=now)
            outcome = CommandOutcome(None)
            kept = {stream: KeptOutput(OUTPUT_BYTES) for stream in OutputStream}
            remembered = {stream: KeptOutput(HISTORY_BYTES) for stream in OutputStream}
            try:
                exited = await _run(machine, told, redactor, sink, kept, remembered)
                outcome = CommandOutcome(exited.exit_code, exited.duration_ms)
            finally:
                self._history.end(
                    record.workspace_id,
                    sequence,
                    CommandOutcome(
                        outcome.exit_code,
                        outcome.duration_ms,
                        remembered[OutputStream.STDOUT].text(),
                        remembered[OutputStream.STDERR].text(),
                    ),
                    started_at=now,
                    now=time.time(),
                )
            info = self._workspaces.machine_record(record)
        out, err = kept[OutputStream.STDOUT], kept[OutputStream.STDERR]
        return {
            "workspace_id": record.workspace_id,
            "sequence": sequence,
            "command": command,
            "cwd": cwd,
            "exit_code": exited.exit_code,
            "timed_out": exited.timed_out,
            "duration_ms": exited.duration_ms,
            "stdout": out.text(),
            "stderr": err.text(),
            "stdout_truncated": out.truncated,
            "stderr_truncated": err.truncated,
            "execution_mode": info.execution_mode.value,
            "isolation": info.isolation.value,
        }

    def logs(self, workspace_id: object) -> WorkspaceLogsPayload:
        """What was run since the last reset, oldest first."""
        record = self._workspaces.find(workspace_id)
        entries = _bounded([_entry(entry) for entry in self._history.of(record.workspace_id)])
        return {"workspace_id": record.workspace_id, "count": len(entries), "entries": entries}


async def _run(
    machine: Machine,
    execution: Execution,
    redactor: Redactor,
    sink: Sink,
    *kept: Mapping[OutputStream, KeptOutput],
) -> Exited:
    ending: Exited | None = None

    async def emit(stream: OutputStream, data: bytes) -> None:
        for outputs in kept:
            outputs[stream].add(data)
        await sink.output(stream, data)

    events = machine.run(
        execution.command.argv,
        timeout_seconds=execution.timeout_seconds,
        environment=execution.env,
        cwd=execution.cwd,
        stdin=execution.stdin,
    )
    async with aclosing(events), Redacted(redactor, emit) as output:
        async for event in events:
            if isinstance(event, Output):
                await output.add(event.stream, event.data)
            else:
                ending = event
    assert ending is not None, "the agent client ends every execution with its exit"
    return ending


def _bounded(entries: list[LogEntryPayload]) -> list[LogEntryPayload]:
    """The same, without the outputs of the oldest ones where all together are more than can be told at once."""
    left = TOLD_CHARACTERS
    for entry in reversed(entries):
        left -= len(entry["stdout"]) + len(entry["stderr"])
        if left < 0:
            entry["stdout"] = entry["stderr"] = ""
            entry["output_omitted"] = True
    return entries


def _entry(record: HistoryRecord) -> LogEntryPayload:
    return {
        "sequence": record.sequence,
        "command": record.command,
        "cwd": record.cwd,
        "state": record.state.value,
        "exit_code": record.exit_code,
        "duration_ms": record.duration_ms,
        "stdout": record.stdout,
        "stderr": record.stderr,
        "output_omitted": False,
        "recorded_at": timestamp(record.started_at),
    }
