"""kill -9 at random moments under load, again and again; then every promise is checked against what clients were told.

Load: idempotent `acks=all` producers (librdkafka) that outlive the node and send again what was not answered, HTTP
clients that post events and never send twice, and a consumer group's offset commits. Promises:

1. What was acknowledged is at the partition and offset that the acknowledgement named, byte for byte.
2. No record is there twice, and each producer's records stand in the order in which they were sent.
3. Offsets are contiguous from 0; what a reader has seen stays as it was.
4. An idempotent producer gets everything acknowledged in the end: no fatal error, nothing given up.
5. A committed offset is never behind the last acknowledged commit.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time

from .broker import Broker

PRODUCED, POSTED = "killed-produced", "killed-posted"
PARTITIONS = 3
IN_FLIGHT = 400  # records of one producer waiting for their acknowledgement


class Violation(AssertionError):
    """A promise was broken."""


def body(author: str, number: int) -> bytes:
    """A record's value, from its identity alone: JSON of some ten bytes to 100 KB."""
    shape = random.Random(f"{author}/{number}")
    size = shape.choice([0, 10, 100, 100, 900, 900, 5_000]) if shape.random() > 0.01 else 100_000
    return b'{"author":"%s","number":%d,"filling":"%s"}' % (author.encode(), number, (b"%d." % number * size)[:size])


def identity(value: bytes) -> tuple[str, int]:
    parsed = json.loads(value)
    return parsed["author"], parsed["number"]


class Load:
    """Something that runs through all rounds. `acknowledged` maps (topic, partition, offset) to the record's identity."""

    def __init__(self, name: str):
        self.name = name
        self.acknowledged: dict[tuple[str, int, int], tuple[str, int]] = {}
        self.lock = threading.Lock()
        self.problems: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def _guarded(self) -> None:
        try:
            self.run()
        except Exception as error:  # a thread's exception would be lost otherwise
            self.problems.append(f"{self.name}: {error!r}")

    def acknowledge(self, topic: str, partition: int, offset: int, who: tuple[str, int]) -> None:
        with self.lock:
            before = self.acknowledged.setdefault((topic, partition, offset), who)
        if before != who:
            self.problems.append(f"{topic}-{partition} offset {offset} was acknowledged to {before} and to {who}")

    def snapshot(self) -> dict:
        with self.lock:
            return dict(self.acknowledged)

    def progress(self) -> int:
        return len(self.acknowledged)

    def run(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(130)
        if self.thread.is_alive():
            self.problems.append(f"{self.name} did not end")


class IdempotentProducer(Load):
    def __init__(self, name: str, bootstrap: str, codec: str, in_flight: int):
        super().__init__(name)
        from confluent_kafka import Producer

        self.sent = 0
        self.answered = 0
        self.fatal: list[str] = []
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 2, "compression.type": codec,
            "message.timeout.ms": 600_000, "max.in.flight.requests.per.connection": in_flight, "retry.backoff.ms": 20, "retry.backoff.max.ms": 100,
            "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "error_cb": self._error, "log_level": 2})

    def _error(self, error) -> None:
        if error.fatal():
            self.problems.append(f"{self.name}: fatal: {error}")

    def _delivered(self, number: int):
        def delivered(error, message) -> None:
            self.answered += 1
            if error:
                self.problems.append(f"{self.name}: record {number} was given up: {error}")
            else:
                self.acknowledge(message.topic(), message.partition(), message.offset(), (self.name, number))
        return delivered

    def run(self) -> None:
        while not self.stopping.is_set() and not self.problems:
            if self.sent - self.answered < IN_FLIGHT:
                self.producer.produce(PRODUCED, body(self.name, self.sent), partition=self.sent % PARTITIONS, on_delivery=self._delivered(self.sent))
                self.sent += 1
                if self.sent % 20 == 0:
                    time.sleep(0.02)
            self.producer.poll(0 if self.sent - self.answered < IN_FLIGHT else 0.01)
        left = self.producer.flush(120)
        if left:
            self.problems.append(f"{self.name}: {left} records were neither acknowledged nor refused within 120 s")


class HTTPPoster(Load):
    """Posts each event once, whatever becomes of the reply: without one, the event may be there once or not at all."""

    def __init__(self, name: str, address: str, seed: int):
        super().__init__(name)
        self.address, self.random = address, random.Random(seed)
        self.sent = 0
        self.unknown = 0

    def run(self) -> None:
        connection = None
        while not self.stopping.is_set() and not self.problems:
            first, count = self.sent, self.random.choice([1, 1, 5, 50])
            self.sent += count
            bodies = [body(self.name, n) for n in range(first, first + count)]
            if count == 1:
                content, payload = "application/json", bodies[0]
            elif self.random.random() < 0.5:
                content, payload = "application/json", b"[" + b",".join(bodies) + b"]"
            else:
                content, payload = "application/x-ndjson", b"".join(b + b"\n" for b in bodies)
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.address, timeout=20)
                connection.request("POST", f"/v1/topics/{POSTED}/events?results=all", payload, {"Content-Type": content})
                reply = connection.getresponse()
                text = reply.read()
                if reply.getheader("Connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException):
                self.unknown += count
                connection.close()
                connection = None
                time.sleep(0.02)
                continue
            if reply.status != 201:
                self.unknown += count
                if reply.status not in (503, 504):
                    self.problems.append(f"{self.name}: {reply.status} {text[:300]!r}")
                time.sleep(0.02)
                continue
            results = json.loads(text)["results"]
            if len(results) != count or any(r["index"] != n for n, r in enumerate(results)):
                self.problems.append(f"{self.name}: {count} events, results {text[:300]!r}")
                return
            for number, result in enumerate(results, first):
                self.acknowledge(result["topic"], result["partition"], result["offset"], (self.name, number))
            time.sleep(0.01)
        if connection is not None:
            connection.close()


class Committer(Load):
    """Commits growing offsets of a group, one after the other."""

    def __init__(self, name: str, bootstrap: str):
        super().__init__(name)
        self.bootstrap = bootstrap
        self.tried = self.committed = 0

    def run(self) -> None:
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "enable.auto.commit": False, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 2})
        while not self.stopping.is_set():
            self.tried += 1
            try:
                consumer.commit(offsets=[TopicPartition(PRODUCED, 0, self.tried, metadata=f"note {self.tried}")], asynchronous=False)
                self.committed = self.tried
            except KafkaException:
                time.sleep(0.02)
            time.sleep(0.005)
        consumer.close()

    def progress(self) -> int:
        return self.committed

    def check(self) -> None:
        from confluent_kafka import Consumer, TopicPartition

        least = self.committed
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "log_level": 2})
        found = consumer.committed([TopicPartition(PRODUCED, 0)], timeout=20)[0]
        consumer.close()
        most = self.tried
        if not least <= max(found.offset, 0) <= most:
            raise Violation(f"offset {least} was committed, {most} tried, but {found.offset} is there")
        if found.offset > 0 and found.metadata != f"note {found.offset}":
            raise Violation(f"the commit of {found.offset} carries the metadata {found.metadata!r}")


