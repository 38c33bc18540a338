"""Transactions: every refusal by hand-made requests in both protocols, which `--broker kafka` shows to be Apache Kafka's; then
confluent-kafka, aiokafka and Java, with the node killed, and the short form of tools/exactly-once-test."""

import asyncio
import os
import subprocess
import sys
import time
import uuid

import pytest

from conftest import program
from harness import wire
from harness.broker import end_with_parent
from harness.transactions import PASSING, Transactional, fetch_committed, patiently, shown
from harness.wire import Connection
from trials.exactly_once import Trial, exactly_once_node

NONE, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, INVALID_PRODUCER_ID_MAPPING, CONCURRENT, FENCED, ABORTABLE = 0, 47, 48, 49, 51, 90, 120


@pytest.fixture
def connection(broker):
    with Connection(broker.bootstrap) as connection:
        yield connection


@pytest.fixture(params=["old", "new"])
def protocol(request):
    return request.param


@pytest.fixture
def make(connection):
    """Makes producers: `make("new")`, with an id of their own unless one is named."""

    def make(protocol: str, id: str | None = None, **fields) -> Transactional:
        made = Transactional(connection, id or f"id-{uuid.uuid4().hex[:8]}", protocol == "new", **fields)
        assert made.find_coordinator() == NONE
        assert made.init() == NONE
        return made

    return make


def begun(producer: Transactional, topic: str, *values: bytes, partition: int = 0) -> None:
    """The producer has written in a transaction."""
    if not producer.new:
        assert producer.add_patiently(topic, partition) == [NONE]
    assert patiently(lambda: producer.produce(topic, *values, partition=partition), lambda error: error == CONCURRENT) == NONE


# MARK: What readers see


def test_committed_records_are_shown_and_aborted_ones_are_not(make, protocol, new_topic, connection):
    topic, producer = new_topic(partitions=2), make(protocol)
    begun(producer, topic, b"a", b"b")
    begun(producer, topic, b"c", partition=1)
    assert fetch_committed(connection, topic)[:4] == (NONE, 2, 0, [])
    assert producer.end(commit=True) == NONE
    producer.wait_for("CompleteCommit")
    begun(producer, topic, b"lost")
    assert producer.end(commit=False) == NONE
    producer.wait_for("CompleteAbort")
    begun(producer, topic, b"d")
    assert producer.end(commit=True) == NONE
    producer.wait_for("CompleteCommit")
    assert shown(connection, topic) == [b"a", b"b", b"d"]
    assert shown(connection, topic, 1) == [b"c"]
    # An index by batch is no more than a hint: what begins behind the records may be told, too.
    error, watermark, stable, aborted, _ = fetch_committed(connection, topic)
    assert (error, watermark, stable) == (NONE, 7, 7) and [first for _, first in aborted] == [3]


def test_a_reader_stops_at_the_open_transaction(make, protocol, new_topic, connection):
    topic, producer = new_topic(), make(protocol)
    assert connection.produce(topic, 0, wire.Batch([b"plain"]).encode()).error == NONE
    begun(producer, topic, b"open")
    assert connection.produce(topic, 0, wire.Batch([b"behind"]).encode()).error == NONE
    assert shown(connection, topic) == [b"plain"]
    assert producer.end(commit=True) == NONE
    assert patiently(lambda: shown(connection, topic), lambda found: len(found) < 3) == [b"plain", b"open", b"behind"]


# MARK: Refusals


def test_timeouts_are_checked(make, protocol):
    producer = make(protocol)
    assert [producer.init(timeout_ms=ms) for ms in (0, -1, 900_001)] == [50, 50, 50]
    producer.id = ""
    assert producer.init() == 42


