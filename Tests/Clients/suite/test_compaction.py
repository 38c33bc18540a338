"""Compacted topics as their users know them: the newest value of each key stays, the rest goes, tombstones in the end."""

from __future__ import annotations

import pathlib
import random
import threading
import time
import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from conftest import create_topic

# Long enough for a busy machine; nothing is asserted about how long it took.
PATIENCE_SECONDS = 60

# Segments far smaller than Kafka's smallest `segment.bytes`, so that a little data makes many.
SMALL_SEGMENTS = {"internal_segment_bytes": 32768, "min_cleanable_dirty_ratio": 0.01}


@pytest.fixture
def node(new_broker):
    return new_broker(log_cleaner_backoff_ms=100)


def read_all(bootstrap: str, topic: str) -> list[tuple[int, bytes, bytes | None]]:
    """Every record of partition 0, from its first to its end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True, "check.crcs": True})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while True:
            message = consumer.poll(PATIENCE_SECONDS)
            assert message is not None, f"no end of {topic} after {len(found)} records"
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                return found
            found.append((message.offset(), message.key(), message.value()))
    finally:
        consumer.close()


def table(records) -> dict[bytes, bytes]:
    newest = {}
    for _, key, value in records:
        newest[key] = value
    return {key: value for key, value in newest.items() if value is not None}


def stored_bytes(node, topic: str) -> int:
    """Size of the topic's segments on disk."""
    total = 0
    for path in pathlib.Path(node.folder).rglob(f"{topic}-0*/*.log"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass
    return total


class Writer:
    """Writes records and keeps what was acknowledged, by offset."""

    def __init__(self, bootstrap: str, topic: str, **settings):
        self.topic = topic
        self.written: dict[int, tuple[bytes, bytes | None]] = {}
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2, "batch.num.messages": 20, **settings})

    def put(self, key: bytes, value: bytes | None) -> None:
        def delivered(error, message):
            assert error is None, error
            self.written[message.offset()] = (message.key(), message.value())

        self.producer.produce(self.topic, key=key, value=value, partition=0, on_delivery=delivered)
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(PATIENCE_SECONDS) == 0

    def fill(self) -> None:
        """Enough under keys of its own that what came before is not in the active segment any more."""
        for n in range(60):
            self.put(b"filler-%d" % (n % 3), bytes(1000))
        self.flush()

    def table(self) -> dict[bytes, bytes]:
        return table((offset, *self.written[offset]) for offset in sorted(self.written))


def wait_until(condition, what: str):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {PATIENCE_SECONDS} s"
        time.sleep(0.1)


def restart(node) -> None:
    node.kill()
    node.start()


@pytest.mark.control
@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_the_newest_value_of_each_key_stays(node, seed, codec):
    topic = create_topic(node.bootstrap, "table", cleanup_policy="compact", **SMALL_SEGMENTS)
    choose = random.Random(seed)
    writer = Writer(node.bootstrap, topic, **{"compression.type": codec})
    seen, done, failure = [], threading.Event(), []

    def follow():
        consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": uuid.uuid4().hex, "check.crcs": True})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while not (done.is_set() and seen and seen[-1][0] == max(writer.written)):
                message = consumer.poll(0.2)
                if message is not None:
                    assert not message.error(), message.error()
                    seen.append((message.offset(), message.key(), message.value()))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failure.append(error)
        finally:
            consumer.close()

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    for n in range(20_000):
        value = None if choose.random() < 0.02 else b"%d-%d" % (n, choose.getrandbits(600))
        writer.put(b"key-%d" % choose.randrange(40), value)
    writer.fill()
    done.set()
    reader.join(PATIENCE_SECONDS)
    assert not failure and not reader.is_alive(), failure
    expected = writer.table()

    # Whoever follows may miss what was compacted before it came by, and nothing else; and sees nothing twice.
    offsets = [offset for offset, _, _ in seen]
    assert offsets == sorted(set(offsets))
    assert all(writer.written[offset] == (key, value) for offset, key, value in seen)
    assert table(seen) == expected

    total = sum(len(key) + len(value or b"") for key, value in writer.written.values())
    wait_until(lambda: len(read_all(node.bootstrap, topic)) < 2000, "compaction")
    wait_until(lambda: stored_bytes(node, topic) < total / 2, "removal of the old segments")
    for _ in range(2):
        left = read_all(node.bootstrap, topic)
        assert table(left) == expected
        assert all(writer.written[offset] == (key, value) for offset, key, value in left), "an offset or a value has changed"
        assert left[-1][0] == max(writer.written)
        restart(node)


@pytest.mark.control
def test_a_tombstone_goes_after_its_time(node):
    topic = create_topic(node.bootstrap, "tombstones", cleanup_policy="compact", delete_retention_ms=100, **SMALL_SEGMENTS)
    writer = Writer(node.bootstrap, topic)
    writer.put(b"kept", b"value")
    writer.put(b"removed", b"value")
    writer.put(b"removed", None)

    def keys():
        # A pass needs something new: Apache Kafka does not begin one because a tombstone's time has come.
        writer.fill()
        return {key for _, key, _ in read_all(node.bootstrap, topic)}

    wait_until(lambda: b"removed" not in keys(), "removal of the tombstone")
    restart(node)
    assert b"removed" not in keys()
    assert table(read_all(node.bootstrap, topic))[b"kept"] == b"value"


@pytest.mark.control
def test_the_policy_of_a_living_topic_can_be_changed(node):
    topic = create_topic(node.bootstrap, "changing", **SMALL_SEGMENTS)
    writer = Writer(node.bootstrap, topic)
    for n in range(3000):
        writer.put(b"key-%d" % (n % 5), b"%d" % n + bytes(100))
    writer.fill()
    assert len(read_all(node.bootstrap, topic)) == 3060
    resource = ConfigResource(
        ResourceType.TOPIC, topic, incremental_configs=[ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)]
    )
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(20)
    wait_until(lambda: len(read_all(node.bootstrap, topic)) < 300, "compaction")
    assert table(read_all(node.bootstrap, topic)) == writer.table()


@pytest.mark.control
def test_an_idempotent_producer_goes_on_after_its_records_were_compacted(node):
    topic = create_topic(node.bootstrap, "sessions", cleanup_policy="compact", **SMALL_SEGMENTS)
    quiet, busy = Writer(node.bootstrap, topic), Writer(node.bootstrap, topic)
    quiet.put(b"shared", b"old")
    quiet.flush()
    busy.put(b"shared", b"new")
    for _ in range(5):
        busy.fill()
    first = next(iter(quiet.written))
    wait_until(lambda: first not in {offset for offset, _, _ in read_all(node.bootstrap, topic)}, "compaction")
    restart(node)
    quiet.put(b"shared", b"newest")
    quiet.flush()
    assert table(read_all(node.bootstrap, topic))[b"shared"] == b"newest"