class Reader:
    """Reads on from where it was and keeps what it saw, so that a change of the past is noticed."""

    def __init__(self, bootstrap: str, topic: str, partitions: int):
        self.bootstrap, self.topic, self.partitions = bootstrap, topic, partitions
        self.seen: dict[int, list[tuple[str, int]]] = {p: [] for p in range(partitions)}

    def read_on(self, again: bool = False) -> None:
        """Up to the end offsets as they are now; `again` reads everything and compares with what was seen before."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "kill-reader", "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 50, "log_level": 2, "check.crcs": True})
        try:
            begin = {p: 0 if again else len(self.seen[p]) for p in range(self.partitions)}
            position = dict(begin)
            ends = {p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=30)[1] for p in range(self.partitions)}
            for p, end in ends.items():
                if end < len(self.seen[p]):
                    raise Violation(f"{self.topic}-{p} ends at {end}, though a reader had seen {len(self.seen[p])} records")
            consumer.assign([TopicPartition(self.topic, p, o) for p, o in begin.items()])
            deadline = time.monotonic() + 60
            while any(position[p] < ends[p] for p in ends):
                if time.monotonic() > deadline:
                    raise Violation(f"{self.topic}: could not read from {position} to {ends} within 60 s")
                for message in consumer.consume(1000, 0.2):
                    if message.error():
                        raise Violation(f"{self.topic}: {message.error()}")
                    self._keep(message.partition(), message.offset(), message.value(), position)
        finally:
            consumer.close()

    def _keep(self, partition: int, offset: int, value: bytes, position: dict[int, int]) -> None:
        if offset != position[partition]:
            raise Violation(f"{self.topic}-{partition}: offset {offset} follows {position[partition] - 1}")
        position[partition] = offset + 1
        who = identity(value)
        if value != body(*who):
            raise Violation(f"{self.topic}-{partition} offset {offset}: the bytes of {who} are not what was sent")
        if offset < len(self.seen[partition]):
            if self.seen[partition][offset] != who:
                raise Violation(f"{self.topic}-{partition} offset {offset} was {self.seen[partition][offset]} and is now {who}")
        else:
            self.seen[partition].append(who)


class KillTest:
    def __init__(self, node: Broker, seed: int, rounds: int, say=print):
        self.node, self.seed, self.rounds, self.say = node, seed, rounds, say
        self.random = random.Random(seed)
        self.restarts: list[float] = []

    def run(self) -> None:
        from conftest import create_topic

        self.say(f"kill test: seed {self.seed}, {self.rounds} rounds")
        self.node.start()
        create_topic(self.node.bootstrap, PRODUCED, PARTITIONS)
        create_topic(self.node.bootstrap, POSTED, PARTITIONS)
        # Apache Kafka forgets all but the last batch of a producer on a restart, so it can keep promise 4 only for one.
        in_flight = 5 if self.node.kind == "millrace" else 1
        producers = [IdempotentProducer(f"producer-{codec}", self.node.bootstrap, codec, in_flight) for codec in ("none", "lz4")]
        posters = [HTTPPoster(f"poster-{n}", self.node.http, self.seed + n) for n in range(2)] if self.node.http else []
        committer = Committer("committer", self.node.bootstrap)
        loads = [*producers, *posters, committer]
        readers = [Reader(self.node.bootstrap, PRODUCED, PARTITIONS)] + ([Reader(self.node.bootstrap, POSTED, PARTITIONS)] if posters else [])
        for load in loads:
            load.thread.start()
        try:
            for number in range(1, self.rounds + 1):
                self._round(number, loads, readers, committer)
        finally:
            for load in loads:
                load.stop()
        self._check(loads, readers, again=True)
        committer.check()
        self.node.stop()
        self.node.start()
        self._check(loads, readers, again=True)
        acknowledged = {load.name: len(load.acknowledged) for load in loads if load is not committer}
        unknown = sum(p.unknown for p in posters)
        there = sum(len(s) for reader in readers for s in reader.seen.values())
        slowest = max(self.restarts, default=0)
        self.say(f"kill test: {self.rounds} rounds, acknowledged {acknowledged}, {unknown} posted events without a reply, {there} records there, {committer.committed} commits, slowest restart {slowest:.2f} s")
        if min(acknowledged.values()) < self.rounds:
            raise Violation(f"too little was acknowledged for the test to mean anything: {acknowledged}")

    def _round(self, number: int, loads, readers, committer) -> None:
        if self.random.random() < 0.8:
            self._wait_progress(loads)
        time.sleep(self.random.uniform(0, 1))
        self.node.kill()
        early = self.random.random() < 0.3
        if early:
            # Once more while it is recovering.
            self.node.start(wait=False)
            time.sleep(self.random.uniform(0, 0.15 if self.node.kind == "millrace" else 3))
            self.node.kill()
        self.node.start(wait=False)
        self.restarts.append(self.node.wait_ready())
        self._check(loads, readers, again=number % 25 == 0)
        committer.check()
        self.say(f"round {number}: {'killed twice, ' if early else ''}ready after {self.restarts[-1]:.2f} s, {sum(len(s) for r in readers for s in r.seen.values())} records")

    @staticmethod
    def _wait_progress(loads) -> None:
        """Until every load has got an acknowledgement from the node as it runs now."""
        before = [load.progress() for load in loads]
        deadline = time.monotonic() + 60
        while any(load.progress() == was for load, was in zip(loads, before)):
            stuck = [load.name for load, was in zip(loads, before) if load.progress() == was]
            problems = [problem for load in loads for problem in load.problems]
            if problems or time.monotonic() > deadline:
                raise Violation("; ".join(problems[:3]) or f"nothing was acknowledged to {stuck} for 60 s")
            time.sleep(0.01)

    def _check(self, loads, readers, again: bool) -> None:
        # What was acknowledged before the reading began must be found by it.
        expected = {}
        for load in loads:
            expected.update(load.snapshot())
        for load in loads:
            if load.problems:
                raise Violation("; ".join(load.problems[:3]))
        for reader in readers:
            reader.read_on(again)
        seen = {reader.topic: reader.seen for reader in readers}
        for (topic, partition, offset), who in expected.items():
            records = seen[topic][partition]
            if offset >= len(records):
                raise Violation(f"{topic}-{partition} offset {offset} was acknowledged to {who} and is not there; the log ends at {len(records)}")
            if records[offset] != who:
                raise Violation(f"{topic}-{partition} offset {offset} was acknowledged to {who} and holds {records[offset]}")
        for reader in readers:
            self._check_once_and_in_order(reader)

    @staticmethod
    def _check_once_and_in_order(reader: Reader) -> None:
        found: set[tuple[str, int]] = set()
        for partition, records in reader.seen.items():
            last: dict[str, int] = {}
            for offset, (author, number) in enumerate(records):
                if (author, number) in found:
                    raise Violation(f"{reader.topic}-{partition} offset {offset}: {author} {number} is there twice")
                found.add((author, number))
                if number < last.get(author, -1):
                    raise Violation(f"{reader.topic}-{partition} offset {offset}: {author} {number} comes after {last[author]}")
                last[author] = number