def test_an_older_producer_is_fenced(make, protocol, new_topic):
    topic, old = new_topic(), make(protocol)
    begun(old, topic, b"old")
    new = make(protocol, old.id)
    assert new.producer_id == old.producer_id and new.epoch > old.epoch
    fenced = FENCED
    assert old.add(topic, 0) == [fenced]
    assert old.add(topic, 0, version=1) == [INVALID_PRODUCER_EPOCH]
    assert old.add_offsets("g") == fenced
    assert old.end(commit=True) == fenced
    assert old.produce(topic, b"again") == INVALID_PRODUCER_EPOCH
    assert old.find_coordinator(group="g") == NONE
    assert patiently(lambda: old.commit_offset("g", topic, 1), lambda error: error in PASSING) == INVALID_PRODUCER_EPOCH
    begun(new, topic, b"new")
    assert new.end(commit=True) == NONE


def test_a_producer_may_say_who_it_was(make):
    producer = make("new")
    first = (producer.producer_id, producer.epoch)
    assert producer.init(known=first) == NONE
    assert (producer.producer_id, producer.epoch) == (first[0], first[1] + 1)
    assert producer.init(known=first) == NONE, "the reply may have been lost"
    assert (producer.producer_id, producer.epoch) == (first[0], first[1] + 1)
    assert producer.init() == NONE
    assert producer.init(known=first) == FENCED
    assert producer.init(known=(first[0] + 10_000, 0)) == FENCED


def test_what_the_coordinator_does_not_know(make, protocol, new_topic, connection):
    topic, producer = new_topic(), make(protocol)
    stranger = Transactional(connection, f"nobody-{uuid.uuid4().hex[:8]}", protocol == "new", producer_id=producer.producer_id, epoch=producer.epoch)
    assert stranger.add(topic, 0) == [INVALID_PRODUCER_ID_MAPPING]
    assert stranger.add_offsets("g") == INVALID_PRODUCER_ID_MAPPING
    assert stranger.end(commit=True) == INVALID_PRODUCER_ID_MAPPING
    assert stranger.state()[0] == 105
    assert producer.add(topic, 0, producer_id=producer.producer_id + 10_000) == [INVALID_PRODUCER_ID_MAPPING]
    assert producer.end(commit=True, producer_id=producer.producer_id + 10_000) == INVALID_PRODUCER_ID_MAPPING
    assert producer.add(topic, 0, 7) == [55, 3], "none is added if one is refused"
    assert producer.state() == (NONE, "Empty")


def test_ending_what_is_not_open(make):
    producer = make("old")
    assert [producer.end(commit=True), producer.end(commit=False)] == [INVALID_TXN_STATE, INVALID_TXN_STATE]
    producer = make("new")
    assert producer.end(commit=True) == INVALID_TXN_STATE
    before = producer.epoch
    assert producer.end(commit=False) == NONE, "the new protocol aborts what is empty"
    assert producer.epoch == before + 1
    producer.wait_for("CompleteAbort")


def test_an_end_that_is_asked_for_again(make, new_topic):
    topic = new_topic()
    old = make("old")
    begun(old, topic, b"x")
    assert old.end(commit=True) == NONE
    old.wait_for("CompleteCommit")
    assert [old.end(commit=True), old.end(commit=False)] == [NONE, INVALID_TXN_STATE]
    new = make("new")
    begun(new, topic, b"y")
    asked = (new.producer_id, new.epoch)
    assert new.end(commit=True) == NONE
    answered = (new.producer_id, new.epoch)
    new.wait_for("CompleteCommit")
    assert new.end(commit=True, producer_id=asked[0], epoch=asked[1]) == NONE
    assert (new.producer_id, new.epoch) == answered
    assert new.end(commit=False, producer_id=asked[0], epoch=asked[1]) == INVALID_TXN_STATE
    assert new.end(commit=True) == INVALID_TXN_STATE


