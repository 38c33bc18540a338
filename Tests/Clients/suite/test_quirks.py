"""What has broken clients on other brokers, where no other test shows it: `quirks.toml` lists all that is known of that kind, and
which tests show that it is not so here. Hand-made requests, but for kafka-python, which guesses what kind of broker it has met."""

import re
import socket
import tomllib
import uuid

import pytest

from conftest import REPOSITORY, create_topic, program
from harness.broker import Broker
from harness.transactions import FIND_COORDINATOR, OFFSET_FETCH, PASSING, FlexibleReader, Transactional, compact_array, fetch_committed, flexible_call, patiently, unsigned
from harness.wire import API_VERSIONS, FETCH, LIST_OFFSETS, METADATA, Batch, Connection, Reader, array, int8, int32, int64, record, stored_records, string

OFFSET_COMMIT, OFFSET_FOR_LEADER_EPOCH = 8, 23
NONE, INVALID_RECORD, CONCURRENT, UNSTABLE_OFFSET_COMMIT = 0, 87, 51, 88
PASSING_LEADER = (3, 5, 6)  # Apache Kafka soon after a creation or a start

# MARK: The list


def test_every_test_that_the_list_names_is_there():
    """So that the card cannot tell of a test that nobody runs."""
    listed = tomllib.loads((REPOSITORY / "Tests/Clients/quirks.toml").read_text())["quirk"]
    assert [quirk["number"] for quirk in listed] == list(range(1, 37))
    missing = []
    for quirk in listed:
        assert quirk["what"].strip() and bool(quirk.get("tests")) != bool(quirk.get("none")), f"quirk {quirk['number']}: tests, or the reason why there are none"
        for name in quirk.get("tests", []):
            if "::" in name:
                file, case = name.split("::")
                path, declared = REPOSITORY / "Tests/Clients/suite" / file, rf"^def {case}\("
            else:
                target, suite, case = re.fullmatch(r"(\w+)\.(\w+)/(\w+)", name).groups()
                found = [file for file in (REPOSITORY / "Tests" / target).rglob("*.swift") if re.search(rf"@Suite\b.*\bstruct {suite}\b", file.read_text())]
                path, declared = found[0] if found else REPOSITORY / name, rf"@Test[^\n]*(\n[^\n]*)? func {case}\("
            if not path.is_file() or not re.search(declared, path.read_text(), re.M):
                missing.append(name)
    assert not missing


# MARK: Versions

# The highest versions that kafkajs 2 and Sarama 1.60 know, by API key.
KAFKAJS = {0: 7, 1: 11, 2: 3, 3: 6, 8: 5, 9: 4, 10: 2, 11: 5, 12: 3, 13: 3, 14: 3, 15: 2, 16: 2, 17: 1, 18: 2, 19: 3, 20: 1, 21: 1, 22: 1, 24: 1, 25: 1, 26: 1, 28: 1, 29: 1, 30: 1, 31: 1, 32: 2, 33: 1, 36: 1, 37: 1, 42: 1, 45: 0, 46: 0}
SARAMA = {0: 10, 1: 12, 2: 6, 3: 11, 8: 8, 9: 8, 10: 3, 11: 8, 12: 4, 13: 5, 14: 5, 15: 5, 16: 5, 17: 1, 18: 4, 19: 7, 20: 6, 21: 2, 22: 4, 24: 3, 25: 3, 26: 3, 28: 3, 29: 2, 30: 2, 31: 2, 32: 4, 33: 2, 35: 4, 36: 2, 37: 3, 42: 2, 44: 1, 45: 0, 46: 0, 48: 1, 49: 1, 50: 0, 51: 0}


def test_no_lowest_version_is_above_what_kafkajs_knows(broker):
    """It sends its own highest then, without a look at the lowest."""
    with Connection(broker.bootstrap) as connection:
        served = connection.api_versions()
    assert {key: served[key] for key, highest in KAFKAJS.items() if served[key][0] > highest} == {}


