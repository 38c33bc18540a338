"""Copies a topic in transactions, consume, transform, produce, commit the offsets, by two members of one group, while the broker,
the copiers, the writer of the source and a reader of the target are killed with kill -9 at random. In the end the target has
each record of the source once and nothing else, in each partition in the source's order; and no reader has ever been shown
anything else. `--broker kafka` runs Apache Kafka, to check the trial."""

from __future__ import annotations

import random
import subprocess
import sys
import time

from harness.broker import Broker, end_with_parent
from harness.loads.writers import Violation
from harness.transactions import patiently, shown
from harness.wire import Connection
from trials.command import FAILURES, SKIPPED, kafka_launcher, parser, remove_on_sigterm, say

SOURCE, TARGET, GROUP = "source", "target", "copiers"
PARTITIONS = 3
COPIERS = 2
SETTINGS = {"transaction.state.log.num.partitions": "4"}

# Writes numbers to the partitions in turn, by an idempotent producer. What is written twice, as a killed one does not know what it
# has written, is in the source twice, and is copied twice.
WRITE = """
import sys, time
from confluent_kafka import Producer

bootstrap, topic, partitions, first = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 120_000})
number = first
while True:
    for _ in range(10):
        producer.produce(topic, b"%d" % number, partition=number % partitions)
        number += 1
    producer.poll(0)
    time.sleep(0.03)
    while len(producer) > 1_000:
        producer.poll(0.1)
"""

# A member of the group. What fails ends the process: whoever starts it again begins at the committed offsets, as it does itself
# behind a transaction that it aborts.
COPY = """
import random, sys
from confluent_kafka import Consumer, Producer, KafkaException, OFFSET_BEGINNING

bootstrap, source, target, group, id, seed = sys.argv[1:]
chance = random.Random(int(seed))
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": id, "transaction.timeout.ms": 20_000, "linger.ms": 2})
producer.init_transactions(60)
consumer = Consumer({
    "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
    "isolation.level": "read_committed", "session.timeout.ms": 6_000, "heartbeat.interval.ms": 500})
changes = []
consumer.subscribe([source], on_assign=lambda *_: changes.append(1), on_revoke=lambda *_: changes.append(1))

def go_back():
    for one in consumer.committed(consumer.assignment(), 20):
        if one.offset < 0:
            one.offset = OFFSET_BEGINNING
        consumer.seek(one)

try:
    while True:
        changes.clear()
        messages = [one for one in consumer.consume(chance.randint(1, 60), 0.1) if not one.error()]
        if not messages:
            continue
        if changes:
            # What was consumed before the rebalance may be another member's.
            go_back()
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce(target, message.value() + b"!", partition=message.partition())
        positions = [one for one in consumer.position(consumer.assignment()) if one.offset >= 0]
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 20)
        if chance.random() < 0.1:
            producer.abort_transaction(20)
            go_back()
        else:
            producer.commit_transaction(20)
except KafkaException as failure:
    print(failure, file=sys.stderr)
    # So that the others need not wait until its session is over.
    consumer.close()
    sys.exit(5)
"""

# Reads the target as committed, and ends where it is shown a record twice, or out of its order.
READ = """
import sys
from confluent_kafka import Consumer, TopicPartition, OFFSET_BEGINNING

bootstrap, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "isolation.level": "read_committed"})
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
last = {}
while True:
    for message in consumer.consume(500, 0.2):
        if message.error():
            continue
        offset = last.get(message.partition(), -1)
        if message.offset() <= offset:
            sys.exit(f"partition {message.partition()}: offset {message.offset()} after {offset}")
        last[message.partition()] = message.offset()
        if not message.value().endswith(b"!"):
            sys.exit(f"{message.value()!r} is none of the copies")
"""


