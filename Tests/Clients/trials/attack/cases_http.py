"""What a client of the gateway may send, and not send."""

from __future__ import annotations

import os
import time

from harness import wire
from .pinger import ADDRESS as OTHER
from .stage import Stage, case

NDJSON = "application/x-ndjson"
PATH = "/v1/topics/ping/events"


def head(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: attack", "Content-Type: application/json", *fields, "", ""]).encode()


@case("24 connections announce 16 MiB each and send 90 bytes")
def announced_bodies(stage: Stage) -> None:
    for connection in stage.connect_many(24, stage.http):
        connection.sendall(head(PATH, f"Content-Length: {16 << 20}") + b'{"a":"' + b"x" * 84)
    beside_posts(stage, stage.size(5, 2))


EVENT = b'{"beside":true}'


def beside_posts(stage: Stage, seconds: float) -> None:
    """Somebody else's events are taken meanwhile."""
    end, refused, taken = time.monotonic() + seconds, [], 0
    while time.monotonic() < end:
        # Head and body in two writes, as many clients do.
        status = stage.speak(head(PATH, f"Content-Length: {len(EVENT)}"), patience=5, source=OTHER, rest=EVENT)
        taken, refused = taken + (status == 201), refused + ([status] if status != 201 else [])
        time.sleep(0.05)
    stage.must(not refused, f"{len(refused)} of {len(refused) + taken} events of others were answered with {refused[:1]}")


@case("a Partition-Key of 7.9 KB over 90,000 lines")
def partition_key(stage: Stage) -> None:
    before = stored_bytes(stage)
    stage.post(PATH, b"{}\n" * 90_000, f"Partition-Key: {'k' * 7900}", media=NDJSON)
    grown = (stored_bytes(stage) - before) >> 20
    stage.must(grown < 100, f"the log grew by {grown} MB")


def stored_bytes(stage: Stage) -> int:
    return sum(path.stat().st_size for path in (stage.broker.folder / "data").rglob("*.log"))


@case("results=all of 100,000 events of two bytes")
def all_results(stage: Stage) -> None:
    for _ in range(stage.size(10, 2)):
        stage.post(PATH + "?results=all", b"1\n" * 100_000, media=NDJSON)


@case("events and headers that the log repeats for each line", is_short=False)
def many_headers(stage: Stage) -> None:
    fields = [f"X-Record-Header-{n}: {'v' * 200}" for n in range(30)]
    stage.post(PATH, b"{}\n" * 90_000, *fields, media=NDJSON)


@case("GET of a record of 60 MB of control characters")
def control_characters(stage: Stage) -> None:
    stage.create("control", max_message_bytes=100 << 20)
    with wire.Connection(stage.kafka, timeout=60) as connection:
        code = connection.produce("control", 0, wire.Batch([b"\1" * (stage.size(60, 30) << 20)]).encode()).error
        stage.must(code == 0, f"Produce: error {code}")
    for _ in range(stage.size(3, 1)):
        stage.get("/v1/topics/control/records?offset=0")


@case("GETs of records by many at once, none reads")
def unread_records(stage: Stage) -> None:
    stage.create("read")
    with wire.Connection(stage.kafka, timeout=60) as connection:
        for _ in range(40):
            connection.produce("read", 0, wire.Batch([os.urandom(900) for _ in range(1000)]).encode())
    for connection in stage.connect_many(stage.size(200, 80), stage.http, receive_buffer=4096):
        connection.sendall(b"GET /v1/topics/read/records?offset=0&limit=1000 HTTP/1.1\r\nHost: attack\r\n\r\n" * 4)
    time.sleep(stage.size(6, 2))


@case("200 connections send their heads byte by byte")
def slow_heads(stage: Stage) -> None:
    drip(stage, head(PATH, "Content-Length: 2", "X-Long: " + "x" * 100), stage.connect_many(200, stage.http))


@case("200 connections send their bodies byte by byte", is_short=False)
def slow_bodies(stage: Stage) -> None:
    connections = stage.connect_many(200, stage.http)
    for connection in connections:
        connection.sendall(head(PATH, f"Content-Length: {1 << 20}"))
    drip(stage, b'{"slow":"' + b"x" * 1000, connections)


def drip(stage: Stage, bytes_: bytes, connections: list) -> None:
    end, at = time.monotonic() + stage.size(10, 3), 0
    while time.monotonic() < end and at < len(bytes_):
        for connection in connections:
            try:
                connection.send(bytes_[at : at + 1])
            except OSError:
                pass
        at += 1
        time.sleep(0.05)


@case("chunks of one byte, and chunk extensions and trailers without end")
def chunks(stage: Stage) -> None:
    start = head(PATH, "Transfer-Encoding: chunked")
    one = b"1\r\nx\r\n"
    for rest in (one * stage.size(5_000_000, 1_000_000) + b"0\r\n\r\n", b"1;" + b"e=" + b"x" * (10 << 20), b"0\r\n" + b"X-Trailer: 1\r\n" * 500_000):
        stage.speak(start + rest, patience=10)
    # A chunk that is announced as long as a number can be.
    stage.speak(start + b"7fffffffffffffff\r\nx", patience=1)


@case("a pipeline of requests, and no reply is read")
def pipelined_gets(stage: Stage) -> None:
    requests = b"".join(f"GET {path} HTTP/1.1\r\nHost: attack\r\n\r\n".encode() for path in ("/metrics", "/stats", "/healthz")) * 300
    stage.push([requests] * 200, stage.size(64, 32), stage.size(8, 3), stage.http)


@case("a pipeline of small events, and no reply is read")
def pipelined_posts(stage: Stage) -> None:
    one = head(PATH, "Content-Length: 2") + b"{}"
    stage.push([one * 500] * 200, stage.size(64, 32), stage.size(8, 3), stage.http)


@case("JSON that is nested millions deep")
def deep_json(stage: Stage) -> None:
    for text in (b"[" * (10 << 20), b'{"a":' * (2 << 20), b'{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}", b"[" * 100 + b"{}" + b"]" * 100):
        stage.must(stage.post(PATH, text) != 201 or text.startswith(b"{"), "a nested array was taken")


# Hundreds of megabytes of records, which the hot window keeps for 15 s where somebody may follow them, and on a busy machine, where they are
# written slowly, also where nobody has come: its own memory, and none of what requests keep.
@case("as many events in a body as are allowed, and more; lines that are all refused", settings={"log.window.memory.percent": "0"})
def many_results(stage: Stage) -> None:
    path = "/v1/topics/many-results/events"
    for count in (10_000, 90_000, 5_000_000):
        stage.post(path, b"[" + b",".join([b"{}"] * count) + b"]")
        stage.post(path, b"[" + b",".join([b"1"] * count) + b"]")
        stage.post(path, b"{}\n" * count, media=NDJSON)
        stage.post(path, b"x\n" * count, media=NDJSON)


@case("300 connections of one address, others come from another", keeps_connection=False)
def one_address(stage: Stage) -> None:
    stage.connect_many(stage.size(1000, 300), stage.http)
    time.sleep(stage.size(6, 2))


@case("heads that are too long in every part")
def long_heads(stage: Stage) -> None:
    for raw in (b"GET /" + b"x" * (20 << 20), b"GET / HTTP/1.1\r\nX: " + b"x" * (20 << 20), b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2_000_000, b"\r\n" * 5_000_000):
        stage.speak(raw, patience=5)


@case("topics without end, named by POSTs")
def many_topics(stage: Stage) -> None:
    for n in range(stage.size(3000, 400)):
        stage.post(f"/v1/topics/made-{n}/events", b"{}", patience=10)
        stage.sockets.pop().close()


@case("uploads that are larger than allowed, sent slowly", is_short=False)
def large_uploads(stage: Stage) -> None:
    connections = stage.connect_many(50, stage.http)
    for connection in connections:
        connection.sendall(head(PATH, f"Content-Length: {1 << 33}"))
    drip(stage, b"[" + b"1," * 500, connections)
