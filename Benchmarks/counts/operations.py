"""The operations whose cost is counted: each prepares what it needs and gives the bytes of one request with a way to read
one reply. Bytes are made once; the broker's work is all that varies."""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from harness import wire

JOIN_GROUP, HEARTBEAT, SYNC_GROUP, ALTER_CLIENT_QUOTAS = 11, 12, 14, 49


# A record of TLS 1.3, and what it is longer than its plain text.
RECORD, RECORD_OVERHEAD = 16 << 10, 22


class Broker(Protocol):
    kafka: str
    ssl: str
    http: str
    https: str
    authority: str


@dataclass
class Operation:
    name: str
    request: bytes
    socket: socket.socket
    read: Callable[[], None]  # one reply; raises when it is not what it should be
    at_once: int = 1  # requests in one write
    counted_turns: int = 64  # in each pass under valgrind
    before: Callable[[], None] = lambda: None  # what must not be so for the operations before it

    piece: int = 0  # bytes of each write; 0: all of a turn

    def __post_init__(self) -> None:
        turn = self.request * self.at_once
        size = self.piece or len(turn)
        self.writes = [turn[start : start + size] for start in range(0, len(turn), size)]

    @property
    def turn_bytes(self) -> int:
        """What one turn is on the wire."""
        sealed = RECORD_OVERHEAD if isinstance(self.socket, ssl.SSLSocket) else 0
        return sum(len(bytes) + sealed * -(-len(bytes) // RECORD) for bytes in self.writes)


def by_tls(plain: socket.socket, authority: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def frame(api: int, version: int, body: bytes) -> bytes:
    body = wire.int16(api) + wire.int16(version) + wire.int32(7) + wire.string("counts") + body
    return wire.int32(len(body)) + body


def kafka(name: str, bootstrap: str, request: bytes, error_at: Callable[[bytes], int], authority: str = "") -> Operation:
    connection = wire.Connection(bootstrap, timeout=120)
    if authority:
        connection.socket = by_tls(connection.socket, authority)

    def read() -> None:
        reply = connection.receive_frame()
        if code := error_at(reply):
            raise SystemExit(f"check-counts: {name} was answered with error {code}")

    return Operation(name, request, connection.socket, read)


def int16_at(place: int) -> Callable[[bytes], int]:
    return lambda reply: struct.unpack_from(">h", reply, place)[0]


def values(count: int, size: int) -> list[bytes]:
    return [bytes((n * 31 + i) % 251 for i in range(size)) for n in range(count)]


def produce(name: str, broker: Broker, records: int, acks: int, tls: bool = False) -> Operation:
    topic = f"counts-{name}"
    with wire.Connection(broker.kafka) as connection:
        connection.create_topic(topic, 1)
    batch = wire.Batch(values(records, 1024)).encode()
    # Version 7: correlation, count, topic's name, count, partition, then the error.
    request = frame(wire.PRODUCE, 7, wire.Connection.produce_body(topic, 0, batch, acks))
    return kafka(name, broker.ssl if tls else broker.kafka, request, int16_at(4 + 4 + 2 + len(topic) + 4 + 4), broker.authority if tls else "")


def under_quotas(operation: Operation, bootstrap: str) -> Operation:
    """The same while quotas hold for its client that it does not reach."""

    def set_quotas() -> None:
        limits = {"producer_byte_rate": 1e15, "request_percentage": 1e9}
        entity = wire.array([wire.string("client-id") + wire.string("counts")])
        changes = wire.array([wire.string(key) + struct.pack(">d", value) + wire.int8(0) for key, value in limits.items()])
        with wire.Connection(bootstrap, timeout=30) as connection:
            reader = connection.call(ALTER_CLIENT_QUOTAS, 0, wire.array([entity + changes]) + wire.int8(0))
            reader.int32(), reader.int32()
            if code := reader.int16():
                raise SystemExit(f"check-counts: AlterClientQuotas was answered with error {code}")

    return replace(operation, before=set_quotas)


def fetch(name: str, bootstrap: str, batches: int, records: int, most: int, is_followed: bool = False) -> Operation:
    topic = f"counts-{name}"
    with wire.Connection(bootstrap) as connection:
        connection.create_topic(topic, 1)
        if is_followed:
            connection.fetch(topic, 0, 0, max_wait_ms=0)
        for _ in range(batches):
            connection.produce(topic, 0, wire.Batch(values(records, 1024)).encode())
    body = (wire.int32(-1) + wire.int32(500) + wire.int32(1) + wire.int32(1 << 20) + wire.int8(0)
            + wire.array([wire.string(topic) + wire.array([wire.int32(0) + wire.int64(0) + wire.int32(most)])]))
    # Version 4: correlation, throttle, count, topic's name, count, partition, then the error.
    return kafka(name, bootstrap, frame(wire.FETCH, 4, body), int16_at(4 + 4 + 4 + 2 + len(topic) + 4 + 4))


def heartbeat(bootstrap: str) -> Operation:
    group = "counts"
    with wire.Connection(bootstrap, timeout=30) as connection:
        body = wire.string(group) + wire.int32(1_800_000) + wire.int32(60_000) + wire.string("") + wire.string("consumer") + wire.array([wire.string("range") + wire.octets(b"\0\0\0\0\0\0\0\0\0\0")])
        reader = connection.call(JOIN_GROUP, 2, body)
        reader.int32()
        if code := reader.int16():
            raise SystemExit(f"check-counts: JoinGroup was answered with error {code}")
        generation = reader.int32()
        reader.string(), reader.string()
        member = reader.string()
        reader = connection.call(SYNC_GROUP, 1, wire.string(group) + wire.int32(generation) + wire.string(member) + wire.array([wire.string(member) + wire.octets(b"")]))
        reader.int32()
        if code := reader.int16():
            raise SystemExit(f"check-counts: SyncGroup was answered with error {code}")
    return kafka("heartbeat", bootstrap, frame(HEARTBEAT, 1, wire.string(group) + wire.int32(generation) + wire.string(member)), int16_at(8))


# A route for CSV, which there is none of without configuration.
ROWS_PATH = "/rows"
CONFIGURATION = f"routes:\n  - {{path: {ROWS_PATH}, to: counts-gateway-rows, formats: csv, enrich: {{headers: {{event_id: uuidv7}}}}}}\n"


def post(name: str, broker: Broker, events: int, form: str = "json", tls: bool = False) -> Operation:
    http_address, target = broker.https if tls else broker.http, f"/v1/topics/counts-{name}/events"
    body = [{"vehicle": f"CAR-{n:03}", "status": "available", "at": "2026-11-21T12:00:00Z", "lat": 52.52, "lon": 13.4 + n / 1000} for n in range(events)]
    if form == "lines":
        media, text = "application/x-ndjson", "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in body)
    elif form == "rows":
        media, target = "text/csv", ROWS_PATH
        text = "".join(",".join(str(value) for value in row) + "\n" for row in [list(body[0])] + [event.values() for event in body])
    else:
        media, text = "application/json", json.dumps(body[0] if events == 1 else body)
    head = f"POST {target} HTTP/1.1\r\nHost: {http_address}\r\nContent-Type: {media}\r\nContent-Length: {len(text)}\r\n\r\n"
    host, port = http_address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=120)
    if tls:
        connection = by_tls(connection, broker.authority)
    stream = connection.makefile("rb")

    def read() -> None:
        status = stream.readline().split()[1]
        length = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        stream.read(length)
        if not status.startswith(b"2") or status == b"207":
            raise SystemExit(f"check-counts: {name} was answered with status {status.decode()}")

    return Operation(name, (head + text).encode(), connection, read)


def all_operations(broker: Broker) -> list[Operation]:
    bootstrap = broker.kafka
    return [
        kafka("frame", bootstrap, frame(wire.API_VERSIONS, 0, b""), int16_at(4)),
        produce("produce", broker, 1, -1),
        produce("append", broker, 1, 1),
        # What one group commit serves: they arrive by one write, no more than a socket hands over at once.
        replace(produce("produce-16", broker, 1, -1), at_once=16, counted_turns=8),
        replace(produce("produce-batch", broker, 100, -1), counted_turns=32),
        fetch("fetch", bootstrap, 16, 16, 64 << 10),
        # The same where somebody has read before it was written: from memory.
        fetch("fetch-memory", bootstrap, 16, 16, 64 << 10, is_followed=True),
        # Long runs are in their file alone, and a reply of this size is sent from there.
        replace(fetch("fetch-file", bootstrap, 4, 250, 1 << 20), counted_turns=32),
        heartbeat(bootstrap),
        post("gateway", broker, 1),
        replace(post("gateway-batch", broker, 100), counted_turns=32),
        replace(post("gateway-lines", broker, 1000, "lines"), counted_turns=8),
        replace(post("gateway-rows", broker, 50, "rows"), counted_turns=8),
        produce("produce-tls", broker, 1, -1, tls=True),
        # Seven records: what a KiB more costs to receive is a hundredth of this. And 206, as a client makes them that seals each piece by itself.
        replace(produce("produce-batch-tls", broker, 100, -1, tls=True), counted_turns=32),
        replace(produce("produce-pieces-tls", broker, 100, -1, tls=True), counted_turns=32, piece=512),
        post("gateway-tls", broker, 1, tls=True),
        under_quotas(produce("quotas", broker, 1, -1), bootstrap),
    ]
