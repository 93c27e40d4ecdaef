"""QEMU's monitor protocol, as far as it is needed: JSON lines, a greeting, commands with ids, events.

The QEMU at the other end is treated as if its guest had taken it over: lines are bounded, answers are checked.
Reference: docs/interop/qmp-spec.txt in QEMU's source.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from pyro_mcp.errors import VmmError
from pyro_mcp.host import sockets
from pyro_mcp.model.printable import printable

_LINE_BYTES = 1 << 18
_COMMAND_SECONDS = 10.0

EventHandler = Callable[[str, Mapping[str, object]], None]


class QmpClient:
    """A monitor session. Made by `connect`, ended by `close`; every method raises VmmError when QEMU misbehaves."""

    def __init__(
        self,
        connection: socket.socket,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_event: EventHandler,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._failure: VmmError | None = None
        self._receiving = asyncio.create_task(self._receive(), name="qmp")

    @classmethod
    async def connect(cls, path: Path, on_event: EventHandler, *, deadline: float) -> QmpClient:
        """Connect to the monitor socket and wait, up to `deadline` seconds, until QEMU's main loop answers there.

        QEMU may still be starting: it inherits the listening socket, so there is nothing to wait for before that.
        `on_event` gets the name and data of each event; it must not block.
        """
        try:
            async with asyncio.timeout(deadline):
                connection = await sockets.connect(path)
                reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_BYTES)
                client = cls(connection, reader, writer, on_event)
                try:
                    await client.execute("qmp_capabilities")
                except BaseException:
                    await client.close()
                    raise
                return client
        except TimeoutError as error:
            raise VmmError(f"QEMU did not answer within {deadline:g} s", code="vmm-silent") from error
        except OSError as error:
            raise VmmError(f"QEMU's monitor cannot be reached: {error.strerror}", code="vmm-gone") from error

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, descriptor: int | None = None
    ) -> object:
        """Run a command; what it returns. QEMU gets a copy of `descriptor` along with it.

        Raises VmmError for a refusal, and if QEMU is silent or gone.
        """
        self._raise_failure()
        self._last_id = number = self._last_id + 1
        request = {"execute": command, "arguments": dict(arguments or {}), "id": number}
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_COMMAND_SECONDS):
                line = json.dumps(request).encode() + b"\n"
                if descriptor is not None:
                    # With the first byte, past the writer, which knows bytes only and has none left of its own.
                    socket.send_fds(self._connection, [line[:1]], [descriptor])
                    line = line[1:]
                self._writer.write(line)
                await self._writer.drain()
                return await answer
        except TimeoutError as error:
            raise VmmError(f"QEMU did not answer {command} within {_COMMAND_SECONDS:g} s", code="vmm-silent") from error
        except OSError as error:
            raise _gone() from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the session; QEMU goes on. Idempotent."""
        self._fail(_gone())
        self._receiving.cancel()
        await asyncio.gather(self._receiving, return_exceptions=True)

    async def _receive(self) -> None:
        try:
            while line := await self._reader.readline():
                self._dispatch(_parse(line))
            self._fail(_gone())
        except VmmError as error:
            self._fail(error)
        except ValueError:  # how StreamReader reports a line beyond its limit
            self._fail(_nonsense(f"a line of more than {_LINE_BYTES} bytes"))
        except OSError:
            self._fail(_gone())

    def _dispatch(self, message: Mapping[str, object]) -> None:
        match message:
            case {"QMP": dict()}:
                pass
            case {"event": str(name)}:
                data = message.get("data")
                self._on_event(name, data if isinstance(data, dict) else {})
            case {"id": int(number), "return": result}:
                self._answer(number, result)
            case {"id": int(number), "error": {"desc": str(text)}}:
                self._answer(number, VmmError(f"QEMU refused a command: {printable(text)}"))
            case _:
                raise _nonsense("a message without meaning")

    def _answer(self, number: int, result: object) -> None:
        answer = self._waiting.pop(number, None)
        if answer is None or answer.done():
            return  # its asker has given up
        if isinstance(result, VmmError):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def _fail(self, failure: VmmError) -> None:
        if self._failure is None:
            self._failure = failure
            self._writer.transport.abort()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._again())
        self._waiting.clear()

    def _again(self) -> VmmError:
        assert self._failure is not None
        return VmmError(self._failure.message, code=self._failure.code)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._again() from self._failure


def _parse(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _nonsense("a line that is not JSON") from error
    if not isinstance(message, dict):
        raise _nonsense("a line that is not an object")
    return message


def _nonsense(what: str) -> VmmError:
    return VmmError(f"QEMU sent {what} to its monitor", code="vmm-protocol")


def _gone() -> VmmError:
    return VmmError("QEMU has closed its monitor", code="vmm-gone")
