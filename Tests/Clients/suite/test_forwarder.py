"""A queue's forwarder to another cluster, where either side is killed: each message is there once."""

from __future__ import annotations

import json
import random
import time

import pytest

from harness.broker import Broker
from harness.http import call

pytestmark = pytest.mark.control

PARTITIONS = 3


@pytest.fixture
def pair(pytestconfig):
    binary = pytestconfig.getoption("--binary")
    there = Broker("millrace", binary)
    there.configuration = f"topics: {{arrivals: {{partitions: {PARTITIONS}}}}}\n"
    here = Broker("millrace", binary)
    here.configuration = f"""
queues: {{work: {{partitions: 2, dead_letter_queue: dead}}, dead: {{}}}}
forwarders:
  work: {{from: work, to: arrivals, cluster: {{bootstrap: "{there.bootstrap}"}}, batch: {{records: 50, window: 20ms}}}}
"""
    there.start()
    here.start()
    yield here, there
    for node in (here, there):
        node.stop()
        node.remove()


def lag(node: Broker) -> int:
    return call(node.http, "GET", "/stats", b"").json["forwarders"]["work"]["lag"]


def read(node: Broker) -> list[str]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    found = []
    for index in range(PARTITIONS):
        place = TopicPartition("arrivals", index, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        until = time.monotonic() + 60
        at = 0
        while at < end and time.monotonic() < until:
            message = consumer.poll(0.5)
            if message is not None and not message.error():
                found.append(message.value().decode())
                at = message.offset() + 1
    consumer.close()
    return found


def test_each_message_arrives_once_whichever_side_is_killed(pair):
    here, there = pair
    chance = random.Random(7)
    sent = []
    for turn in range(30):
        texts = [json.dumps({"number": turn * 20 + n}) for n in range(20)]
        reply = call(here.http, "POST", "/v1/queues/work/messages", ("[" + ",".join(texts) + "]").encode(), "application/json")
        assert reply.status == 201, reply.body
        sent += texts
        time.sleep(chance.random() * 0.15)
        if turn % 5 == 4:
            node = chance.choice(pair)
            node.kill()
            if node is there:
                time.sleep(0.3)
            node.start()
    until = time.monotonic() + 120
    while time.monotonic() < until and (len(read(there)) < len(sent) or lag(here) > 0):
        time.sleep(0.5)
    found = read(there)
    assert sorted(found) == sorted(sent)
    assert lag(here) == 0
