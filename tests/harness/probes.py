"""What a guest can reach: run in there by Python, asked by tests. Uses the standard library only."""

from __future__ import annotations

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

PATIENCE = 20.0


def probe(question: list[object]) -> list[object]:
    """[protocol, address, port] → [what came of it, seconds]: "open", "refused", or "silence"."""
    protocol, address, port = str(question[0]), str(question[1]), int(str(question[2]))
    began = time.monotonic()
    try:
        outcome = {"tcp": tcp, "udp": udp, "icmp": icmp}[protocol](address, port)
    except TimeoutError:
        outcome = "silence"
    except OSError:
        outcome = "refused"
    return [outcome, round(time.monotonic() - began, 2)]


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(address: str, port: int) -> str:
    with socket.socket(family(address), socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect((address, port))
        return "open" if connection.recv(100) else "refused"


def udp(address: str, port: int) -> str:
    with socket.socket(family(address), socket.SOCK_DGRAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect((address, port))
        connection.send(b"anybody there?")
        return "open" if connection.recv(100) else "refused"


def icmp(address: str, _port: int) -> str:
    protocol = socket.IPPROTO_ICMPV6 if ":" in address else socket.IPPROTO_ICMP
    with socket.socket(family(address), socket.SOCK_RAW, protocol) as connection:
        connection.settimeout(PATIENCE)
        connection.connect((address, 0))
        # An echo request: type 8, code 0, checksum, identifier, sequence.
        connection.send(b"\x08\x00\xf7\xfd\x00\x01\x00\x01")
        # Before it was connected it may have heard what is meant for others.
        while True:
            answer, peer = connection.recvfrom(1000)
            if peer[0] == address and answer[20] == 0:
                return "open"


if __name__ == "__main__":
    questions = json.load(sys.stdin)
    with ThreadPoolExecutor(64) as pool:
        print(json.dumps(list(pool.map(probe, questions))))  # noqa: T201
