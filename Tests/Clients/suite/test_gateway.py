"""Events go in by HTTP and come out of ordinary Kafka clients: the same bytes, once each, in order per partition. What needs no such
client (reading back, typed events, refusals, health) is tested by IngestGatewayTests in Swift."""

import json
import random

import pytest

from harness.clients.drivers import DRIVERS
from harness.http import Connection, call
from harness.wire import Connection as KafkaConnection

pytestmark = pytest.mark.gateway

PARTITIONS = 3
JSON, NDJSON = "application/json", "application/x-ndjson"


def events(count: int, seed: int = 1) -> list[bytes]:
    """JSON objects that only a gateway which keeps bytes as they are gives back unchanged."""
    chance = random.Random(seed)
    odd = [
        b'{}', b'{"a":1}', b'{ "spaces" :  [ 1 , 2 ] , "tab":\t"x" }', b'{"n":1.0,"m":1e5,"big":12345678901234567890123456789}', b'{"n":-0.0}',
        '{"ž":"žluťoučký kůň 🐎"}'.encode(), b'{"escaped":"\\u017elu\\u0165 \\ud83d\\udc0e \\/ \\b\\f\\n\\r\\t \\"q\\" \\\\"}',
        b'{"z":1,"a":2,"m":3}', b'{"nested":{"a":[{"b":[[],{},[null,true,false]]}]}}', b'{"empty":"","":"empty name"}', b'{"long":"' + b"x" * 50_000 + b'"}']
    plain = [b'{"id":%d,"vehicle":"CAR-%03d","speed":%d.%d,"note":"%s"}' % (n, n % 100, chance.randrange(200), chance.randrange(10), b"n" * chance.randrange(300)) for n in range(count - len(odd))]
    return odd + plain


def elements(array: bytes) -> list[bytes]:
    """The bytes of each element of a JSON array, as they stand there."""
    text = array.decode()
    decoder, found, at = json.JSONDecoder(), [], text.index("[") + 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return found
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].encode())
        at = end


def post(broker, topic: str, body: bytes, content_type: str, **fields) -> list[dict]:
    reply = call(broker.http, "POST", f"/v1/topics/{topic}/events?results=all", body, content_type, **fields)
    assert reply.status == 201, reply.body[:500]
    answer = reply.json
    assert answer["rejected"] == 0 and answer["accepted"] == len(answer["results"])
    assert [r["index"] for r in answer["results"]] == list(range(len(answer["results"])))
    assert all(r["topic"] == topic for r in answer["results"])
    return answer["results"]


def check_consumed(broker, topic: str, sent: list[bytes], results: list[dict], clients=tuple(DRIVERS)) -> None:
    """Every event at the place that its reply named, nothing else there, in the order of sending."""
    assert len(sent) == len(results)
    expected = {(r["partition"], r["offset"]): event for r, event in zip(results, sent)}
    assert len(expected) == len(sent), "two events were told the same place"
    for partition, told in by_partition_and_offset(results).items():
        assert told == sorted(told), f"partition {partition}: later events were given earlier offsets"
    for name in clients:
        received = DRIVERS[name].consume(broker.bootstrap, topic, PARTITIONS)
        found = {(r.partition, r.offset): r.value for r in received}
        assert len(received) == len(found) == len(expected), f"{name}: {len(received)} records for {len(expected)} events"
        assert found == expected, f"{name}: the bytes differ"


def by_partition_and_offset(results) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for result in results:
        places.setdefault(result["partition"], []).append(result["offset"])
    return places


# MARK: The same bytes


def test_single_events_come_out_byte_identical(broker, new_topic):
    topic, sent = new_topic(PARTITIONS), events(60)
    check_consumed(broker, topic, sent, [post(broker, topic, event, JSON)[0] for event in sent])


@pytest.mark.parametrize("between", [b",", b" ,\r\n\t"], ids=["dense", "with white space"])
def test_the_events_of_an_array_come_out_byte_identical(broker, new_topic, between):
    topic, sent = new_topic(PARTITIONS), events(500)
    check_consumed(broker, topic, sent, post(broker, topic, b" [\n" + between.join(sent) + b"\n] ", JSON))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_ndjson_lines_come_out_byte_identical(broker, new_topic, end):
    topic, sent = new_topic(PARTITIONS), events(500)
    check_consumed(broker, topic, sent, post(broker, topic, end.join(sent) + end, NDJSON))


def test_ndjson_without_a_last_line_end_and_with_empty_lines(broker, new_topic):
    topic, sent = new_topic(PARTITIONS), events(30)
    check_consumed(broker, topic, sent, post(broker, topic, b"\n\n".join(sent), NDJSON), clients=["confluent-kafka"])


def test_real_webhooks_come_out_byte_identical(broker, new_topic, sample_data):
    import zstandard

    with open(sample_data / "github-webhooks.ndjson.zst", "rb") as file:
        body = zstandard.ZstdDecompressor().stream_reader(file).read()
    sent = body.splitlines()
    together, apart = new_topic(PARTITIONS), new_topic(PARTITIONS)
    check_consumed(broker, together, sent, post(broker, together, body, NDJSON))
    check_consumed(broker, apart, sent, [post(broker, apart, line, JSON)[0] for line in sent])


