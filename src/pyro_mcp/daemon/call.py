"""What an operation gets and gives, whatever it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pyro_mcp.daemon.redacted import Redaction
from pyro_mcp.engine.engine import Engine
from pyro_mcp.engine.sink import Sink

Payload = Mapping[str, object]
Operation = Callable[..., Awaitable[Payload]]


@dataclass(frozen=True, slots=True)
class Call:
    """What every operation gets beside its arguments. `vmm` and `require_isolation` are the client's settings.

    `stdin` is what the client sends along behind its arguments, to its end. `redaction` is what its answer must not
    hold: that of the workspace that it names, or what the operation finds out itself.
    """

    engine: Engine
    sink: Sink
    vmm: str
    require_isolation: object
    stdin: AsyncIterator[bytes] | None = None
    redaction: Redaction = field(default_factory=Redaction)
