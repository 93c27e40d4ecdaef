"""The IPv4 addresses that this host answers to, and word of every change of them."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

from pyro_mcp.errors import HostError
from pyro_mcp.host import command, tools

_ASK_SECONDS = 20.0
_AGAIN_SECONDS = 0.5
_LONGEST_SECONDS = 60.0
_EVENT_BYTES = 65536
# linux/rtnetlink.h
_GROUPS = 0x10 | 0x40  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE
_ROUTES = (24, 25)  # RTM_NEWROUTE, RTM_DELROUTE
_LOCAL = 2  # RTN_LOCAL
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_TYPE_OFFSET = 7  # of rtm_type in rtmsg

_log = logging.getLogger(__name__)


def current() -> frozenset[IPv4Network]:
    """Every address of every interface, and what else is routed to the host itself. Raises HostError.

    A host answers to what its table of local routes says, be it on no interface: so do load balancers of clouds, and
    whoever binds a whole range (`ip route add local`). Addresses of an interface in a VRF stand in another table.
    """
    interfaces, routes = _ask("address", "show"), _ask("route", "show", "table", "local", "type", "local")
    try:
        own = [IPv4Network(entry["local"]) for found in interfaces for entry in found.get("addr_info", ())]
        # Not strict: nothing is gained by disbelieving the kernel.
        routed = [IPv4Network(_destination(route), strict=False) for route in routes]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unknown("no answer that makes sense") from error
    return frozenset(collapse_addresses([*own, *routed]))


class HostAddresses:
    """What `current` says, asked again only after the kernel has announced a change."""

    def __init__(self, on_change: Callable[[frozenset[IPv4Network]], Awaitable[None]]) -> None:
        """`on_change` hears of every change once `watch` runs."""
        self._on_change = on_change
        self._asking = threading.Lock()
        self._known: frozenset[IPv4Network] | None = None
        self._wake: Callable[[], None] | None = None
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._events.bind((0, _GROUPS))

    def get(self) -> frozenset[IPv4Network]:
        """The addresses as they are now, for any thread. Blocks while it asks. Raises HostError."""
        with self._asking:
            if self._announced():
                self._known = None  # before asking, which can fail: the old ones are nobody's any more
            if self._known is None:
                self._known = current()
                # The announcement is taken now, whoever has asked: `watch` would not hear of it.
                if (wake := self._wake) is not None:
                    wake()
            return self._known

    async def watch(self) -> None:
        """Tell of changes until cancelled. What fails is tried again, after a while or at the next change."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # nobody is left to be woken
                loop.call_soon_threadsafe(news.set)

        told, pause = self._known, _AGAIN_SECONDS
        waiting: float | None = None
        self._wake = wake
        try:
            while True:
                await self._wait(news, waiting)
                try:
                    now = await asyncio.to_thread(self.get)
                    if now != told:
                        await self._on_change(now)
                        told = now
                except Exception as error:  # noqa: BLE001  # whatever it was: nobody else tells of the next change
                    _log.warning("a change of this host's addresses could not be told, and will be: %s", error)
                    waiting, pause = pause, min(2 * pause, _LONGEST_SECONDS)
                else:
                    waiting, pause = None, _AGAIN_SECONDS
        finally:
            self._wake = None

    def close(self) -> None:
        with self._asking:
            self._events.close()

    async def _wait(self, news: asyncio.Event, seconds: float | None) -> None:
        """Until something is announced or was asked, or until `seconds` are over."""
        loop = asyncio.get_running_loop()
        # For this long only: what is announced can be read until somebody has come round to taking it.
        loop.add_reader(self._events, news.set)
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._events)
            news.clear()

    def _announced(self) -> bool:
        """Whether anything that matters was announced since the last time."""
        announced = False
        with suppress(BlockingIOError):
            while True:
                try:
                    announced |= any(_matters(*message) for message in _messages(self._events.recv(_EVENT_BYTES)))
                except BlockingIOError:
                    raise
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    announced = True  # more than there was room for
        return announced


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each netlink message."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[max(_HEADER.size, length + 3 & ~3) :]


def _matters(kind: int, body: bytes) -> bool:
    """Routers announce all routes there are; only those to the host itself are of interest."""
    return kind not in _ROUTES or body[_TYPE_OFFSET : _TYPE_OFFSET + 1] == bytes((_LOCAL,))


def _destination(route: Mapping[str, str]) -> str:
    return "0.0.0.0/0" if route["dst"] == "default" else route["dst"]


def _ask(*question: str) -> Sequence[Any]:
    """What ip answers. Raises HostError."""
    asked = command.run([tools.require("ip", "iproute2"), "-json", "-4", *question], deadline_seconds=_ASK_SECONDS)
    if "FIB table does not exist" in asked.output:
        return ()  # nothing has an address yet
    if not asked.succeeded:
        raise _unknown(asked.last_words() or "no answer")
    try:
        answer = json.loads(asked.output)
    except ValueError as error:
        raise _unknown(asked.last_words() or "no answer") from error
    return answer if isinstance(answer, list) else ()


def _unknown(why: str) -> HostError:
    return HostError(f"the addresses of this host cannot be found out: {why}", code="network-failed")
