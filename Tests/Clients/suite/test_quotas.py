"""Quotas held: what replies say, who is not read meanwhile, and how ordinary clients get along. By `--broker kafka` the same of Apache Kafka."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time

import pytest
from confluent_kafka import Consumer, Producer

from conftest import create_topic
from harness import wire
from harness.broker import Broker
from harness.clients.group import wait_until
from harness.wire import Batch, int8, int16, int32, int64, string

ALTER_QUOTAS = 49
THROTTLED = 89


@pytest.fixture
def node(new_broker) -> Broker:
    return new_broker()


def alter(node, entity: dict[str, str | None], **limits: float | None) -> None:
    parts = wire.array([string(kind) + string(name) for kind, name in entity.items()])
    changes = wire.array([string(key) + struct.pack(">d", value or 0) + int8(value is None) for key, value in limits.items()])
    with wire.Connection(node.bootstrap) as connection:
        reader = connection.call(ALTER_QUOTAS, 0, wire.array([parts + changes]) + int8(0))
    assert reader.int32() >= 0 and reader.int32() == 1
    error, message = reader.int16(), reader.string()
    assert error == 0, message
    if node.kind == "kafka":
        time.sleep(0.5)  # its broker learns of it a moment later


def topic(node, name="t", partitions=1) -> str:
    create_topic(node.bootstrap, name, partitions)
    with wire.Connection(node.bootstrap) as connection:
        # Apache Kafka's leader is there a moment after the topic.
        wait_until(lambda: connection.produce(name, 0, Batch([b"first"]).encode()).error == 0, 10)
    return name


def produce(connection, client: str, size: int, version: int = 7) -> tuple[int, int]:
    """(throttle time, bytes of the request as they are counted) of one batch with `size` bytes in it."""
    body = connection.produce_body("t", 0, Batch([b"x" * size]).encode())
    reader = connection.receive(connection.send(0, version, body, client))
    reader.int32(), reader.string(), reader.int32(), reader.int32()
    assert reader.int16() == 0
    reader.take(8 + 8 + (8 if version >= 5 else 0))
    return reader.int32(), len(int16(0) + int16(version) + int32(1) + string(client) + body)


def expected(size: int, limit: float) -> int:
    """Of what is counted first: ten windows that were empty, and this one."""
    return round((size / 10 - limit) / limit * 10_000)


# MARK: What replies say


@pytest.mark.parametrize("version", [3, 5, 7])
def test_a_produce_tells_kafkas_time_and_its_connection_is_held(node, version):
    topic(node)
    alter(node, {"client-id": "slow"}, producer_byte_rate=10_000)
    with wire.Connection(node.bootstrap) as held, wire.Connection(node.bootstrap) as other:
        began = time.monotonic()  # not after the reply, which this process may come to look at late
        throttle, size = produce(held, "slow", 110_000, version)
        assert throttle == expected(size, 10_000)
        correlation = held.send(wire.API_VERSIONS, 0, b"", "slow")
        while time.monotonic() - began < throttle / 2000:
            other.api_versions()  # nobody else waits
        held.socket.settimeout(10)
        held.receive(correlation)
        assert time.monotonic() - began >= throttle / 1000 - 0.1
        assert produce(other, "quick", 110_000)[0] == 0


def test_a_fetch_over_its_rate_is_empty_and_keeps_its_session(node):
    topic(node)
    with wire.Connection(node.bootstrap) as connection:
        connection.produce("t", 0, Batch([b"x" * 200_000]).encode())

    def fetch(connection, session, epoch, offset, client="reader"):
        wanted = [string("t") + wire.array([int32(0) + int64(offset) + int64(-1) + int32(1 << 20)])] if offset is not None else []
        body = int32(-1) + int32(100) + int32(1) + int32(1 << 20) + int8(0) + int32(session) + int32(epoch) + wire.array(wanted) + int32(0)
        reader = connection.receive(connection.send(wire.FETCH, 7, body, client))
        throttle, error, session = reader.int32(), reader.int16(), reader.int32()
        return throttle, error, session, reader.int32()

    with wire.Connection(node.bootstrap) as connection:
        throttle, error, session, topics = fetch(connection, 0, 0, 1)
        assert (throttle, error, topics) == (0, 0, 1) and session != 0
        # 200 KB are 1 % more than ten seconds may have: a wait of a tenth of a second.
        alter(node, {"client-id": "reader"}, consumer_byte_rate=19_840)
        throttle, error, again, topics = fetch(connection, session, 1, 1)
        assert (error, again, topics) == (0, session, 0) and 0 < throttle < 1000
        time.sleep(throttle / 1000)
        # What was not sent was not counted either: now there is room.
        for epoch in range(2, 30):
            throttle, error, again, topics = fetch(connection, session, epoch, None)
            assert (error, again) == (0, session)
            if topics:
                break
        assert topics == 1
        with wire.Connection(node.bootstrap) as fresh:
            alter(node, {"client-id": "late"}, consumer_byte_rate=1_000)
            throttle, error, session, topics = fetch(fresh, 0, 0, 1, "late")
            assert throttle > 1000 and (error, session, topics) == (0, 0, 0)  # no session was begun


def test_request_time_holds_for_a_window_at_most(node):
    alter(node, {"client-id": "busy"}, request_percentage=0.000001)
    with wire.Connection(node.bootstrap) as connection:
        found = 0
        for _ in range(3):  # Kafka counts the first only when it has gone
            reader = connection.receive(connection.send(wire.API_VERSIONS, 1, b"", "busy"))
            reader.int16(), reader.array(lambda: reader.take(6))
            found = max(found, reader.int32())
        assert 0 < found <= 1000


def test_the_most_particular_of_eight_levels_holds(node):
    topic(node)
    user = "ANONYMOUS"
    levels = [
        {"user": user, "client-id": "app"}, {"user": user, "client-id": None}, {"user": user}, {"user": None, "client-id": "app"},
        {"user": None, "client-id": None}, {"user": None}, {"client-id": "app"}, {"client-id": None},
    ]
    # Who is counted together at each: a user's client, a user, or a client.
    buckets = ["uc", "uc", "u", "uc", "uc", "u", "c", "c"]
    counted = dict.fromkeys(buckets, 0)
    for number, entity in enumerate(levels):
        alter(node, entity, producer_byte_rate=4**number)
    for number, entity in enumerate(levels):
        with wire.Connection(node.bootstrap) as connection:
            throttle, size = produce(connection, "app", 700_000)
        counted[buckets[number]] += size
        # The time between the levels counts; a neighbour's limit would be four times as far away.
        right = expected(counted[buckets[number]], 4**number)
        assert right / 2 < throttle < right * 1.5, entity
        alter(node, entity, producer_byte_rate=None)
    with wire.Connection(node.bootstrap) as connection:
        assert produce(connection, "app", 700_000)[0] == 0


# MARK: Mutations


def compact(text: str) -> bytes:
    return wire_unsigned(len(text.encode()) + 1) + text.encode()


def wire_unsigned(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def create(connection, names: list[str], partitions: int, version: int, validate: bool = False) -> tuple[int, list[int]]:
    """(throttle time, errors)"""
    if version < 5:
        topics = wire.array([string(name) + int32(partitions) + int16(1) + int32(0) + int32(0) for name in names])
        reader = connection.call(wire.CREATE_TOPICS, version, topics + int32(10_000) + int8(validate))
        throttle = reader.int32()
        errors = []
        for _ in range(reader.int32()):
            reader.string()
            errors.append(reader.int16())
            reader.string()
        return throttle, errors
    entries = b"".join(compact(name) + int32(partitions) + int16(1) + b"\x01\x01\x00" for name in names)
    body = wire_unsigned(len(names) + 1) + entries + int32(10_000) + int8(validate) + b"\x00"
    # A flexible header has tagged fields behind the client's name.
    correlation = connection.send(wire.CREATE_TOPICS, version, b"\x00" + body)
    reader = connection.receive(correlation)
    reader.int8()
    throttle = reader.int32()
    errors = []
    for _ in range(unsigned(reader) - 1):
        reader.take(unsigned(reader) - 1)
        if version >= 7:
            reader.take(16)
        errors.append(reader.int16())
        reader.take(max(unsigned(reader) - 1, 0))
        reader.int32(), reader.int16()
        for _ in range(max(unsigned(reader) - 1, 0)):
            reader.take(unsigned(reader) - 1)
            reader.take(max(unsigned(reader) - 1, 0))
            reader.int8(), reader.int8(), reader.int8(), reader.int8()
        for _ in range(unsigned(reader)):
            unsigned(reader)
            reader.take(unsigned(reader))
    return throttle, errors


def unsigned(reader) -> int:
    shift = value = 0
    while True:
        byte = reader.int8() & 255
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7


def test_mutations_over_the_quota_are_refused_or_held(node):
    # Eleven at once, then one in ten seconds.
    alter(node, {"client-id": "wire"}, controller_mutation_rate=0.1)
    def call(*args, **options):
        with wire.Connection(node.bootstrap) as connection:
            return create(connection, *args, **options)

    throttle, errors = call(["a", "b", "c"], 2, 6)
    # 1.1 are there: the first goes into debt, and the others are refused.
    assert errors == [0, THROTTLED, THROTTLED] and 8_000 < throttle <= 9_000
    throttle, errors = call(["d"], 1, 7)
    assert errors == [THROTTLED] and throttle > 7_000
    # What cannot be done is told first.
    assert call(["a"], 1, 7)[1] == [36]
    # Older versions do all, and wait.
    throttle, errors = call(["e", "f"], 1, 4)
    assert errors == [0, 0] and 26_000 < throttle <= 29_000
    with wire.Connection(node.bootstrap) as connection:
        reader = connection.call(wire.DELETE_TOPICS, 3, wire.array([string("e")]) + int32(10_000))
        throttle = reader.int32()
        deleted = reader.array(lambda: (reader.string(), reader.int16()))
    assert deleted == [("e", 0)] and throttle > 30_000


# MARK: Connections


def test_too_many_connections_of_an_address(node):
    alter(node, {"ip": "127.0.0.1"}, connection_creation_rate=1)
    served = closed = 0
    for _ in range(25):
        with socket.create_connection(("127.0.0.1", node.kafka_port), timeout=5) as connection:
            try:
                connection.sendall(int32(14) + int16(18) + int16(0) + int32(1) + string("wire"))
                if connection.recv(4):
                    served += 1
                else:
                    closed += 1
            except (ConnectionResetError, BrokenPipeError):
                closed += 1
        if closed >= 2:
            break
    assert served >= 9 and closed >= 2


# MARK: Ordinary clients


def test_a_producer_of_librdkafka_goes_on_at_its_rate(node):
    topic(node)
    alter(node, {"client-id": "app"}, producer_byte_rate=20_000)
    seen, failed = [], []
    producer = Producer({
        "bootstrap.servers": node.bootstrap, "client.id": "app", "linger.ms": 5, "batch.size": 16_384, "enable.idempotence": True,
        "throttle_cb": lambda event: seen.append(event.throttle_time),
    })
    for number in range(150):
        producer.produce("t", b"%04d" % number + b"x" * 2_000, on_delivery=lambda error, _: failed.append(error) if error else None)
        producer.poll(0)
    # 300 KB, of which 200 go at once.
    assert producer.flush(60) == 0 and failed == []
    producer.poll(0)
    assert max(seen, default=0) > 0
    with wire.Connection(node.bootstrap) as connection:
        _, stored = connection.fetch_all("t", 0)
    assert [value[:4] for _, _, value in list(wire.stored_records(stored))[1:]] == [b"%04d" % number for number in range(150)]


def test_a_consumer_of_librdkafka_goes_on_at_its_rate(node):
    topic(node)
    with wire.Connection(node.bootstrap) as connection:
        for number in range(30):
            connection.produce("t", 0, Batch([b"%04d" % number + b"x" * 10_000]).encode())
    alter(node, {"user": None, "client-id": "app"}, consumer_byte_rate=20_000)
    seen, values = [], []
    consumer = Consumer({
        "bootstrap.servers": node.bootstrap, "client.id": "app", "group.id": "g", "auto.offset.reset": "earliest",
        "throttle_cb": lambda event: seen.append(event.throttle_time),
    })
    consumer.subscribe(["t"])
    end = time.monotonic() + 60
    while len(values) < 31 and time.monotonic() < end:
        for message in consumer.consume(50, 0.5):
            assert message.error() is None
            values.append(message.value()[:4])
    consumer.close()
    assert values[1:] == [b"%04d" % number for number in range(30)] and max(seen, default=0) > 0


@pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no tools of Apache Kafka")
def test_kafkas_own_tools_at_a_rate(node):
    def tool(name, *words):
        return subprocess.run([os.environ["MILLRACE_KAFKA"], name, *words], capture_output=True, text=True, timeout=120)

    topic(node)
    ran = tool("configs", "--bootstrap-server", node.bootstrap, "--alter", "--add-config", "producer_byte_rate=50000", "--entity-type", "clients", "--entity-name", "perf-producer-client")
    assert ran.returncode == 0, ran.stderr
    time.sleep(0.5)
    ran = tool(
        "producer-perf-test", "--topic", "t", "--num-records", "800", "--record-size", "1000", "--throughput", "-1", "--print-metrics",
        "--command-property", f"bootstrap.servers={node.bootstrap}", "client.id=perf-producer-client")
    assert ran.returncode == 0 and "800 records sent" in ran.stdout, ran.stdout + ran.stderr
    throttle = [line for line in ran.stdout.splitlines() if "produce-throttle-time-max" in line]
    assert throttle and float(throttle[0].rsplit(":", 1)[1].replace(",", ".")) > 0, throttle
