"""Clients that wait, connect and name things, as ordinary ones do, only more of it."""

from __future__ import annotations

import time

from harness import wire
from harness.wire import array, int8, int32, int64, string
from .stage import Stage, case, count_descriptors, cpu_seconds


def fetch_body(topic: str, partitions: int, max_wait: int, min_bytes: int, max_bytes: int = 1 << 20, offsets: dict[int, int] | None = None) -> bytes:
    wanted = [int32(n) + int64((offsets or {}).get(n, 0)) + int32(max_bytes) for n in range(partitions)]
    return int32(-1) + int32(max_wait) + int32(min_bytes) + int32(max_bytes) + int8(0) + array([string(topic) + array(wanted)])


def fetch_errors(reply: wire.Reader) -> list[int]:
    """The error of each partition, by version 4."""
    reply.int32()

    def partition() -> int:
        reply.int32()
        error = reply.int16()
        reply.int64(), reply.int64()
        for _ in range(max(reply.int32(), 0)):
            reply.int64(), reply.int64()
        reply.octets()
        return error

    return [error for _ in range(reply.int32()) for error in (reply.string(), reply.array(partition))[1]]


# Records of 50 bytes that leave two partitions below the 1 MB that is waited for, so that nobody's wait ends.
MOST_RECORDS = 3000


def cost(stage: Stage, topic: str, seconds: float) -> float:
    """The broker's CPU time, in microseconds, for an acknowledgement to one producer with one record in flight, to two
    partitions in turn. Other work on the machine makes them fewer, and hardly dearer."""
    batch, count, before = wire.Batch([b"x" * 50]).encode(), 0, cpu_seconds(stage.broker)
    with wire.Connection(stage.kafka, timeout=30) as connection:
        began = time.monotonic()
        while time.monotonic() - began < seconds and count < MOST_RECORDS:
            code = connection.produce(topic, count % 2, batch).error
            assert code == 0, f"Produce: error {code}"
            count += 1
    return (cpu_seconds(stage.broker) - before) / count * 1e6


@case("consumers wait for 1 MB over two partitions beside a producer of small records")
def min_bytes(stage: Stage) -> None:
    stage.create("alone", 2)
    stage.create("waited", 2)
    alone = cost(stage, "alone", 1.5)

    def consume(connection: wire.Connection) -> None:
        # From the end, as a consumer that has read all: from the start there would soon be enough.
        ends = connection.list_offsets("waited", range(2), -1)
        errors = fetch_errors(connection.call(wire.FETCH, 4, fetch_body("waited", 2, 5000, 1_000_000, offsets=ends)))
        assert errors == [0, 0], f"Fetch: errors {errors}"

    with stage.crowd(4, consume):
        cost(stage, "waited", stage.size(4, 2))
        beside = cost(stage, "waited", stage.size(4, 2))
    stage.must(beside < 3 * alone, f"{alone:.0f} us of CPU for an acknowledgement alone, {beside:.0f} beside waiting consumers")


@case("a minimum above what a reply may hold")
def min_bytes_of_backlog(stage: Stage) -> None:
    stage.create("backlog")
    with wire.Connection(stage.kafka, timeout=30) as connection:
        for _ in range(12):
            connection.produce("backlog", 0, wire.Batch([b"x" * 367_000]).encode())
        for what, least, most in (("a backlog", 3 << 20, 50 << 20), ("a batch above the maximum", 1 << 20, 100_000)):
            began = time.monotonic()
            connection.call(wire.FETCH, 4, fetch_body("backlog", 1, 4000, least, most))
            took = time.monotonic() - began
            stage.must(took < 2, f"{what} took {took:.1f} s")


@case("clients send a Fetch that waits for ever, and close")
def parked(stage: Stage) -> None:
    stage.create("parked")
    request = int16_frame(wire.FETCH, 4, fetch_body("parked", 1, 2**31 - 1, 2**31 - 1))
    for _ in range(stage.size(2000, 500)):
        connection = stage.connect()
        connection.sendall(request)
        stage.sockets.pop().close()


@case("clients send many Fetches that wait for ever, and close", is_short=False)
def parked_pipelined(stage: Stage) -> None:
    stage.create("parked", 20)
    request = int16_frame(wire.FETCH, 4, fetch_body("parked", 20, 2**31 - 1, 2**31 - 1))
    for _ in range(stage.size(600, 200)):
        connection = stage.connect()
        connection.sendall(request * 100)
        stage.sockets.pop().close()


def int16_frame(api: int, version: int, body: bytes) -> bytes:
    whole = wire.int16(api) + wire.int16(version) + int32(1) + string("a") + body
    return int32(len(whole)) + whole


@case("idle connections take the descriptors while partitions have to open their files", descriptors=600, keeps_connection=True, restarts=True)
def descriptors(stage: Stage) -> None:
    topics = [f"few-{n}" for n in range(40)]
    for topic in topics:
        stage.create(topic)
    batch = wire.Batch([b"x" * 3000]).encode()
    producer = stage.client()
    assert producer.produce(topics[0], 0, batch).error == 0
    stage.connect_many(900, timeout=0.3)
    time.sleep(0.5)
    codes = {producer.produce(topic, 0, batch).error for topic in topics}
    stage.must(codes == {0}, f"Produce with few descriptors: errors {sorted(codes - {0})}")
    # Written behind after a second or two, which opens the segments.
    time.sleep(stage.size(5, 3))
    stage.close_all()
    time.sleep(1)
    producer = stage.client()
    codes = {producer.produce(topic, 0, batch).error for topic in topics}
    stage.must(codes == {0}, f"Produce after they closed: errors {sorted(codes - {0})}")


@case("hundreds of segments under a limit of 600 descriptors", is_short=False, descriptors=600, restarts=True)
def segments(stage: Stage) -> None:
    stage.create("segments", 1, segment_bytes=1 << 20)
    batch = wire.Batch([bytes(700_000)]).encode()
    producer = stage.client()
    codes = {producer.produce("segments", 0, batch).error for _ in range(800)}
    stage.must(codes == {0}, f"Produce: errors {sorted(codes - {0})}")
    readers = stage.client()
    codes = {readers.fetch("segments", 0, offset, 1000)[0] for offset in range(0, 800)}
    stage.must(codes == {0}, f"Fetch: errors {sorted(codes - {0})}")


@case("a topic with a name of 249 characters by HTTP, then a restart", restarts=True)
def long_topic_name(stage: Stage) -> None:
    name = "n" * 249
    status = stage.post(f"/v1/topics/{name}/events", b"{}")
    stage.must(status == 201, f"the POST was answered with {status}")
    # Until its segment is made, behind the acknowledgement.
    time.sleep(4)
    with wire.Connection(stage.kafka, timeout=10) as connection:
        code = connection.produce("ping", 0, wire.Batch([b"x"]).encode()).error
        stage.must(code == 0, f"Produce to another topic: error {code}")


@case("connections without end that are opened and closed", is_short=False)
def churn(stage: Stage) -> None:
    end = time.monotonic() + stage.size(10, 2)
    while time.monotonic() < end:
        stage.connect(stage.kafka)
        stage.sockets.pop().close()
        stage.connect(stage.http)
        stage.sockets.pop().close()


@case("3,000 idle connections", is_short=False)
def idle_connections(stage: Stage) -> None:
    stage.connect_many(stage.size(3000, 1000))
    time.sleep(stage.size(4, 1))
    stage.notes.append(f"{count_descriptors(stage.broker)} descriptors")