def test_batches_that_belong_to_no_transaction(make, new_topic):
    topic = new_topic()
    old = make("old")
    assert old.produce(topic, b"x") == INVALID_TXN_STATE, "the partition was not added"
    assert old.produce(topic, b"x", id=None) == 53
    assert old.add(topic, 0) == [NONE]
    assert old.produce(topic, b"x") == NONE
    assert old.produce(topic, b"x", transactional=False, id=None) == INVALID_TXN_STATE
    assert old.produce(topic, b"x", sequence=5) == 45
    assert old.end(commit=True) == NONE
    old.wait_for("CompleteCommit")
    assert old.produce(topic, b"x") == INVALID_TXN_STATE
    new = make("new")
    assert new.produce(topic, b"x", sequence=3) == 45, "the first of an epoch is 0"
    assert new.produce(topic, b"x") == NONE, "added by itself"
    before = new.epoch
    assert new.end(commit=True) == NONE
    new.wait_for("CompleteCommit")
    assert new.produce(topic, b"x", epoch=before, sequence=1) == INVALID_PRODUCER_EPOCH
    assert new.produce(topic, b"x") == NONE


def test_a_transaction_that_is_open_for_too_long_is_aborted(make, protocol, new_topic, connection):
    topic, producer = new_topic(), make(protocol, timeout_ms=1500)
    begun(producer, topic, b"late")
    producer.wait_for("CompleteAbort")
    assert patiently(lambda: fetch_committed(connection, topic)[2], lambda stable: stable < 2) == 2
    assert shown(connection, topic) == []
    assert producer.end(commit=True) in ((FENCED,) if protocol == "old" else (FENCED, INVALID_TXN_STATE))


# MARK: Offsets


def committed_offset(connection, group: str, topic: str, stable: bool = False) -> tuple[int, int]:
    """(error, offset), by version 7, which may ask for what no transaction can change any more."""
    from harness.transactions import OFFSET_FETCH, compact, compact_array, flexible_call

    body = compact(group) + compact_array([compact(topic) + compact_array([wire.int32(0)]) + b"\0"]) + wire.int8(stable)
    reader = flexible_call(connection, OFFSET_FETCH, 7, body)
    reader.int32()
    found = reader.compact_array(lambda: (reader.compact(), reader.compact_array(lambda: (reader.int32(), reader.int64(), reader.int32(), reader.compact(), reader.int16(), reader.tags())), reader.tags()))
    _, offset, _, _, error, _ = found[0][1][0]
    return error, offset


def test_offsets_count_when_their_transaction_is_committed(make, protocol, new_topic, connection):
    topic, producer, group = new_topic(), make(protocol), f"group-{uuid.uuid4().hex[:8]}"
    assert producer.find_coordinator(group=group) == NONE
    if protocol == "old":
        assert patiently(lambda: producer.commit_offset(group, topic, 5), lambda error: error in PASSING) == INVALID_TXN_STATE, "the group's partition was not added"

    def commit(offset: int) -> None:
        if protocol == "old":
            assert patiently(lambda: producer.add_offsets(group), lambda error: error == CONCURRENT) == NONE
        assert patiently(lambda: producer.commit_offset(group, topic, offset), lambda error: error in (14, 15, 16, CONCURRENT)) == NONE

    commit(5)
    assert committed_offset(connection, group, topic) == (NONE, -1)
    assert committed_offset(connection, group, topic, stable=True) == (88, -1)
    assert producer.end(commit=True) == NONE
    assert patiently(lambda: committed_offset(connection, group, topic, stable=True), lambda found: found[0] == 88) == (NONE, 5)
    commit(9)
    assert committed_offset(connection, group, topic) == (NONE, 5)
    assert producer.end(commit=False) == NONE
    assert patiently(lambda: committed_offset(connection, group, topic, stable=True), lambda found: found[0] == 88) == (NONE, 5)


# MARK: Clients


def confluent_producer(bootstrap: str, id: str, **settings):
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": id, "transaction.timeout.ms": 30_000, **settings})
    producer.init_transactions(30)
    return producer


def confluent_values(bootstrap: str, topic: str, count: int, seconds: float = 30) -> list[bytes]:
    """The first values that a read_committed consumer shows, in their order."""
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"r-{uuid.uuid4().hex[:8]}", "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    values, deadline = [], time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            values.append(message.value())
    # None may follow.
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            values.append(message.value())
    consumer.close()
    return values


