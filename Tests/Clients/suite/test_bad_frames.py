"""What no well-behaved client sends over the Kafka port: each gets Kafka's error code or a closed connection, the
node lives, and the log holds none of it. What it leaves in memory: test_memory.py.

Where Apache Kafka answers UNKNOWN_SERVER_ERROR, clients cannot tell what went wrong; a fitting code is right as well.
"""

import struct

import pytest

from harness.clients.group import wait_until
from harness.wire import API_VERSIONS, METADATA, PRODUCE, Batch, Closed, Connection, int16, int32, string

VALUES = [b"a", b"b"]
GOOD = Batch(VALUES).encode()

UNKNOWN_SERVER_ERROR = -1
CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
MESSAGE_TOO_LARGE = 10
INVALID_TOPIC = 17
INVALID_REQUIRED_ACKS = 21
INVALID_TIMESTAMP = 32
UNSUPPORTED_VERSION = 35
INVALID_REQUEST = 42
UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
INVALID_TXN_STATE = 48
INVALID_PRODUCER_ID_MAPPING = 49
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
UNSUPPORTED_COMPRESSION_TYPE = 76
INVALID_RECORD = 87

DAMAGED = {CORRUPT_MESSAGE, INVALID_RECORD}

# name -> (record bytes, codes that are right)
BAD_RECORDS = {
    "wrong CRC": (Batch(VALUES, crc=1).encode(), {CORRUPT_MESSAGE}),
    "one bit flipped in the body": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), {CORRUPT_MESSAGE}),
    "magic 0": (Batch(VALUES, magic=0).encode(), DAMAGED | {UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic 1": (Batch(VALUES, magic=1).encode(), DAMAGED | {UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic 3": (Batch(VALUES, magic=3).encode(), DAMAGED),
    "magic -1": (Batch(VALUES, magic=-1).encode(), DAMAGED),
    "no bytes": (b"", DAMAGED),
    "half a header": (GOOD[:40], DAMAGED),
    "cut in the body": (GOOD[:-1], DAMAGED),
    "length too small": (Batch(VALUES, length=20).encode(), DAMAGED),
    "length zero": (Batch(VALUES, length=0).encode(), DAMAGED),
    "length negative": (Batch(VALUES, length=-5).encode(), DAMAGED),
    "length huge": (Batch(VALUES, length=2**31 - 1).encode(), DAMAGED | {UNKNOWN_SERVER_ERROR, MESSAGE_TOO_LARGE}),
    "length one too large": (Batch(VALUES, length=len(GOOD) - 12 + 1).encode(), DAMAGED),
    "count too large": (Batch(VALUES, count=3).encode(), DAMAGED),
    "count too small": (Batch(VALUES, count=1).encode(), DAMAGED),
    "count zero": (Batch(VALUES, count=0).encode(), DAMAGED),
    "count negative": (Batch(VALUES, count=-1).encode(), DAMAGED),
    "count huge": (Batch(VALUES, count=2**31 - 1).encode(), DAMAGED),
    "last offset beyond the records": (Batch(VALUES, last_offset_delta=5).encode(), DAMAGED),
    "last offset negative": (Batch(VALUES, last_offset_delta=-1).encode(), DAMAGED),
    "unknown codec": (Batch(VALUES, attributes=7).encode(), DAMAGED | {UNKNOWN_SERVER_ERROR, UNSUPPORTED_COMPRESSION_TYPE}),
    "a control batch from a client": (Batch(VALUES, attributes=0x20).encode(), {INVALID_RECORD}),
    "a transaction without its id": (
        Batch(VALUES, attributes=0x10, producer_id=0, producer_epoch=0, base_sequence=0).encode(),
        {INVALID_RECORD, INVALID_TXN_STATE, INVALID_PRODUCER_ID_MAPPING, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, INVALID_REQUEST}),
    "a producer id without a sequence": (Batch(VALUES, producer_id=5, producer_epoch=0).encode(), DAMAGED),
    "larger than message.max.bytes": (Batch([b"x" * 1_100_000]).encode(), {MESSAGE_TOO_LARGE}),
    "a time far in the future": (Batch(VALUES, timestamp=2**62).encode(), {INVALID_TIMESTAMP}),
}


@pytest.fixture
def connection(broker):
    with Connection(broker.bootstrap) as opened:
        yield opened


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_record_bytes_are_refused(connection, new_topic, name):
    records, codes = BAD_RECORDS[name]
    topic = new_topic()
    assert connection.produce(topic, 0, GOOD).base_offset == 0
    refused = connection.produce(topic, 0, records)
    assert refused.error in codes
    assert refused.base_offset == -1
    # The same connection goes on, no offset was taken, and only good records are there.
    assert connection.produce(topic, 0, GOOD).base_offset == 2
    high_watermark, stored = connection.fetch_all(topic, 0)
    assert (high_watermark, len(stored)) == (4, 2 * len(GOOD))


@pytest.mark.parametrize("records", [None, GOOD * 2, GOOD + b"xyz", Batch(VALUES, attributes=1).encode(), Batch(VALUES, body=b"\xff" * 20).encode()], ids=["null", "two batches", "trailing bytes", "gzip garbage", "record garbage"])
def test_doubtful_record_bytes_leave_the_log_readable(broker, new_topic, records):
    """Brokers differ in what they answer here (Apache Kafka even answers null with silence); the log must not suffer."""
    topic = new_topic()
    with Connection(broker.bootstrap, timeout=2) as first:
        try:
            first.produce(topic, 0, records)
        except (TimeoutError, Closed):
            pass
    with Connection(broker.bootstrap) as second:
        offset = second.produce(topic, 0, GOOD)
        assert offset.error == 0
        high_watermark, stored = second.fetch_all(topic, 0, offset.base_offset)
        assert (high_watermark, stored[-len(GOOD) + 21 :]) == (offset.base_offset + 2, GOOD[21:])


def test_compacted_topic_refuses_a_record_without_key(connection, new_topic):
    from confluent_kafka import KafkaError, KafkaException

    try:
        topic = new_topic(cleanup_policy="compact")
    except KafkaException as error:
        # A broker without compaction must say so, rather than take the setting and do nothing.
        assert error.args[0].code() == KafkaError.INVALID_CONFIG
        return
    assert connection.produce(topic, 0, GOOD).error == INVALID_RECORD


def test_topic_limit_on_batch_size(connection, new_topic):
    topic = new_topic(max_message_bytes=1000)
    assert connection.produce(topic, 0, Batch([b"x" * 2000]).encode()).error == MESSAGE_TOO_LARGE
    assert connection.produce(topic, 0, Batch([b"x" * 100]).encode()).error == 0


@pytest.mark.parametrize("partition", [99, -1])
def test_unknown_partition(connection, new_topic, partition):
    topic = new_topic()
    assert connection.produce(topic, partition, GOOD).error == UNKNOWN_TOPIC_OR_PARTITION
    assert connection.fetch(topic, partition, 0)[0] == UNKNOWN_TOPIC_OR_PARTITION
    assert connection.list_offset(topic, partition, -1)[0] == UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("name", ["bad name!", "", "..", "x" * 250, "a/b"])
def test_impossible_topic_names(connection, name):
    assert connection.produce(name, 0, GOOD).error in {UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC}
    assert connection.metadata([name]).topics[name][0] in {UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC}


def test_acknowledgements_other_than_the_three(connection, new_topic):
    assert connection.produce(new_topic(), 0, GOOD, acks=5).error == INVALID_REQUIRED_ACKS


def test_zstd_needs_produce_version_7(connection, new_topic):
    assert connection.produce(new_topic(), 0, Batch(VALUES, attributes=4).encode(), version=3).error == UNSUPPORTED_COMPRESSION_TYPE


@pytest.mark.parametrize("offset", [-1, 3, 10**12])
def test_fetch_outside_the_log(connection, new_topic, offset):
    topic = new_topic()
    connection.produce(topic, 0, GOOD)
    assert connection.fetch(topic, 0, offset)[0] == 1


# MARK: Versions and keys


@pytest.mark.parametrize("version", [99, 32767])
def test_unknown_api_versions_version_is_answered_in_version_0(broker, version):
    with Connection(broker.bootstrap) as connection:
        reader = connection.call(API_VERSIONS, version, b"\x00" + b"\x05wire\x041.0\x00")
        assert reader.int16() == UNSUPPORTED_VERSION
        ranges = {reader.int16(): (reader.int16(), reader.int16()) for _ in range(reader.int32())}
        assert ranges[API_VERSIONS][0] == 0
        # The same connection then works.
        assert connection.api_versions()[METADATA][0] == 0


def test_low_versions_that_clients_derive_features_from(connection):
    """librdkafka switches codecs, groups and SASL off when these are missing."""
    versions = connection.api_versions()
    for key, low, high in [(0, 0, 7), (1, 4, 11), (3, 0, 4), (8, 2, 7), (9, 1, 7), (10, 0, 2), (11, 0, 5), (12, 0, 3), (13, 0, 1), (14, 0, 3), (18, 0, 3), (22, 0, 4)]:
        assert versions[key][0] <= low and versions[key][1] >= high, f"API key {key}: {versions[key]}"


def test_no_advertised_version_is_refused_or_ends_the_connection_silently(broker):
    """Every advertised API answers something, or ends the connection, to a body that is no body."""
    with Connection(broker.bootstrap) as connection:
        versions = connection.api_versions()
    for key, (low, high) in versions.items():
        for version in (low, high):
            with Connection(broker.bootstrap, timeout=5) as connection:
                try:
                    connection.call(key, version, b"")
                except Closed:
                    pass


@pytest.mark.parametrize(("key", "version"), [(999, 0), (-1, 0), (32767, 0), (4, 0), (7, 0), (METADATA, 99), (METADATA, -1), (PRODUCE, 99), (PRODUCE, 2), (1, 3), (1, 99), (11, 99)])
def test_unknown_keys_and_versions(broker, key, version):
    """Apache Kafka ends the connection; where the reply's place for an error is known, UNSUPPORTED_VERSION is kinder."""
    with Connection(broker.bootstrap, timeout=5) as connection:
        try:
            reply = connection.call(key, version, b"\x00" * 8)
        except Closed:
            return
        assert struct.pack(">h", UNSUPPORTED_VERSION) in reply.body


# MARK: Frames

BAD_FRAMES = {
    "negative length": int32(-1),
    "most negative length": int32(-(2**31)),
    "zero length": int32(0),
    "shorter than a header": int32(3) + b"abc",
    "length 2 GiB": int32(2**31 - 1),
    "one byte over socket.request.max.bytes": int32(100 * 1024 * 1024 + 1),
    "client id beyond the frame": int32(10) + int16(METADATA) + int16(1) + int32(1) + int16(500),
    "no body": int32(10) + int16(METADATA) + int16(1) + int32(1) + int16(-1),
    "array longer than the frame": int32(14) + int16(METADATA) + int16(1) + int32(1) + int16(-1) + int32(2**31 - 1),
    "string longer than the frame": int32(16) + int16(METADATA) + int16(1) + int32(1) + int16(-1) + int32(1) + int16(500),
    "records longer than the frame": int32(37) + int16(PRODUCE) + int16(7) + int32(1) + int16(-1) + int16(-1) + int16(-1) + int32(1) + int32(1) + string("t") + int32(1) + int32(0) + int32(2**30),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_ends_the_connection(broker, name):
    with Connection(broker.bootstrap) as connection:
        connection.socket.sendall(BAD_FRAMES[name])
        assert connection.is_closed(within=5)


@pytest.mark.parametrize("sent", [1, 3, 4, 5, 30])
def test_a_peer_that_goes_away_inside_a_frame(broker, sent):
    frame = int32(60) + int16(METADATA) + int16(1) + int32(1) + string("a" * 48)
    with Connection(broker.bootstrap) as connection:
        connection.socket.sendall(frame[:sent])
        connection.socket.shutdown(1)
        assert connection.is_closed(within=5)


def test_requests_byte_by_byte_and_many_at_once(broker, new_topic):
    """The same requests, however TCP cuts them, get the same replies in order."""
    topic = new_topic()
    bodies = []
    for n in range(20):
        bodies.append(int16(PRODUCE) + int16(7) + int32(2 * n) + string("w") + Connection.produce_body(topic, 0, GOOD))
        bodies.append(int16(METADATA) + int16(1) + int32(2 * n + 1) + string("w") + int32(0))
    stream = b"".join(int32(len(body)) + body for body in bodies)
    with Connection(broker.bootstrap) as connection:
        connection.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
        small = int32(len(bodies[0])) + bodies[0]
        for n in range(len(small)):
            connection.socket.sendall(small[n : n + 1])
        assert struct.unpack(">i", connection.receive_frame()[:4])[0] == 0
        connection.socket.sendall(stream)
        order = [struct.unpack(">i", connection.receive_frame()[:4])[0] for _ in bodies]
        assert order == list(range(40))
        assert connection.list_offset(topic, 0, -1)[2] == 42


def test_bytes_behind_a_request_are_overlooked(broker):
    """librdkafka 2.16 asks for all topics with a count of four bytes where one belongs: three bytes are left over."""
    asked = int16(METADATA) + int16(13) + int32(7) + string("rdkafka") + b"\x00" + bytes.fromhex("00000000010000")
    with Connection(broker.bootstrap) as connection:
        connection.send_frame(asked)
        assert struct.unpack(">i", connection.receive_frame()[:4])[0] == 7


def test_acks_0_is_never_answered(broker, new_topic):
    topic = new_topic()
    with Connection(broker.bootstrap) as connection:
        for _ in range(3):
            connection.send(PRODUCE, 7, Connection.produce_body(topic, 0, GOOD, acks=0))
        # Were one of them answered, this reply would carry another correlation id. A broker that shows only what is on
        # disk may need a moment more.
        wait_until(lambda: connection.list_offset(topic, 0, -1)[2] == 6, 5)


def test_a_bad_batch_of_acks_0_ends_the_connection_or_is_dropped(broker, new_topic):
    topic = new_topic()
    with Connection(broker.bootstrap) as connection:
        connection.send(PRODUCE, 7, Connection.produce_body(topic, 0, BAD_RECORDS["wrong CRC"][0], acks=0))
        try:
            assert connection.list_offset(topic, 0, -1)[2] == 0
        except Closed:
            pass
