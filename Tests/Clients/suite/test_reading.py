"""Reading back over HTTP: streams that go on where they were cut off, also over a restart of the broker; groups that are read by HTTP and by Kafka's
clients in turns; streams by HTTP/2. What each parameter does is tested in Swift (AllPartitionsTests, StreamTests, GroupReadTests)."""

import json
import threading

import confluent_kafka
import httpx
import pytest

from harness.http import call

pytestmark = pytest.mark.gateway


def post(broker, topic: str, numbers) -> None:
    for number in numbers:
        reply = call(broker.http, "POST", f"/v1/topics/{topic}/events", json.dumps({"n": number}).encode(), "application/json")
        assert reply.status == 201, reply.text


def events(lines):
    """Events with data, as a browser takes them from lines."""
    last_id, data, kind = None, [], "message"
    for line in lines:
        if line.startswith("id: "):
            last_id = line[4:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif line.startswith("event: "):
            kind = line[7:]
        elif not line:
            if data:
                yield last_id, kind, json.loads("\n".join(data))
            data, kind = [], "message"


def read(broker, topic: str, count: int, last_id: str | None = None, **client) -> tuple[list[int], str]:
    """`count` numbers of a stream, and the id of the last."""
    fields = {"Last-Event-ID": last_id} if last_id else {}
    found = []
    with httpx.Client(base_url=f"http://{broker.http}", timeout=30, **client) as session:
        with session.stream("GET", f"/v1/topics/{topic}/stream?from=earliest", headers=fields) as reply:
            assert reply.status_code == 200
            for event_id, kind, record in events(reply.iter_lines()):
                if kind == "end":
                    break
                found.append(record["value"]["n"])
                last_id = event_id
                if len(found) == count:
                    break
    return found, last_id


def test_a_stream_goes_on_over_restarts(new_broker):
    broker = new_broker()
    topic = "restarted"
    found, last_id, posted = [], None, 0
    for round_ in range(4):
        post(broker, topic, range(posted, posted + 25))
        posted += 25
        some, last_id = read(broker, topic, 10 + round_, last_id)
        found += some
        if round_ % 2:
            broker.kill()
        else:
            broker.stop()
        broker.start()
    while len(found) < posted:
        some, last_id = read(broker, topic, min(7, posted - len(found)), last_id)
        assert some
        found += some
    assert found == list(range(posted))


def test_a_stop_ends_streams_with_a_reason(new_broker):
    broker = new_broker()
    post(broker, "stopped", range(3))
    ended = []

    def follow():
        with httpx.stream("GET", f"http://{broker.http}/v1/topics/stopped/stream?from=earliest", timeout=30) as reply:
            for _, kind, data in events(reply.iter_lines()):
                seen.set()
                if kind == "end":
                    ended.append(data["reason"])

    seen = threading.Event()
    thread = threading.Thread(target=follow)
    thread.start()
    assert seen.wait(20)
    broker.stop()
    thread.join(20)
    assert ended == ["stopping"]


def test_by_http2(broker, new_topic):
    topic = new_topic()
    post(broker, topic, range(20))
    found, last_id = read(broker, topic, 12, http1=False, http2=True)
    rest, _ = read(broker, topic, 8, last_id, http1=False, http2=True)
    assert found + rest == list(range(20))


def consumer(broker, group: str) -> confluent_kafka.Consumer:
    return confluent_kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )


def consume(reader: confluent_kafka.Consumer, count: int) -> list[int]:
    found = []
    for _ in range(60):
        found += [json.loads(message.value())["n"] for message in reader.consume(count - len(found), timeout=1) if not message.error()]
        if len(found) == count:
            return found
    pytest.fail(f"{len(found)} of {count} records came")


def test_a_group_is_handed_over_and_back(broker, new_topic):
    topic, group = new_topic(), "http-and-kafka"
    post(broker, topic, range(60))
    # By HTTP: two pages are read, and the second request has said that the first is done.
    first = call(broker.http, "GET", f"/v1/topics/{topic}/records?group={group}&limit=20").json
    second = call(broker.http, "GET", f"/v1/topics/{topic}/records?group={group}&limit=20&from={first['next']}").json
    assert [record["value"]["n"] for record in first["records"] + second["records"]] == list(range(40))
    # By Kafka: it goes on behind what was acknowledged.
    reader = consumer(broker, group)
    reader.subscribe([topic])
    assert consume(reader, 25) == list(range(20, 45))
    # While it has members the group's offsets are theirs.
    refused = call(broker.http, "GET", f"/v1/topics/{topic}/records?group={group}&from={second['next']}")
    assert refused.status == 409 and refused.json["code"] == "group_in_use"
    reader.commit(offsets=[confluent_kafka.TopicPartition(topic, 0, 45)], asynchronous=False)
    reader.close()
    # And back.
    third = call(broker.http, "GET", f"/v1/topics/{topic}/records?group={group}").json
    assert [record["value"]["n"] for record in third["records"]] == list(range(45, 60))