def test_real_flights_come_out_byte_identical(broker, new_topic, sample_data):
    body = (sample_data / "flights-20k.json").read_bytes()
    sent = elements(body)
    assert len(sent) == 20_000
    topic = new_topic(PARTITIONS)
    check_consumed(broker, topic, sent, post(broker, topic, body, JSON))


def test_chunked_bodies_however_they_are_cut(broker, new_topic):
    topic, sent = new_topic(PARTITIONS), events(40)
    body = b"\n".join(sent) + b"\n"
    results = []
    for size in (1, 7, 1000, len(body)):
        if size == 1:
            content = b"\n".join(sent[:8]) + b"\n"
        else:
            content = body
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(content[n : n + size]), content[n : n + size]) for n in range(0, len(content), size))
        with Connection(broker.http) as connection:
            connection.send(f"POST /v1/topics/{topic}/events?results=all HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
            reply = connection.receive()
            assert reply.status == 201, reply.body
            results += reply.json["results"]
    check_consumed(broker, topic, sent[:8] + 3 * sent, results, clients=["confluent-kafka"])


def test_requests_byte_by_byte_and_pipelined(broker, new_topic):
    topic = new_topic(PARTITIONS)
    sent = events(20)[:8]
    requests = [f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(e)}\r\n\r\n".encode() + e for e in sent]
    results = []
    with Connection(broker.http) as connection:
        for byte in requests[0]:
            connection.send(bytes([byte]))
        results.append(connection.receive().json["results"][0])
        connection.send(b"".join(requests[1:]))
        for _ in requests[1:]:
            results.append(connection.receive().json["results"][0])
    check_consumed(broker, topic, sent, results, clients=["aiokafka"])


# MARK: Keys and partitions


def test_a_partition_key_becomes_the_record_key_and_chooses_the_partition(broker, new_topic):
    """As Kafka's own partitioner chooses it, so that a keyed producer and the gateway agree."""
    from confluent_kafka import Producer

    topic = new_topic(PARTITIONS)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2"})
    chosen = {}
    for n in range(20):
        key = f"CAR-{n:03d}"
        results = post(broker, topic, b'[{"n":1},{"n":2}]', JSON, Partition_Key=key)
        assert len({r["partition"] for r in results}) == 1
        chosen[key] = results[0]["partition"]
        producer.produce(topic, b"by key", key, on_delivery=lambda error, m, key=key: chosen.__setitem__(f"kafka {key}", m.partition()))
    assert producer.flush(20) == 0
    assert {k: v for k, v in chosen.items() if not k.startswith("kafka")} == {k[6:]: v for k, v in chosen.items() if k.startswith("kafka")}
    assert len(set(chosen.values())) == PARTITIONS
    keys = {r.key for r in DRIVERS["kafka-python"].consume(broker.bootstrap, topic, PARTITIONS)}
    assert keys == {b"CAR-%03d" % n for n in range(20)}


def test_the_records_are_kafka_records_like_any_other(broker, new_topic):
    topic = new_topic(PARTITIONS)
    [result] = post(broker, topic, b'{"a":1}', JSON)
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, topic, [])
    with KafkaConnection(broker.bootstrap) as connection:
        assert connection.list_offset(topic, result["partition"], -1)[2] == result["offset"] + 1
    [record] = DRIVERS["kcat"].consume(broker.bootstrap, topic, PARTITIONS)
    assert abs(record.timestamp / 1000 - __import__("time").time()) < 60


def test_accepted_events_survive_kill_9(new_broker, tmp_path):
    from conftest import create_topic

    node = new_broker()
    topic = create_topic(node.bootstrap, "durable", PARTITIONS)
    sent = events(200)
    results = post(node, topic, b"\n".join(sent), NDJSON)
    node.kill()
    node.start()
    check_consumed(node, topic, sent, results, clients=["confluent-kafka"])


# MARK: A use case, by its own curl line


def test_webhook_events_are_enriched_and_kept_verbatim(broker):
    """U2: POST /events, with event_id and received_at added beside the event, not inside it."""
    sent = events(20)
    ids = {}
    for event in sent:
        reply = call(broker.http, "POST", "/events", event, JSON)
        assert reply.status in (200, 201, 202), reply.body
        result = reply.json["results"][0] if "results" in reply.json else reply.json
        ids[result["event_id"]] = (result["topic"], result["partition"], result["offset"], event)
        assert reply.json["request_id"]
    assert len(ids) == len(sent)
    topic = next(iter(ids.values()))[0]
    with KafkaConnection(broker.bootstrap) as connection:
        partitions = len(connection.metadata([topic]).topics[topic][1])
    found = {dict(r.headers).get("event_id"): r for r in DRIVERS["confluent-kafka"].consume(broker.bootstrap, topic, partitions)}
    for event_id, (_, partition, offset, event) in ids.items():
        record = found[event_id.encode()]
        assert (record.partition, record.offset, record.value) == (partition, offset, event)
        assert dict(record.headers)["received_at"]