class Child:
    """A client in a process of its own."""

    def __init__(self, program: str, *arguments: str):
        self.program, self.arguments = program, arguments
        self.process: subprocess.Popen | None = None
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        self.process = subprocess.Popen([sys.executable, "-c", self.program, *self.command()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent)

    def command(self) -> list[str]:
        return list(self.arguments)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> str:
        """What it has said, unless it was said before."""
        if self.process is None:
            return ""
        self.process.kill()
        said = self.process.communicate()[1]
        self.process = None
        return said


class Copier(Child):
    def command(self) -> list[str]:
        return [*self.arguments, str(self.starts)]


class Writer(Child):
    """Each goes on with numbers of its own."""

    def command(self) -> list[str]:
        return [*self.arguments, str(self.starts * 10_000_000)]


def source_values(connection: Connection, partition: int) -> list[bytes]:
    return shown(connection, SOURCE, partition)


class Trial:
    def __init__(self, node: Broker, seed: int, seconds: float, say=lambda _: None):
        self.node, self.chance, self.seconds, self.say = node, random.Random(seed), seconds, say
        self.copiers = [Copier(COPY, node.bootstrap, SOURCE, TARGET, GROUP, f"copy-{number}") for number in range(COPIERS)]
        self.writer = Writer(WRITE, node.bootstrap, SOURCE, str(PARTITIONS))
        self.reader = Child(READ, node.bootstrap, TARGET, str(PARTITIONS))
        self.kills = {"node": 0, "copier": 0, "writer": 0, "reader": 0}
        self.failed_copies = 0

    def children(self) -> list[Child]:
        return [*self.copiers, self.writer, self.reader]

    def run(self) -> None:
        self.node.start()
        with Connection(self.node.bootstrap) as connection:
            for topic in (SOURCE, TARGET):
                connection.create_topic(topic, PARTITIONS)
        try:
            for child in self.children():
                child.start()
            self.kill_at_random()
            self.drain()
        finally:
            for child in self.children():
                child.kill()
        self.judge()

    def kill_at_random(self) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(0.3, 3))
            victim = self.chance.choice(["node", "copier", "copier", "writer", "reader"])
            self.kills[victim] += 1
            if victim == "node":
                # `send_offsets_to_transaction` of librdkafka waits without end when a node dies under it, Apache Kafka's too.
                self.node.kill()
                for copier in self.copiers:
                    copier.kill()
                if self.node.kind == "millrace" and self.chance.random() < 0.2:
                    self.node.start(wait=False)
                    self.node.die_at_start(self.chance)
                self.node.start()
            elif victim == "copier":
                self.chance.choice(self.copiers).kill()
            elif victim == "writer":
                self.writer.kill()
            else:
                self.expect_content(self.reader)
                self.reader.kill()
            self.start_ended()

    def expect_content(self, reader: Child) -> None:
        if reader.process is not None and reader.process.poll() is not None:
            raise Violation(f"the reader ended: {reader.kill()[-2000:]}")

    def start_ended(self) -> None:
        """Who was killed, and a copier whose transaction failed, begins again."""
        for child in self.children():
            if child.has_ended():
                if child is self.reader and child.process is not None:
                    self.expect_content(child)
                if isinstance(child, Copier) and child.process is not None:
                    self.failed_copies += 1
                child.kill()
                child.start()

    def drain(self) -> None:
        """Nothing is written any more: all of it is to be copied."""
        self.writer.kill()
        self.writer.process = None
        deadline = time.monotonic() + 120
        with Connection(self.node.bootstrap) as connection:
            wanted = [len(source_values(connection, partition)) for partition in range(PARTITIONS)]
            if not all(wanted):
                raise Violation(f"the writer has written nothing: {wanted}")
            while True:
                found = [len(shown(connection, TARGET, partition)) for partition in range(PARTITIONS)]
                if all(have >= want for have, want in zip(found, wanted)):
                    break
                if time.monotonic() > deadline:
                    raise Violation(f"copied {found} of {wanted} records: the copying is stuck")
                time.sleep(0.5)
                self.expect_content(self.reader)
                for copier in self.copiers:
                    if copier.has_ended():
                        self.failed_copies += 1
                        copier.kill()
                        copier.start()
        # What would come twice comes now.
        time.sleep(1)
        self.expect_content(self.reader)

    def judge(self) -> None:
        copied = 0
        with Connection(self.node.bootstrap) as connection:
            for partition in range(PARTITIONS):
                expected = [value + b"!" for value in source_values(connection, partition)]
                found = patiently(lambda: shown(connection, TARGET, partition), lambda values: len(values) < len(expected))
                if found != expected:
                    raise Violation(f"partition {partition}: {describe(found, expected)}")
                copied += len(found)
        if min(self.kills.values()) == 0 and self.seconds >= 60:
            raise Violation(f"the trial has shown little: {self.kills}")
        self.say(f"{copied} records copied once each; killed: {self.kills}; copies that failed and began again: {self.failed_copies}")


def describe(found: list[bytes], expected: list[bytes]) -> str:
    """The first place where they differ."""
    for place, (have, want) in enumerate(zip(found, expected)):
        if have != want:
            kind = "comes twice" if have in found[:place] else "is lost" if want not in found else "is out of order"
            which = have if kind == "comes twice" else want
            return f"record {place} of {len(found)}: {which!r} {kind}"
    return f"{len(found)} records in place of {len(expected)}"


def main() -> int:
    arguments = parser("exactly-once-test", __doc__, seeded=True)
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--broker", choices=["millrace", "kafka"], default="millrace")
    options = arguments.parse_args()
    remove_on_sigterm()
    program = options.binary if options.broker == "millrace" else kafka_launcher()
    if not program:
        return SKIPPED
    node = exactly_once_node(options.broker, program)
    try:
        Trial(node, options.seed, options.minutes * 60, say).run()
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe data is in {node.folder}")
        node.owns_folder = False
        return 1
    finally:
        node.remove()
    say(f"passed: {options.minutes:g} minutes, seed {options.seed}")
    return 0


def exactly_once_node(kind: str, program: str) -> Broker:
    return Broker(kind, program, SETTINGS)


if __name__ == "__main__":
    sys.exit(main())
