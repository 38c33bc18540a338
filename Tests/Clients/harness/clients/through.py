"""Values through the broker and back by one client, as its users write it, with options that say how the broker is reached."""

from __future__ import annotations

import asyncio
import time

# Above all values that the suites send; the clients' own limit is 1 MB.
LONGEST = 5_000_000


def confluent(options: dict, topic: str, values: list[bytes]) -> list[bytes]:
    from confluent_kafka import Consumer, Producer

    producer = Producer({**options, "message.max.bytes": str(LONGEST)})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0
    consumer = Consumer({**options, "group.id": f"g-{topic}", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found, deadline = [], time.monotonic() + 30
    while len(found) < len(values) and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and not message.error():
            found.append(message.value())
    consumer.close()
    return found


def kafka_python(options: dict, topic: str, values: list[bytes]) -> list[bytes]:
    from kafka import KafkaConsumer, KafkaProducer

    producer = KafkaProducer(max_request_size=LONGEST, **options)
    for value in values:
        producer.send(topic, value)
    producer.flush(20)
    producer.close()
    consumer = KafkaConsumer(topic, group_id=f"g-{topic}", auto_offset_reset="earliest", consumer_timeout_ms=15_000, **options)
    found = []
    for message in consumer:
        found.append(message.value)
        if len(found) == len(values):
            break
    consumer.close()
    return found


def aiokafka(options, topic: str, values: list[bytes]) -> list[bytes]:
    """`options` makes them: a context of TLS belongs to the loop that runs."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    async def run():
        own = options()
        producer = AIOKafkaProducer(max_request_size=LONGEST, **own)
        await producer.start()
        for value in values:
            await producer.send_and_wait(topic, value)
        await producer.stop()
        consumer = AIOKafkaConsumer(topic, auto_offset_reset="earliest", **own)
        await consumer.start()
        found = [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in values]
        await consumer.stop()
        return found

    return asyncio.run(run())