def test_confluent_kafka_commits_and_aborts(broker, new_topic):
    topic = new_topic()
    producer = confluent_producer(broker.bootstrap, f"c-{uuid.uuid4().hex[:8]}")
    for number in range(6):
        producer.begin_transaction()
        for part in range(3):
            producer.produce(topic, b"%d/%d" % (number, part))
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    assert confluent_values(broker.bootstrap, topic, 9) == [b"%d/%d" % (n, p) for n in (0, 2, 4) for p in range(3)]


@pytest.mark.timeout(180)
def test_confluent_kafka_aborts_what_is_too_large_and_goes_on(pytestconfig, new_broker):
    """More topics of the longest names than a transaction has room for: told as an error on which to abort, not as the producer's end."""
    from confluent_kafka import KafkaException

    if pytestconfig.getoption("--broker") == "kafka":
        pytest.skip("Apache Kafka has room for four times as many")
    node = new_broker()
    topics = [f"{number:04d}-".ljust(249, "n") for number in range(1_100)]
    with Connection(node.bootstrap) as connection:
        for name in topics:
            assert connection.create_topic(name, 1) == NONE
    producer = confluent_producer(node.bootstrap, "large")
    producer.begin_transaction()
    for name in topics:
        producer.produce(name, b"lost")
    with pytest.raises(KafkaException) as failure:
        producer.commit_transaction(60)
    error = failure.value.args[0]
    assert error.txn_requires_abort() and not error.fatal(), error
    assert "POLICY" in error.str().upper(), error.str()
    producer.abort_transaction(60)
    producer.begin_transaction()
    for name in topics[:3]:
        producer.produce(name, b"kept")
    producer.commit_transaction(60)
    for name in topics[:3]:
        assert confluent_values(node.bootstrap, name, 1) == [b"kept"]


def test_confluent_kafka_is_fenced(broker, new_topic):
    from confluent_kafka import KafkaException

    topic, id = new_topic(), f"f-{uuid.uuid4().hex[:8]}"
    old = confluent_producer(broker.bootstrap, id)
    old.begin_transaction()
    old.produce(topic, b"old")
    old.flush(10)
    new = confluent_producer(broker.bootstrap, id)
    new.begin_transaction()
    new.produce(topic, b"new")
    new.commit_transaction(30)
    with pytest.raises(KafkaException) as failure:
        old.commit_transaction(30)
    assert failure.value.args[0].fatal()
    assert confluent_values(broker.bootstrap, topic, 1) == [b"new"]


def test_aiokafka_commits_and_aborts(broker, new_topic):
    aiokafka = pytest.importorskip("aiokafka")
    topic = new_topic()

    async def run() -> list[bytes]:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=f"a-{uuid.uuid4().hex[:8]}")
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"one")
            with pytest.raises(ZeroDivisionError):
                async with producer.transaction():
                    await producer.send_and_wait(topic, b"lost")
                    1 / 0
            async with producer.transaction():
                await producer.send_and_wait(topic, b"two")
        finally:
            await producer.stop()
        consumer = aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", isolation_level="read_committed")
        await consumer.start()
        try:
            return [(await asyncio.wait_for(consumer.getone(), 30)).value for _ in range(2)]
        finally:
            await consumer.stop()

    assert asyncio.run(run()) == [b"one", b"two"]


class Copier:
    """A process that copies a topic to another, a few records a transaction, with the offsets in the same.

    It is killed with the node: `send_offsets_to_transaction` of librdkafka waits without end when a node dies under it, Apache
    Kafka's too."""

    def __init__(self, bootstrap: str, source: str, target: str):
        self.arguments = [bootstrap, source, target, f"copy-{uuid.uuid4().hex[:8]}"]
        self.process = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", COPY, *self.arguments], stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


COPY = """
import sys
from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_STORED

bootstrap, source, target, id = sys.argv[1:]
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": id, "transaction.timeout.ms": 15_000})
producer.init_transactions(60)
consumer = Consumer({
    "bootstrap.servers": bootstrap, "group.id": id, "auto.offset.reset": "earliest", "enable.auto.commit": False,
    "isolation.level": "read_committed"})
consumer.assign([TopicPartition(source, 0, OFFSET_STORED)])
while True:
    messages = [one for one in consumer.consume(20, 0.2) if not one.error()]
    if not messages:
        continue
    producer.begin_transaction()
    for message in messages:
        producer.produce(target, message.value())
    producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 20)
    producer.commit_transaction(20)
"""


