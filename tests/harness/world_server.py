"""Speaks for every address of a network namespace: TCP and UDP on some ports, and DNS. Asked over stdin and stdout.

Uses the standard library only, and none of pyro: it is started in a namespace of its own.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from typing import Any

TCP_PORTS = (80, 81, 5432)
UDP_PORTS = (53, 7000)
IP_PKTINFO = 8  # linux/in.h; socket has it from Python 3.14 on

reached: list[tuple[str, str, int]] = []
names: dict[str, list[list[str]]] = {}
lock = threading.Lock()


def note(protocol: str, address: str, port: int) -> None:
    with lock:
        reached.append((protocol, address.removeprefix("::ffff:"), port))


def tcp(port: int) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)
    while True:
        connection, _ = listener.accept()
        address = connection.getsockname()[0]
        note("tcp", address, port)
        threading.Thread(target=talk, args=(connection, address, port), daemon=True).start()


def talk(connection: socket.socket, address: str, port: int) -> None:
    with connection:
        connection.sendall(f"tcp {address.removeprefix('::ffff:')} {port}\n".encode())
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


def udp(port: int) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    server.bind(("0.0.0.0", port))
    while True:
        data, ancillary, _, peer = server.recvmsg(65535, 256)
        info = next(value for level, kind, value in ancillary if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO))
        address = socket.inet_ntoa(info[8:12])
        note("udp", address, port)
        answer = dns(data) if port == 53 else f"udp {address} {port}\n".encode()
        source = struct.pack("i", 0) + info[8:12] + info[8:12]
        server.sendmsg([answer], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, peer)


def dns(query: bytes) -> bytes:
    """The answer to a query with one question; names are compared as DNS compares them, A and AAAA are known."""
    labels, at = [], 12
    while (length := query[at]) != 0:
        labels.append(query[at + 1 : at + 1 + length])
        at += 1 + length
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    name = b".".join(labels).decode("latin-1").lower()
    with lock:
        lists = names.get(name)
        addresses = [] if not lists else lists.pop(0) if len(lists) > 1 else lists[0]
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    wanted = [a for a in addresses if (":" in a) == (family == socket.AF_INET6)] if family else []
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(packed := socket.inet_pton(family, a))) + packed
        for a in wanted
        if family
    )
    flags = 0x8180 if lists else 0x8183
    return query[:2] + struct.pack("!HHHHH", flags, 1, len(wanted), 0, 0) + query[12 : at + 5] + records


def main() -> None:
    for line in sys.stdin:
        question: dict[str, Any] = json.loads(line)
        answer: object = "done"
        if question["do"] == "serve":
            for serve, ports in ((tcp, TCP_PORTS), (udp, UDP_PORTS)):
                for port in ports:
                    threading.Thread(target=serve, args=(port,), daemon=True).start()
            answer = "serving"
        elif question["do"] == "resolve":
            with lock:
                names[question["name"]] = [list(addresses) for addresses in question["answers"]]
        elif question["do"] == "reached":
            with lock:
                answer, reached[:] = list(reached), []
        print(json.dumps(answer), flush=True)  # noqa: T201


main()