@pytest.mark.parametrize("version", [1, 5, 9, 11])
def test_a_client_that_asks_for_no_versions_is_served(broker, new_topic, version):
    """Sarama sends what it was configured for, as its first request: here Metadata."""
    topic = new_topic()
    with Connection(broker.bootstrap) as connection:
        if version < 9:
            reply = connection.call(METADATA, version, array([string(topic)]) + (int8(0) if version >= 4 else b""))
            assert topic.encode() in reply.body
        else:
            assert metadata(connection, [topic], version=version)[topic][0] == NONE
        served = connection.api_versions()
    assert {key: served[key] for key, version in SARAMA.items() if not served[key][0] <= version <= served[key][1]} == {}


@pytest.mark.parametrize("version", [3, 4])
def test_the_reply_to_api_versions_has_the_old_header(broker, version):
    """No tagged fields in it, though the version is one of those that have them: librdkafka reads the count of APIs there."""
    with Connection(broker.bootstrap) as connection:
        plain = connection.api_versions()
        # The tagged fields of the request's header, the client's name and version, and those of its body.
        reader = FlexibleReader(connection.call(API_VERSIONS, version, b"\0" + b"\x05wire\x041.0\0").body)
    assert reader.int32() > 0 and reader.int16() == NONE
    found = reader.compact_array(lambda: (reader.int16(), reader.int16(), reader.int16(), reader.tags()))
    reader.int32(), reader.tags()
    assert reader.at == len(reader.body)
    assert {key: (low, high) for key, low, high, _ in found} == plain


def test_kafka_python_takes_it_for_the_newest_broker_it_knows(broker):
    """It infers that from single ranges, and with it what it dares to use."""
    from kafka.protocol.broker_version_data import infer_broker_version_from_api_versions

    with Connection(broker.bootstrap) as connection:
        served = connection.api_versions()
    assert infer_broker_version_from_api_versions(served) >= (4, 3)
    # One range that is missing or lower, and it is an older one: the highest versions are those of one release.
    assert infer_broker_version_from_api_versions({**served, 35: (1, 4)}) < (4, 3)


# MARK: Topics, ids and epochs


def metadata(connection: Connection, names: list[str] | None, version: int = 12, ids: list[bytes] | None = None) -> dict:
    """{name: (error, id, [(partition, leader epoch)])} by a flexible version."""
    asked = None if names is None and ids is None else [(bytes(16), name) for name in names or []] + [(id, None) for id in ids or []]
    body = b"\0" if asked is None else compact_array([(id if version >= 10 else b"") + (b"\0" if name is None else unsigned(len(name) + 1) + name.encode()) + b"\0" for id, name in asked])
    body += int8(0) + (int8(0) if version <= 10 else b"") + int8(0)
    reader = flexible_call(connection, METADATA, version, body)
    reader.int32()
    reader.compact_array(lambda: (reader.int32(), reader.compact(), reader.int32(), reader.compact(), reader.tags()))
    reader.compact(), reader.int32()

    def partition():
        reader.int16()
        index, _, epoch = reader.int32(), reader.int32(), reader.int32()
        for _ in range(3):
            reader.compact_array(reader.int32)
        reader.tags()
        return index, epoch

    def topic():
        error, name, id = reader.int16(), reader.compact(), reader.take(16) if version >= 10 else None
        reader.int8()
        partitions = reader.compact_array(partition)
        reader.int32(), reader.tags()
        return name, (error, id, partitions)

    return dict(reader.compact_array(topic))


def test_topics_have_ids_of_their_own_and_none_is_zero(broker, new_topic):
    """A zero would be sent by clients that fetch and commit by ids."""
    one, two = new_topic(), new_topic(2)
    with Connection(broker.bootstrap) as connection:
        found = metadata(connection, None)
        ids = [id for _, id, _ in found.values()]
        assert {one, two} <= set(found) and len(set(ids)) == len(ids) and bytes(16) not in ids
        assert metadata(connection, None, ids=[found[two][1]]) == {two: found[two]}


