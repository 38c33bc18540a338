"""A producer of ready-made batches by TLS, so that what is measured is the broker and not the client's sealing of small records:
one batch of 900 records of 1 KiB, sent again and again, with five requests in flight. OpenSSL seals it in records of 16 KiB from where
it lies: the request is made once, and only its correlation changes. What rawload does in the clear. One line of JSON, as rawload's.

    ready_made.py -b HOST:PORT -t TOPIC [--authority FILE] [-r RECORDS] [-s BYTES] [-f IN_FLIGHT] [-d SECONDS] [-w WARMUP]
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests/Clients"))

from harness import wire  # noqa: E402


SECONDS_WITHOUT_A_BYTE = 30


class Request:
    """A request that is sent again and again, by one call each time and without a copy."""

    def __init__(self, api: int, version: int, body: bytes):
        head = wire.int16(api) + wire.int16(version)
        rest = wire.string("ready-made") + body
        self.bytes = bytearray(wire.int32(len(head) + 4 + len(rest)) + head + wire.int32(0) + rest)
        self.correlation_at, self.correlation = 4 + len(head), 0

    def send(self, to: socket.socket) -> int:
        self.correlation += 1
        struct.pack_into(">i", self.bytes, self.correlation_at, self.correlation)
        to.sendall(self.bytes)
        return self.correlation


def produced(reader: wire.Reader) -> None:
    """Raises unless the reply to a Produce acknowledges its batch."""
    reader.int32(), reader.string(), reader.int32(), reader.int32()
    if error := reader.int16():
        raise wire.WireError(f"a produce gives error {error}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="ready_made.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-b", dest="bootstrap", required=True)
    parser.add_argument("-t", dest="topic", required=True)
    parser.add_argument("--authority", help="the certificate that signed the server's; without it nothing is sealed")
    parser.add_argument("-r", dest="records", type=int, default=900)
    parser.add_argument("-s", dest="size", type=int, default=1024)
    parser.add_argument("-f", dest="in_flight", type=int, default=5)
    parser.add_argument("-d", dest="seconds", type=float, default=5)
    parser.add_argument("-w", dest="warmup", type=float, default=1)
    options = parser.parse_args()

    batch = wire.Batch([bytes(n % 251 for n in range(options.size))] * options.records).encode()
    connection = wire.Connection(options.bootstrap, timeout=30)
    if options.authority:
        connection.socket = ssl.create_default_context(cafile=options.authority).wrap_socket(connection.socket, server_hostname="127.0.0.1")
    # The kernel's own limits: with Python's, each wait for room is a call of poll, and each write is begun twice.
    connection.socket.settimeout(None)
    limit = struct.pack("qq", SECONDS_WITHOUT_A_BYTE, 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.socket.setsockopt(socket.SOL_SOCKET, option, limit)
    request = Request(wire.PRODUCE, 7, connection.produce_body(options.topic, 0, batch))
    sent: collections.deque[tuple[int, float]] = collections.deque()
    waits: list[float] = []
    began, counted, end = time.monotonic(), None, None
    while True:
        now = time.monotonic()
        if counted is None and now - began >= options.warmup:
            counted, end, waits = now, now + options.seconds, []
        if end is not None and now >= end:
            break
        while len(sent) < options.in_flight:
            sent.append((request.send(connection.socket), time.monotonic()))
        correlation, since = sent.popleft()
        produced(connection.receive(correlation))
        waits.append(time.monotonic() - since)
    requests = len(waits) / (now - counted)
    waits.sort()
    percentiles = {name: round(1000 * waits[min(len(waits) - 1, int(share * len(waits)))], 3) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))}
    rate = requests * options.records
    print(json.dumps({"msgs_per_s": rate, "MB_per_s": rate * options.size / 1e6, "requests_per_s": requests, **percentiles, "errors": 0, "error_code": 0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