@pytest.mark.control
def test_exactly_once_through_kills_of_the_node(new_broker):
    """Consume, produce and commit offsets in transactions, while the node and the client are killed: each record once, in its order."""
    from conftest import create_topic

    node = new_broker()
    source, target, count = create_topic(node.bootstrap, "source"), create_topic(node.bootstrap, "target"), 600
    with Connection(node.bootstrap) as connection:
        for start in range(0, count, 100):
            assert connection.produce(source, 0, wire.Batch([b"%d" % n for n in range(start, start + 100)]).encode()).error == 0
    copier = Copier(node.bootstrap, source, target)

    def wait_for(records: int) -> list[bytes]:
        with Connection(node.bootstrap) as connection:
            return patiently(lambda: shown(connection, target), lambda found: len(found) < records and copier.process.poll() is None, 90)

    try:
        copier.start()
        before = 0
        for _ in range(3):
            before = len(wait_for(before + 60))
            node.kill()
            copier.kill()
            node.start()
            copier.start()
        assert wait_for(count) == [b"%d" % n for n in range(count)]
        time.sleep(1)
        assert len(wait_for(count)) == count
    finally:
        copier.kill()


@pytest.mark.client("confluent-kafka")
@pytest.mark.timeout(400)
def test_exactly_once_through_kills_of_everybody(pytestconfig, seed):
    kind = pytestconfig.getoption("--broker")
    node = exactly_once_node(kind, program(pytestconfig))
    try:
        Trial(node, seed, 12).run()
    finally:
        node.remove()


# MARK: Java


@pytest.fixture
def java():
    """Runs a tool of Apache Kafka's: `java("transactions", "list")`."""
    launcher = os.environ.get("MILLRACE_KAFKA")
    if not launcher:
        pytest.skip("MILLRACE_KAFKA is not set: no Java clients")

    def run(*arguments: str, seconds: float = 120, ok: bool = True) -> str:
        ran = subprocess.run([launcher, *arguments], capture_output=True, text=True, timeout=seconds, env={**os.environ, "KAFKA_LOG": "error"})
        assert not ok or ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def test_java_copies_in_transactions(broker, new_topic, java, connection):
    source, target, count = new_topic(), new_topic(), 500
    for start in range(0, count, 50):
        assert connection.produce(source, 0, wire.Batch([b"%d" % n for n in range(start, start + 50)]).encode()).error == NONE
    java(
        "transactional-message-copier", "--broker-list", broker.bootstrap, "--input-topic", source, "--input-partition", "0",
        "--output-topic", target, "--transactional-id", f"java-{target}", "--transaction-size", "40",
        "--max-messages", str(count), "--consumer-group", f"java-{target}", "--enable-random-aborts")
    assert patiently(lambda: shown(connection, target), lambda found: len(found) < count) == [b"%d" % n for n in range(count)]


def test_javas_tool_lists_and_aborts(broker, new_topic, java, make, connection):
    topic, producer = new_topic(), make("new")
    begun(producer, topic, b"hanging")
    listed = java("transactions", "--bootstrap-server", broker.bootstrap, "list")
    assert any(producer.id in line and "Ongoing" in line for line in listed.splitlines())
    described = java("transactions", "--bootstrap-server", broker.bootstrap, "describe", "--transactional-id", producer.id)
    assert f"{topic}-0" in described and "Ongoing" in described
    producers = java("transactions", "--bootstrap-server", broker.bootstrap, "describe-producers", "--topic", topic, "--partition", "0")
    assert str(producer.producer_id) in producers
    java("transactions", "--bootstrap-server", broker.bootstrap, "abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    assert patiently(lambda: fetch_committed(connection, topic)[2], lambda stable: stable < 2) == 2
    assert shown(connection, topic) == []
