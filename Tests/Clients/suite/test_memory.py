"""Bad input over both edges costs the process no memory that it keeps. What each is answered is tested in test_bad_frames.py, and
by BadRequestTests in Swift; resident memory needs a process that nobody else works in."""

import time

import pytest

from conftest import program
from harness.broker import Broker
from harness.http import Connection as HTTPConnection, call
from harness.wire import PRODUCE, Connection, int16, int32
from test_bad_frames import BAD_FRAMES, BAD_RECORDS
from trials import idle

MIB = 1 << 20
BOUND = 48 * MIB

JSON = "application/json"
POST = "POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"

# One for each way in which a request's end cannot be known, or is not worth waiting for.
BAD_REQUESTS = [
    POST + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + "Content-Length: +2\r\n\r\n{}", POST + "Transfer-Encoding: gzip\r\n\r\n{}", POST + "X A: b\r\n\r\n", POST + "X-A: b\r\n c\r\n\r\n",
    POST.replace("\r\n", "\n") + "\n", POST.replace("1.1", "2.0") + "\r\n", POST.replace("POST", "BREW") + "\r\n", POST + f"Content-Length: {17 * MIB}\r\n\r\n",
    CHUNKED + "xyz\r\n{}\r\n0\r\n\r\n", CHUNKED + "2\r\n{}0\r\n\r\n", CHUNKED + "fffffffffffffffff2\r\n{}",
    "GET /" + "x" * 9_000, "GET / HTTP/1.1\r\nX: " + "x" * 9_000, "GET / HTTP/1.1\r\n" + "X: y\r\n" * 200,
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 50 + "\r\n\r\n",
]
BAD_BODIES = [b'{"a":1', b'{"a":1,}', b'{"a":"\\x"}', b'{"a":1} x', b'{"a":"\xff"}', b'{"a":' * 1000, b"  \n "]


@pytest.fixture
def measured(broker):
    """The node, when its memory can be bounded: one of ours, not a Java heap (which 200 announced frames exhaust)."""
    if not isinstance(broker, Broker) or broker.kind != "millrace":
        pytest.skip("resident memory is bounded for a Millrace that this suite started")
    return broker


def test_announced_frames_cost_nothing(measured):
    """200 peers announce 90 MB each and send a little: memory is for what arrived."""
    before = measured.resident_bytes()
    connections = [Connection(measured.bootstrap) for _ in range(200)]
    try:
        for connection in connections:
            connection.socket.sendall(int32(90_000_000) + int16(PRODUCE) + int16(7) + int32(1) + b"\x00" * 1000)
        with Connection(measured.bootstrap) as other:
            assert other.metadata([]).brokers
        assert measured.resident_bytes() - before < BOUND
    finally:
        for connection in connections:
            connection.socket.close()


def test_announced_bodies_cost_nothing(measured, new_topic):
    topic, before = new_topic(), measured.resident_bytes()
    connections = [HTTPConnection(measured.http) for _ in range(150)]
    try:
        for connection in connections:
            connection.send((POST.format(topic=topic) + f"Content-Length: {15 * MIB}\r\n\r\n").encode() + b"[" + b" " * 1000)
        assert call(measured.http, "GET", "/healthz").status == 200
        assert measured.resident_bytes() - before < BOUND
    finally:
        for connection in connections:
            connection.socket.close()


def test_a_large_record_is_read_in_pieces(measured, new_topic):
    """Its text is six times its size: 120 MB, of which the node must hold little."""
    from confluent_kafka import Producer

    name, size = new_topic(1, **{"max.message.bytes": str(30 * MIB)}), 20 * MIB
    producer = Producer({"bootstrap.servers": measured.bootstrap, "message.max.bytes": 25 * MIB})
    producer.produce(name, b"\x01" * size)
    assert producer.flush(30) == 0
    call(measured.http, "GET", "/healthz")
    before = measured.resident_bytes()
    with HTTPConnection(measured.http, timeout=60) as connection:
        connection.send(f"GET /v1/topics/{name}/records HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.5)  # nobody reads meanwhile
        during = measured.resident_bytes()
        reply = connection.receive()
    assert reply.status == 200
    [record] = reply.json["records"]
    assert record["value"] == "\x01" * size and reply.json["next_offset"] == 1
    # The batch, and a bounded part of its text.
    assert during - before < size + BOUND
    assert measured.resident_bytes() - before < size + BOUND


def test_bad_frames_leave_nothing(measured, new_topic):
    topic = new_topic()
    for repetitions in (20, 60):
        # The first round warms what a node keeps on purpose.
        before = measured.resident_bytes()
        for _ in range(repetitions):
            for frame in BAD_FRAMES.values():
                with Connection(measured.bootstrap) as connection:
                    connection.socket.sendall(frame)
            with Connection(measured.bootstrap) as connection:
                for records, _codes in BAD_RECORDS.values():
                    connection.produce(topic, 0, records)
    assert measured.resident_bytes() - before < BOUND


def test_bad_requests_leave_nothing(measured, new_topic):
    topic = new_topic()
    for repetitions in (10, 80):
        before = measured.resident_bytes()
        for _ in range(repetitions):
            for text in BAD_REQUESTS:
                with HTTPConnection(measured.http) as connection:
                    connection.send(text.replace("{topic}", topic).encode("latin-1"))
            with HTTPConnection(measured.http) as connection:
                for body in BAD_BODIES:
                    assert connection.request("POST", f"/v1/topics/{topic}/events", body, {"Content-Type": JSON}).status == 400
    assert measured.resident_bytes() - before < BOUND
    with Connection(measured.bootstrap) as connection:
        assert connection.list_offset(topic, 0, -1)[2] == 0, "something was appended"


@pytest.mark.gateway
@pytest.mark.control
@pytest.mark.parametrize("kind", idle.LIMITS)
def test_an_idle_connection_holds_little(pytestconfig, kind):
    """The short form of tools/idle-test."""
    if idle.allowed_connections() < 1_000:
        pytest.skip("`ulimit -n` is too low for 1,000 connections")
    idle.run(program(pytestconfig), [kind], 1_000, print)
