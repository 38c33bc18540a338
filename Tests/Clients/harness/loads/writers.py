"""Mixed load for the tests that kill a node: each part remembers what it sent and what was acknowledged to it."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time

PRODUCED, POSTED, BULK = "crash-produced", "crash-posted", "crash-bulk"
PARTITIONS = {PRODUCED: 50, POSTED: 3, BULK: 2}
IN_FLIGHT = 400  # records of one producer waiting for their acknowledgement


class Violation(AssertionError):
    """A promise was broken."""


class Lost(Violation):
    """Something that was acknowledged is not there."""


class Damaged(Violation):
    """The node says that its folder is damaged; the folder of one whose disk keeps what was synced is not."""


def body(author: str, number: int) -> bytes:
    """A record's value, from its identity alone: JSON of some ten bytes to 100 KB."""
    shape = random.Random(f"{author}/{number}")
    if author.startswith("bulk"):
        size = 100_000
    else:
        size = shape.choice([0, 10, 100, 100, 900, 900, 5_000]) if shape.random() > 0.01 else 100_000
    return b'{"author":"%s","number":%d,"filling":"%s"}' % (author.encode(), number, (b"%d." % number * size)[:size])


def identity(value: bytes) -> tuple[str, int]:
    """Who wrote these bytes; a Violation if nobody would have."""
    try:
        parsed = json.loads(value)
        who = parsed["author"], parsed["number"]
    except (ValueError, KeyError, TypeError):
        raise Violation(f"nobody sent {value[:80]!r}") from None
    if value != body(*who):
        raise Violation(f"the bytes of {who} are not what was sent")
    return who


class Load:
    """Something that runs through all rounds. `acknowledged` maps (topic, partition, offset) to the record's identity."""

    def __init__(self, name: str):
        self.name = name
        self.acknowledged: dict[tuple[str, int, int], tuple[str, int]] = {}
        self.fresh: list[tuple[str, int, int]] = []  # acknowledged since a check last took them
        self.sent = 0
        self.lock = threading.Lock()
        self.problems: list[str] = []
        self.stopping = threading.Event()
        self.resting = threading.Event()  # nothing new is sent meanwhile
        self.abandoned = False  # the test has failed already: nothing is waited for
        self.thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def _guarded(self) -> None:
        try:
            self.run()
        except Exception as error:  # a thread's exception would be lost otherwise
            self.problems.append(f"{self.name}: {error!r}")

    def acknowledge(self, topic: str, partition: int, offset: int, who: tuple[str, int]) -> None:
        with self.lock:
            before = self.acknowledged.setdefault((topic, partition, offset), who)
            self.fresh.append((topic, partition, offset))
        if before != who:
            self.problems.append(f"{topic}-{partition} offset {offset} was acknowledged to {before} and to {who}")

    def take_fresh(self) -> list[tuple[str, int, int]]:
        with self.lock:
            taken, self.fresh = self.fresh, []
            return taken

    def rest(self) -> None:
        while self.resting.is_set() and not self.stopping.is_set():
            time.sleep(0.02)

    def progress(self) -> int:
        return len(self.acknowledged)

    def run(self) -> None:
        raise NotImplementedError

    def check(self, bootstrap: str) -> None:
        """What the readers of topics cannot check."""

    def report(self) -> str:
        return f"{self.name} {self.progress()}"

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(5 if self.abandoned else 130)
        if self.thread.is_alive():
            self.problems.append(f"{self.name} did not end")


class IdempotentProducer(Load):
    """librdkafka's producer: it outlives the node and sends again what was not answered."""

    topic, pause = PRODUCED, 0.05

    def __init__(self, name: str, bootstrap: str, codec: str, in_flight: int, partitions: int | None = None, **settings):
        super().__init__(name)
        self.partitions = partitions or PARTITIONS[self.topic]
        from confluent_kafka import Producer

        self.answered = 0
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 2, "compression.type": codec,
            "message.timeout.ms": 600_000, "max.in.flight.requests.per.connection": in_flight, "retry.backoff.ms": 20, "retry.backoff.max.ms": 100,
            "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "error_cb": self._error, "log_level": 2, **settings})

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

    def waits(self) -> bool:
        return self.sent - self.answered >= IN_FLIGHT

    def run(self) -> None:
        while not self.stopping.is_set() and not self.problems:
            if self.resting.is_set():
                self.producer.poll(0.02)
                continue
            if not self.waits():
                partition = self.sent % self.partitions
                self.producer.produce(self.topic, body(self.name, self.sent), partition=partition, on_delivery=self._delivered(self.sent))
                self.sent += 1
                if self.sent % 20 == 0:
                    time.sleep(self.pause)
            elif self.abandoned:
                break
            self.producer.poll(0.01 if self.waits() else 0)
        if self.abandoned:
            self.producer.purge()
            return
        left = self.producer.flush(120)
        if left:
            self.problems.append(f"{self.name}: {left} records were neither acknowledged nor refused within 120 s")


