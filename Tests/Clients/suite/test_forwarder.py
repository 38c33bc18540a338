"""A queue's forwarder to another cluster, of ours and of Apache Kafka, where either side is killed: each message is there once."""

from __future__ import annotations

import json
import os
import random
import time

import pytest

from harness.broker import Broker
from harness.http import call

pytestmark = pytest.mark.control

PARTITIONS = 3
TURNS, MESSAGES = 30, 100  # of a turn


@pytest.fixture(params=["millrace", "kafka"])
def pair(pytestconfig, request):
    binary = pytestconfig.getoption("--binary")
    if request.param == "kafka" and "MILLRACE_KAFKA" not in os.environ:
        pytest.skip("MILLRACE_KAFKA is not set: no Apache Kafka")
    there = Broker(request.param, binary if request.param == "millrace" else os.environ["MILLRACE_KAFKA"])
    here = Broker("millrace", binary)
    here.configuration = f"""
queues: {{jobs: {{partitions: 2, dead_letter_queue: dead}}, dead: {{}}}}
forwarders:
  jobs: {{from: jobs, to: arrivals, cluster: {{bootstrap: "{there.bootstrap}"}}, batch: {{records: 50, window: 20ms}}}}
"""
    there.start()
    create(there)
    here.start()
    yield here, there
    for node in (here, there):
        node.stop()
        node.remove()


def create(node: Broker) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    made = AdminClient({"bootstrap.servers": node.bootstrap}).create_topics([NewTopic("arrivals", PARTITIONS, 1)])
    made["arrivals"].result(timeout=30)


def lag(node: Broker) -> int:
    return call(node.http, "GET", "/stats", b"").json["forwarders"]["jobs"]["lag"]


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
    for turn in range(TURNS):
        texts = [json.dumps({"number": turn * MESSAGES + n}) for n in range(MESSAGES)]
        reply = call(here.http, "POST", "/v1/queues/jobs/messages", ("[" + ",".join(texts) + "]").encode(), "application/json")
        assert reply.status == 201, reply.body
        sent += texts
        time.sleep(chance.random() * 0.15)
        if turn % 5 == 4:
            # Each of them, in turns, so that neither is left out.
            node = pair[turn // 5 % 2]
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
