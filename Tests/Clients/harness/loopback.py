"""Connections from ever other addresses of the loopback: of one address a broker looks at few of those that it lets in nowhere."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator


def addresses(of_each: int = 1) -> Iterator[str]:
    """Each so many times in a row; they begin anew after 15 million."""
    for number in itertools.count():
        address = f"127.{1 + number // 62_500 % 250}.{number // 250 % 250}.{number % 250 + 2}"
        yield from itertools.repeat(address, of_each)


def connect(port: int, address: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