def epochs(connection: Connection, topic: str) -> tuple[int, int, int, int]:
    """The leader epoch of Metadata, of ListOffsets at the end, of OffsetForLeaderEpoch for that one, and of the newest batch."""
    told = patiently(lambda: metadata(connection, [topic])[topic], lambda found: found[0] in PASSING_LEADER)[2][0][1]
    at_end, end = list_offset(connection, topic, -1)[1:]
    reader = connection.call(OFFSET_FOR_LEADER_EPOCH, 3, int32(-1) + array([string(topic) + array([int32(0) + int32(-1) + int32(at_end)])]))
    reader.int32()
    (_, ((error, _, of_end, end_of_epoch),)), = reader.array(lambda: (reader.string(), reader.array(lambda: (reader.int16(), reader.int32(), reader.int32(), reader.int64()))))
    assert (error, end_of_epoch) == (NONE, end)
    stored = connection.fetch(topic, 0, end - 1)[2]
    return told, at_end, of_end, Reader(stored[12:16]).int32()


def list_offset(connection: Connection, topic: str, timestamp: int, isolation: int = 0) -> tuple[int, int, int]:
    """(timestamp, leader epoch, offset) by version 4."""

    def ask():
        reader = connection.call(LIST_OFFSETS, 4, int32(-1) + int8(isolation) + array([string(topic) + array([int32(0) + int32(-1) + int64(timestamp)])]))
        reader.int32(), reader.int32(), reader.string(), reader.int32(), reader.int32()
        error, found, offset, epoch = reader.int16(), reader.int64(), reader.int64(), reader.int32()
        return error, (found, epoch, offset)

    error, found = patiently(ask, lambda reply: reply[0] in PASSING_LEADER)
    assert error == NONE
    return found


@pytest.mark.control
def test_the_leader_epoch_is_one_everywhere_and_never_goes_back(new_broker):
    """-1 beside a number, or a lower one, strands librdkafka's partitions."""
    node = new_broker()
    topic = create_topic(node.bootstrap, "epochs")
    last = 0
    for end in (None, node.stop, node.kill):
        if end:
            end()
            node.start()
        with Connection(node.bootstrap) as connection:
            assert patiently(lambda: connection.produce(topic, 0, Batch([b"x"]).encode()).error, lambda error: error in PASSING_LEADER) == NONE
            told = epochs(connection, topic)
            assert told[0] >= last and set(told) == {told[0]}
            last = told[0]


def test_a_committed_leader_epoch_comes_back(broker, new_topic):
    """And where none was committed -1, with metadata that is empty and not null, which Sarama does not expect."""
    topic, group = new_topic(3), f"group-{uuid.uuid4().hex[:8]}"
    with Connection(broker.bootstrap) as connection:

        def coordinator() -> int:
            reader = connection.call(FIND_COORDINATOR, 1, string(group) + int8(0))
            reader.int32()
            return reader.int16()

        assert patiently(coordinator, lambda error: error in PASSING) == NONE

        def commit() -> list[int]:
            partitions = [int32(p) + int64(5) + int32(epoch) + string(text) for p, epoch, text in ((0, 0, "a note"), (1, -1, None))]
            reader = connection.call(OFFSET_COMMIT, 6, string(group) + int32(-1) + string("") + array([string(topic) + array(partitions)]))
            reader.int32()
            return [error for _, errors in reader.array(lambda: (reader.string(), reader.array(lambda: (reader.int32(), reader.int16())))) for _, error in errors]

        assert patiently(commit, lambda errors: bool(set(errors) & set(PASSING))) == [NONE, NONE]
        reader = connection.call(OFFSET_FETCH, 5, string(group) + array([string(topic) + array([int32(p) for p in range(3)])]))
        reader.int32()
        (_, found), = reader.array(lambda: (reader.string(), reader.array(lambda: (reader.int32(), reader.int64(), reader.int32(), reader.string(), reader.int16()))))
    assert found == [(0, 5, 0, "a note", NONE), (1, 5, -1, "", NONE), (2, -1, -1, "", NONE)]


# MARK: What readers are told


@pytest.fixture
def connection(broker):
    with Connection(broker.bootstrap) as connection:
        yield connection


