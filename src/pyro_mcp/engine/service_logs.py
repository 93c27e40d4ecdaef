"""What a service printed, on its way from the guest to whoever asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.config import OUTPUT_BYTES
from pyro_mcp.engine.sink import KeptOutput, Sink
from pyro_mcp.engine.streams import Redacted
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.redaction import Redactor

_STREAMS = {BodyKind.STDOUT: OutputStream.STDOUT, BodyKind.STDERR: OutputStream.STDERR}

_Take = Callable[[OutputStream, bytes], Awaitable[None]]


@dataclass(slots=True)
class Logs:
    """The end of each output. `cut` tells whether the guest had more of one than was wanted."""

    outputs: Mapping[OutputStream, KeptOutput] = field(
        default_factory=lambda: {stream: KeptOutput(OUTPUT_BYTES) for stream in OutputStream}
    )
    cut: bool = False

    @property
    def truncated(self) -> bool:
        return self.cut or any(output.truncated for output in self.outputs.values())

    def text(self, stream: OutputStream) -> str:
        return self.outputs[stream].text()


async def read_logs(
    machine: Machine, name: str, redactor: Redactor, sink: Sink, *, tail_lines: int | None, follow: bool
) -> Logs:
    """The end of what there is; with `follow` all that comes goes to the sink, too. Raises GuestError."""
    logs = Logs()
    before = dict.fromkeys(OutputStream, 0)
    if redactor and tail_lines is not None:
        before = await _lines_before(machine, name, tail_lines, redactor.context_bytes)

    async def emit(stream: OutputStream, data: bytes) -> None:
        logs.outputs[stream].add(data)
        if follow:
            await sink.output(stream, data)

    async def show(output: Redacted, stream: OutputStream, data: bytes) -> None:
        if not data:
            await output.gap(stream)
            return
        at = 0
        while before[stream] and (end := data.find(b"\n", at) + 1):
            at, before[stream] = end, before[stream] - 1
        if before[stream]:
            at = len(data)
        if at:
            output.pass_over(stream, data[:at])
        if at < len(data):
            await output.add(stream, data[at:])

    logs.cut = any(before.values())
    asked_lines = 0 if tail_lines is None else tail_lines + max(before.values())
    async with Redacted(redactor, emit) as output:
        logs.cut |= await _ask(machine, name, lambda *piece: show(output, *piece), asked_lines, follow=follow)
    return logs


async def _lines_before(machine: Machine, name: str, tail_lines: int, context_bytes: int) -> dict[OutputStream, int]:
    """Of each output how many lines before the last ones are needed to see whether a secret reaches into these."""
    kept = {stream: KeptOutput(OUTPUT_BYTES) for stream in OutputStream}

    async def keep(stream: OutputStream, data: bytes) -> None:
        kept[stream].add(data)

    await _ask(machine, name, keep, 0, follow=False)
    wholes = {stream: output.data() for stream, output in kept.items()}
    starts = {stream: _tail(whole, tail_lines) for stream, whole in wholes.items()}
    most = max(wholes[stream].count(b"\n", max(0, at - context_bytes), at) for stream, at in starts.items())
    return {stream: min(most, wholes[stream].count(b"\n", 0, at)) for stream, at in starts.items()}


def _tail(data: bytes, lines: int) -> int:
    """Where the last `lines` lines begin."""
    at = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        if (at := data.rfind(b"\n", 0, at)) < 0:
            break
    return at + 1


async def _ask(machine: Machine, name: str, take: _Take, tail_lines: int, *, follow: bool) -> bool:
    """Pieces as they come to `take`, an empty one where the next does not follow; whether there was more before them.

    `tail_lines` 0 is all.
    """
    parameters = {"service": name, "tail_lines": tail_lines, "max_bytes": OUTPUT_BYTES, "follow": follow}
    patience = None if follow else 0.0
    asked = machine.ask("service/logs", parameters, answers=tuple(_STREAMS), patience_seconds=patience)
    async with asked as work:
        while (frame := await work.frame()) is not None:
            await take(_STREAMS[frame[0]], frame[1])
        result = await work.result()
    return any(result.get(f"{stream.value}_truncated") is True for stream in OutputStream)