class BulkProducer(IdempotentProducer):
    """Batches of 900 KB, several in flight for each of two partitions: the runs that are written through to their segments."""

    topic, pause = BULK, 0.2

    def __init__(self, name: str, bootstrap: str, in_flight: int):
        super().__init__(name, bootstrap, "none", in_flight, **{"linger.ms": 100, "batch.size": 950_000})

    def waits(self) -> bool:
        return self.sent - self.answered >= 60


class HTTPPoster(Load):
    """Posts each event once, whatever becomes of the reply: without one, the event may be there once or not at all."""

    def __init__(self, name: str, address: str, seed: int, pause: float = 0.05):
        super().__init__(name)
        self.address, self.random, self.pause = address, random.Random(seed), pause
        self.unknown = 0
        self.statuses: dict[int, int] = {}

    def _post(self, connection, first: int, count: int):
        bodies = [body(self.name, n) for n in range(first, first + count)]
        if count == 1:
            content, payload = "application/json", bodies[0]
        elif self.random.random() < 0.5:
            content, payload = "application/json", b"[" + b",".join(bodies) + b"]"
        else:
            content, payload = "application/x-ndjson", b"".join(b + b"\n" for b in bodies)
        connection.request("POST", f"/v1/topics/{POSTED}/events?results=all", payload, {"Content-Type": content})
        reply = connection.getresponse()
        return reply, reply.read()

    def run(self) -> None:
        connection = None
        while not self.stopping.is_set() and not self.problems:
            self.rest()
            first, count = self.sent, self.random.choice([1, 1, 5, 50])
            self.sent += count
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.address, timeout=20)
                reply, text = self._post(connection, first, count)
                if reply.getheader("Connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException):
                self.unknown += count
                connection.close()
                connection = None
                time.sleep(0.02)
                continue
            self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1
            if reply.status != 201:
                self.unknown += count
                if reply.status not in (503, 504, 507):
                    self.problems.append(f"{self.name}: {reply.status} {text[:300]!r}")
                time.sleep(0.02)
                continue
            results = json.loads(text)["results"]
            if len(results) != count or any(r["index"] != n for n, r in enumerate(results)):
                self.problems.append(f"{self.name}: {count} events, results {text[:300]!r}")
                return
            for number, result in enumerate(results, first):
                self.acknowledge(result["topic"], result["partition"], result["offset"], (self.name, number))
            time.sleep(self.pause)

    def report(self) -> str:
        return f"{self.name} {self.progress()} ({self.unknown} without a reply that says so)"


class Committer(Load):
    """Commits growing offsets of a group, one after the other."""

    def __init__(self, name: str, bootstrap: str, partitions: int = 10):
        super().__init__(name)
        self.bootstrap, self.partitions = bootstrap, partitions
        self.tried = self.committed = 0

    def _consumer(self):
        from confluent_kafka import Consumer

        return Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": self.name, "enable.auto.commit": False, "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50, "log_level": 2})

    def run(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        consumer = self._consumer()
        while not self.stopping.is_set():
            self.rest()
            self.tried += 1
            offsets = [TopicPartition(PRODUCED, p, self.tried, metadata=f"note {self.tried}") for p in range(self.partitions)]
            try:
                if all(o.error is None for o in consumer.commit(offsets=offsets, asynchronous=False)):
                    self.committed = self.tried
            except KafkaException:
                time.sleep(0.02)
            time.sleep(0.005)
        consumer.close()

    def progress(self) -> int:
        return self.committed

    def check(self, bootstrap: str) -> None:
        from confluent_kafka import TopicPartition

        least = self.committed
        consumer = self._consumer()
        found = consumer.committed([TopicPartition(PRODUCED, p) for p in range(self.partitions)], timeout=20)
        consumer.close()
        most = self.tried
        for entry in found:
            at = max(entry.offset, 0)
            if at < least:
                raise Lost(f"offset {least} of partition {entry.partition} was committed, but {entry.offset} is there")
            if at > most:
                raise Violation(f"offset {entry.offset} is committed, but no more than {most} was tried")
            if at and entry.metadata != f"note {at}":
                raise Violation(f"the commit of {at} carries the metadata {entry.metadata!r}")