def begun(connection, topic: str, value: bytes) -> Transactional:
    """A producer of the old protocol that has written in a transaction."""
    producer = Transactional(connection, f"id-{uuid.uuid4().hex[:8]}", new=False)
    assert [producer.find_coordinator(), producer.init()] == [NONE, NONE]
    assert producer.add_patiently(topic, 0) == [NONE]
    assert patiently(lambda: producer.produce(topic, value), lambda error: error == CONCURRENT) == NONE
    return producer


def test_aborted_transactions_are_told_to_committed_readers_alone(broker, connection, new_topic):
    """Two that overlap, whichever ended first: who began first stands first, for not all clients sort them as Java's does, whose broker
    lists them as they ended. Who reads all gets the records and no list."""
    topic = new_topic()
    first, second = begun(connection, topic, b"first"), begun(connection, topic, b"second")
    for producer in (second, first):
        assert producer.end(commit=False) == NONE
        producer.wait_for("CompleteAbort")
    error, watermark, stable, aborted, stored = fetch_committed(connection, topic)
    assert (error, watermark, stable) == (NONE, 4, 4)
    listed = [producer for producer, _ in sorted(aborted, key=lambda one: one[1])] if broker.kind == "kafka" else [producer for producer, _ in aborted]
    assert listed == [first.producer_id, second.producer_id]
    error, _, stable, aborted, _ = fetch_committed(connection, topic, isolation=0)
    assert (error, stable, aborted) == (NONE, 4, [])
    _, stored = connection.fetch_all(topic, 0)
    assert [value for _, key, value in stored_records(stored) if key is None] == [b"first", b"second"]


def test_the_last_stable_offset_is_always_a_number(connection, new_topic):
    """librdkafka takes -1 for a place, and never comes to a partition's end."""
    topic = new_topic()
    for isolation in (0, 1):
        assert fetch_committed(connection, topic, isolation=isolation)[:3] == (NONE, 0, 0)
    assert connection.produce(topic, 0, Batch([b"x"] * 3).encode()).error == NONE
    for isolation in (0, 1):
        for offset in (0, 3):
            assert fetch_committed(connection, topic, offset, isolation=isolation)[:3] == (NONE, 3, 3)


def test_the_end_for_committed_readers_is_the_last_stable_offset(connection, new_topic):
    topic = new_topic()
    assert connection.produce(topic, 0, Batch([b"plain"], timestamp=1000).encode()).error == NONE
    open_one = begun(connection, topic, b"open")
    assert (list_offset(connection, topic, -1)[2], list_offset(connection, topic, -1, isolation=1)[2]) == (2, 1)
    # By time: what is not shown yet is not found either.
    assert list_offset(connection, topic, 1001)[2] == 1
    assert list_offset(connection, topic, 1001, isolation=1)[::2] == (-1, -1)
    assert open_one.end(commit=True) == NONE
    open_one.wait_for("CompleteCommit")
    assert list_offset(connection, topic, -1, isolation=1)[2] == 3


def test_offsets_of_a_transaction_that_nobody_ends_are_free_again(connection, new_topic):
    """Its producer is gone: the time of the transaction ends it, and with it UNSTABLE_OFFSET_COMMIT."""
    topic, group = new_topic(), f"group-{uuid.uuid4().hex[:8]}"
    producer = Transactional(connection, f"id-{uuid.uuid4().hex[:8]}", new=False, timeout_ms=1500)
    assert [producer.find_coordinator(), producer.find_coordinator(group=group), producer.init()] == [NONE, NONE, NONE]
    assert patiently(lambda: producer.add_offsets(group), lambda error: error == CONCURRENT) == NONE
    assert patiently(lambda: producer.commit_offset(group, topic, 5), lambda error: error in (*PASSING, CONCURRENT)) == NONE

    def stable() -> tuple[int, int]:
        """(error, offset) by version 7, which waits for nobody and says so."""
        text = unsigned(len(topic) + 1) + topic.encode()
        reader = flexible_call(connection, OFFSET_FETCH, 7, unsigned(len(group) + 1) + group.encode() + compact_array([text + compact_array([int32(0)]) + b"\0"]) + int8(1))
        reader.int32()
        (_, ((_, offset, _, _, error, _),), _), = reader.compact_array(lambda: (reader.compact(), reader.compact_array(lambda: (reader.int32(), reader.int64(), reader.int32(), reader.compact(), reader.int16(), reader.tags())), reader.tags()))
        return error, offset

    assert stable() == (UNSTABLE_OFFSET_COMMIT, -1)
    assert patiently(stable, lambda found: found[0] == UNSTABLE_OFFSET_COMMIT) == (NONE, -1)


