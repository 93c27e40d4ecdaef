"""A command's standard input, from wherever its caller has it."""

from __future__ import annotations

import io
import os
import threading
from typing import BinaryIO, cast

from pyro_mcp.errors import UsageError
from pyro_mcp.sdk.transport import Exchange

Stdin = bytes | BinaryIO

_PIECE_BYTES = 256 << 10


def as_file(stdin: object) -> BinaryIO:
    """Raises UsageError for what cannot be read as bytes."""
    if isinstance(stdin, bytes | bytearray | memoryview):
        return io.BytesIO(stdin)
    if not hasattr(stdin, "read") or isinstance(stdin, io.TextIOBase):
        raise UsageError("stdin must be bytes or a binary file")
    return cast(BinaryIO, stdin)


def feed(exchange: Exchange, source: BinaryIO) -> None:
    """Send all of `source` as it comes, in a thread of its own: it may have nothing to give for long, or never.

    The thread ends with its source or its command, and keeps no program from ending.
    """
    threading.Thread(target=_feed, args=(exchange, source), name="pyro-stdin", daemon=True).start()


def _feed(exchange: Exchange, source: BinaryIO) -> None:
    try:
        while piece := _read(source):
            if not exchange.send_input(piece):
                return
    except (OSError, ValueError):
        pass  # closed under us: that is an end, too
    exchange.send_input(b"")


def _read(source: BinaryIO) -> bytes:
    """What there is, without waiting for more of it: a line typed is a line sent."""
    try:
        return os.read(source.fileno(), _PIECE_BYTES)
    except (AttributeError, io.UnsupportedOperation):
        return source.read(_PIECE_BYTES)
