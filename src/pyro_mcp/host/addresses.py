"""The IPv4 addresses of this host, and word of every change of them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Address

from pyro_mcp.errors import HostError
from pyro_mcp.host import command, tools

_ASK_SECONDS = 20.0
_RTMGRP_IPV4_IFADDR = 0x10  # linux/rtnetlink.h
_EVENT_BYTES = 65536


def current() -> frozenset[IPv4Address]:
    """Every address of every interface. Raises HostError."""
    asked = command.run(
        [tools.require("ip", "iproute2"), "-json", "-4", "address", "show"], deadline_seconds=_ASK_SECONDS
    )
    try:
        interfaces = json.loads(asked.output)
        return frozenset(IPv4Address(entry["local"]) for found in interfaces for entry in found.get("addr_info", ()))
    except (ValueError, KeyError, TypeError) as error:
        why = asked.last_words() or "no answer"
        raise HostError(f"the addresses of this host cannot be found out: {why}", code="network-failed") from error


class HostAddresses:
    """What `current` says, asked again only after the kernel has announced a change."""

    def __init__(self, on_change: Callable[[frozenset[IPv4Address]], Awaitable[None]]) -> None:
        """`on_change` hears of every change once `watch` runs."""
        self._on_change = on_change
        self._known: frozenset[IPv4Address] | None = None
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._events.bind((0, _RTMGRP_IPV4_IFADDR))

    def get(self) -> frozenset[IPv4Address]:
        """The addresses as they are now. Blocks while it asks. Raises HostError."""
        if self._drain() or self._known is None:
            self._known = current()
        return self._known

    async def watch(self) -> None:
        """Tell of changes until cancelled."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._events, news.set)
        try:
            while True:
                await news.wait()
                news.clear()
                before = self._known
                # What is waiting has woken us: whoever asks from now on gets new addresses.
                if before is not None and (now := await asyncio.to_thread(self.get)) != before:
                    await self._on_change(now)
                elif before is None:
                    self._drain()
        finally:
            loop.remove_reader(self._events)

    def close(self) -> None:
        self._events.close()

    def _drain(self) -> bool:
        """Whether anything was announced since the last time."""
        announced = False
        with suppress(BlockingIOError):
            while True:
                try:
                    self._events.recv(_EVENT_BYTES)
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    # ENOBUFS: more was announced than there was room for.
                announced = True
        return announced