def test_sessions_that_are_begun_and_never_used_put_out_none_that_is(broker, new_topic):
    """Some clients begin one with each fetch: more than there is room for, and each is answered."""
    topic = new_topic()

    def fetch(connection, session: int, epoch: int, names: bool = True) -> tuple[int, int]:
        wanted = [string(topic) + array([int32(0) + int64(0) + int64(-1) + int32(1 << 20)])] if names else []
        reader = connection.call(FETCH, 7, int32(-1) + int32(0) + int32(1) + int32(1 << 20) + int8(0) + int32(session) + int32(epoch) + array(wanted) + int32(0))
        reader.int32()
        return reader.int16(), reader.int32()

    with Connection(broker.bootstrap) as used, Connection(broker.bootstrap) as wasteful:
        error, session = fetch(used, 0, 0)
        assert error == NONE and session > 0
        begun = [fetch(wasteful, 0, 0) for _ in range(1_100)]
        assert {error for error, _ in begun} == {NONE}
        assert begun[-1][1] == 0, "there is an end to their number"
        assert fetch(used, session, 1, names=False) == (NONE, session)


# MARK: Records and addresses


def raw_snappy(content: bytes) -> bytes:
    """One literal, as librdkafka's snappy has no frame of its own."""
    assert 60 < len(content) <= 256
    return unsigned(len(content)) + bytes([60 << 2, len(content) - 1]) + content


def xerial_snappy(content: bytes) -> bytes:
    """The same in the frame that Java puts around it."""
    block = raw_snappy(content)
    return b"\x82SNAPPY\0" + int32(1) + int32(1) + int32(len(block)) + block


@pytest.mark.parametrize("framed", [raw_snappy, xerial_snappy])
def test_both_framings_of_snappy_are_looked_into(connection, new_topic, framed):
    """In a compacted topic the broker has to: a record with a key is taken, and one without is found."""
    topic = new_topic(cleanup_policy="compact")

    def batch(key: bytes | None) -> bytes:
        return Batch([b"v" * 100], attributes=2, body=framed(record(0, key, b"v" * 100))).encode()

    keyed = batch(b"k")
    assert connection.produce(topic, 0, keyed).error == NONE
    assert connection.produce(topic, 0, batch(None)).error == INVALID_RECORD
    # As it came, from its attributes on: what says how it is packed, and the packed records.
    assert connection.fetch_all(topic, 0)[1][21:] == keyed[21:]


class LocalhostBroker(Broker):
    def addresses(self) -> list[str]:
        return ["--kafka", f"localhost:{self.kafka_port}", "--http", f"127.0.0.1:{self.http_port}"]


@pytest.mark.gateway
def test_localhost_is_served_on_each_of_its_addresses(pytestconfig):
    """Clients take ::1 first where there is one, and some never try the other."""
    node = LocalhostBroker("millrace", program(pytestconfig))
    try:
        node.start()
        addresses = {address[0] for *_, address in socket.getaddrinfo("localhost", node.kafka_port, type=socket.SOCK_STREAM)}
        for address in addresses:
            with Connection.over(socket.create_connection((address, node.kafka_port), timeout=10)) as connection:
                (_, host, port), = connection.metadata([]).brokers
                # The address that it names is one that this client reaches.
                assert port == node.kafka_port
                socket.create_connection((host, port), timeout=10).close()
        node.stop()
    finally:
        node.remove()
