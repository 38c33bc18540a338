"""Consumers of thousands of partitions, of which few have something at a time: each record comes, once and in its order."""

import random
import time

import pytest

from harness.clients.group import wait_until

PARTITIONS = 2000
WRITTEN = 200  # of them; each one costs an orderly stop of the shared node a file


def confluent(bootstrap: str, topic: str):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "many", "enable.auto.commit": False, "fetch.wait.max.ms": 5000})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])

    def poll():
        found = []
        for message in consumer.consume(500, 0.2):
            assert message.error() is None, message.error()
            found.append((message.partition(), message.offset(), message.value()))
        return found

    return poll, consumer.close


def kafka_python(bootstrap: str, topic: str):
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=5000)
    partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)

    def poll():
        return [(m.partition, m.offset, m.value) for batch in consumer.poll(200, 500).values() for m in batch]

    return poll, consumer.close


@pytest.mark.parametrize("client", [confluent, kafka_python])
def test_a_consumer_of_2000_partitions_misses_nothing(broker, new_topic, client, seed):
    from confluent_kafka import Producer

    chance, topic = random.Random(seed), new_topic(PARTITIONS)
    written = chance.sample(range(PARTITIONS), WRITTEN)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    poll, close = client(broker.bootstrap, topic)
    expected: dict[int, list[bytes]] = {}
    received: dict[int, list[bytes]] = {}
    number = 0

    def receive():
        for partition, offset, value in poll():
            mine = received.setdefault(partition, [])
            assert offset == len(mine), f"offset {offset} of partition {partition} came where {len(mine)} was due"
            mine.append(value)

    try:
        # Single records with pauses, crowds, and the same partition again and again.
        for burst in [1] * 60 + [300, 1, 1500] + [3] * 40:
            partitions = [chance.choice(written if burst != 3 else written[:5]) for _ in range(burst)]
            for partition in partitions:
                expected.setdefault(partition, []).append(b"%d" % number)
                producer.produce(topic, b"%d" % number, partition=partition)
                number += 1
            assert producer.flush(30) == 0
            receive()
            if chance.random() < 0.2:
                time.sleep(0.05)

        def all_is_here():
            receive()
            return sum(map(len, received.values())) >= number

        wait_until(all_is_here, 60)
        assert received == expected
    finally:
        close()
