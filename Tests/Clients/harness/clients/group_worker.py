"""One member of a consumer group, as a program of its own so that a test can kill it.

    group_worker.py --client confluent-kafka|kafka-python|aiokafka --bootstrap HOST:PORT --group G --topic T ...

Writes one JSON list a line to standard output and flushes it at once:
    ["assigned", [partitions]]    ["revoked", [partitions]]    ["records", partition, [[offset, value], ...]]
    ["committing", {partition: offset}]    ["committed", {partition: offset}]    ["left"]
Offsets are committed synchronously after each batch of records, and before partitions are given up. SIGTERM leaves in order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import threading
import time

stopping = threading.Event()
print_lock = threading.Lock()


def tell(*event) -> None:
    with print_lock:
        print(json.dumps(event), flush=True)


def run_confluent(options) -> None:
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    settings = {
        "bootstrap.servers": options.bootstrap, "group.id": options.group, "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "session.timeout.ms": options.session_ms, "heartbeat.interval.ms": options.session_ms // 6,
        "partition.assignment.strategy": options.strategy, "fetch.wait.max.ms": 100}
    if options.protocol == "consumer":
        # These are the broker's to say there.
        for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
            del settings[name]
        settings["group.protocol"] = "consumer"
        if options.assignor:
            settings["group.remote.assignor"] = options.assignor
    if options.instance:
        settings["group.instance.id"] = options.instance
    consumer = Consumer(settings)
    pending: dict[int, int] = {}

    def commit() -> None:
        if not pending:
            return
        tell("committing", pending)
        try:
            consumer.commit(offsets=[TopicPartition(options.topic, p, o) for p, o in pending.items()], asynchronous=False)
            tell("committed", pending)
        except KafkaException as error:
            tell("commit refused", str(error))
        pending.clear()

    def revoked(_, partitions) -> None:
        commit()
        tell("revoked", sorted(p.partition for p in partitions))

    def lost(_, partitions) -> None:
        pending.clear()
        tell("revoked", sorted(p.partition for p in partitions))

    consumer.subscribe([options.pattern or options.topic], on_assign=lambda _, ps: tell("assigned", sorted(p.partition for p in ps)), on_revoke=revoked, on_lost=lost)
    while not stopping.is_set():
        for message in consumer.consume(options.batch, 0.2):
            if message.error():
                tell("error", str(message.error()))
                continue
            tell("records", message.partition(), [[message.offset(), message.value().decode()]])
            pending[message.partition()] = message.offset() + 1
        if not options.no_commit:
            commit()
        time.sleep(options.pause)
    consumer.close()


def run_kafka_python(options) -> None:
    from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.errors import KafkaError

    consumer = KafkaConsumer(
        bootstrap_servers=options.bootstrap, group_id=options.group, enable_auto_commit=False, auto_offset_reset="earliest",
        session_timeout_ms=options.session_ms, heartbeat_interval_ms=options.session_ms // 6, max_poll_records=options.batch,
        partition_assignment_strategy=[RangePartitionAssignor], fetch_max_wait_ms=100, group_instance_id=options.instance)
    # Known before the join: kafka-python 3.0.12 stops for good, heartbeats included, when the topic's first metadata comes
    # amid a rebalance (one join of ten against Apache Kafka, too).
    while not consumer.partitions_for_topic(options.topic):
        time.sleep(0.1)
    pending: dict[int, int] = {}

    def commit() -> None:
        if not pending:
            return
        tell("committing", pending)
        try:
            consumer.commit({TopicPartition(options.topic, p): OffsetAndMetadata(o, "", -1) for p, o in pending.items()})
            tell("committed", pending)
        except KafkaError as error:
            tell("commit refused", repr(error))
        pending.clear()

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            # kafka-python 3.0.12 forgets why it joins once it has made the assignment, where new metadata was the reason: a poll that ends
            # before the answer to SyncGroup is then the last one to look for it, and the member stops for good, heartbeats included.
            consumer._coordinator.request_rejoin()
            commit()
            tell("revoked", sorted(p.partition for p in revoked))

        def on_partitions_assigned(self, assigned):
            tell("assigned", sorted(p.partition for p in assigned))

    consumer.subscribe([options.topic], listener=Listener())
    while not stopping.is_set():
        for tp, messages in consumer.poll(timeout_ms=200).items():
            tell("records", tp.partition, [[m.offset, m.value.decode()] for m in messages])
            pending[tp.partition] = messages[-1].offset + 1
        if not options.no_commit:
            commit()
        time.sleep(options.pause)
    consumer.close()


async def run_aiokafka(options) -> None:
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.errors import KafkaError

    consumer = AIOKafkaConsumer(
        bootstrap_servers=options.bootstrap, group_id=options.group, enable_auto_commit=False, auto_offset_reset="earliest",
        session_timeout_ms=options.session_ms, heartbeat_interval_ms=options.session_ms // 6, max_poll_records=options.batch,
        partition_assignment_strategy=[RangePartitionAssignor], fetch_max_wait_ms=100, group_instance_id=options.instance)
    pending: dict[int, int] = {}
    busy = asyncio.Lock()

    async def commit() -> None:
        if not pending:
            return
        tell("committing", pending)
        try:
            await consumer.commit({TopicPartition(options.topic, p): o for p, o in pending.items()})
            tell("committed", pending)
        except KafkaError as error:
            tell("commit refused", repr(error))
        pending.clear()

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            async with busy:
                await commit()
                tell("revoked", sorted(p.partition for p in revoked))

        async def on_partitions_assigned(self, assigned):
            tell("assigned", sorted(p.partition for p in assigned))

    consumer.subscribe([options.topic], listener=Listener())
    await consumer.start()
    while not stopping.is_set():
        # Without the lock: while a rebalance is under way this may wait for its end, which comes after `on_partitions_revoked`. It gives
        # records only while none is, and they are told without a pause in between.
        for tp, messages in (await consumer.getmany(timeout_ms=100)).items():
            tell("records", tp.partition, [[m.offset, m.value.decode()] for m in messages])
            pending[tp.partition] = messages[-1].offset + 1
        async with busy:
            if not options.no_commit:
                await commit()
        await asyncio.sleep(options.pause)
    await consumer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", required=True, choices=["confluent-kafka", "kafka-python", "aiokafka"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--instance")
    parser.add_argument("--protocol", default="classic", choices=["classic", "consumer"])
    parser.add_argument("--assignor", help="of the consumer protocol, by the broker")
    parser.add_argument("--pattern", help="subscribe by it instead of the topic's name")
    parser.add_argument("--session-ms", type=int, default=6000)
    parser.add_argument("--strategy", default="range")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between batches")
    parser.add_argument("--no-commit", action="store_true", help="commit only when partitions are given up")
    options = parser.parse_args()
    # To standard error, which a failed test shows the end of.
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d ms %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    if options.client == "confluent-kafka":
        run_confluent(options)
    elif options.client == "kafka-python":
        run_kafka_python(options)
    else:
        asyncio.run(run_aiokafka(options))
    tell("left")


if __name__ == "__main__":
    main()
