"""Load that creates and deletes topics, deletes records, and writes a compacted topic; by hand-made requests."""

from __future__ import annotations

import random
import threading
import time

from harness import wire
from .writers import Load, Lost, Violation, body, identity

TRIMMED, COMPACTED = "crash-trimmed", "crash-compacted"
UNKNOWN_TOPIC, TOPIC_EXISTS, INVALID_CONFIG = 3, 36, 40
# Not served just now; ask again: leader not available, not the leader, storage error, timeout.
PASSING = (5, 6, 7, 56)


class WireLoad(Load):
    """`step` on a connection that is made again whenever it breaks. Nothing is sent twice."""

    def __init__(self, name: str, bootstrap: str, seed: int):
        super().__init__(name)
        self.bootstrap, self.random = bootstrap, random.Random(f"{seed}/{name}")
        self.pause = 0.01

    def run(self) -> None:
        connection = None
        while not self.stopping.is_set() and not self.problems:
            self.rest()
            try:
                if connection is None:
                    connection = wire.Connection(self.bootstrap, timeout=20)
                self.step(connection)
                time.sleep(self.pause)
            except (OSError, wire.WireError):
                if connection is not None:
                    connection.socket.close()
                connection = None
                time.sleep(0.03)

    def step(self, connection: wire.Connection) -> None:
        raise NotImplementedError

    def append(self, connection: wire.Connection, topic: str, partition: int, author: str, count: int) -> int | None:
        """Sends the author's next records as one batch; gives the offset behind it, or nothing when it was refused."""
        first, self.sent = self.sent, self.sent + count
        result = connection.produce(topic, partition, wire.Batch([body(author, n) for n in range(first, first + count)]).encode())
        if result.error in PASSING:
            return None
        if result.error:
            self.problems.append(f"{self.name}: {topic}-{partition} refuses with {result.error}")
            return None
        for n in range(count):
            self.acknowledge(topic, partition, result.base_offset + n, (author, first + n))
        return result.base_offset + count


class Trimmer(WireLoad):
    """Appends, and deletes records from the log's start."""

    partitions = 2

    def __init__(self, name: str, bootstrap: str, seed: int):
        super().__init__(name, bootstrap, seed)
        self.ends = [0] * self.partitions
        # The log's start as acknowledged, and as asked for.
        self.least, self.most = [0] * self.partitions, [0] * self.partitions

    def step(self, connection: wire.Connection) -> None:
        partition = self.random.randrange(self.partitions)
        end = self.append(connection, TRIMMED, partition, self.name, self.random.randint(1, 8))
        if end is not None:
            self.ends[partition] = end
        if self.random.random() < 0.1:
            before = self.random.randint(self.least[partition], self.ends[partition])
            self.most[partition] = max(self.most[partition], before)
            error, start = connection.delete_records(TRIMMED, partition, before)
            if not error:
                self.least[partition] = max(self.least[partition], start)
            elif error not in PASSING:
                self.problems.append(f"{self.name}: DeleteRecords before {before}: error {error}")

    def check(self, bootstrap: str) -> None:
        least = list(self.least)
        with wire.Connection(bootstrap) as connection:
            starts = connection.list_offsets(TRIMMED, range(self.partitions), -2)
        for partition, start in starts.items():
            if not least[partition] <= start <= self.most[partition]:
                raise Lost(f"{TRIMMED}-{partition} starts at {start}; {least[partition]} was acknowledged, {self.most[partition]} asked for")


class TopicChurner(WireLoad):
    """Creates, fills, deletes and creates again. The only one that knows these topics, so it checks them itself, whenever
    it comes back to one."""

    def __init__(self, name: str, bootstrap: str, seed: int):
        super().__init__(name, bootstrap, seed)
        self.pause = 0.03
        self.incarnation = {f"crash-churn-{n}": 0 for n in range(3)}
        # None: not known, because a request was not answered.
        self.exists: dict[str, bool | None] = {topic: False for topic in self.incarnation}
        self.content: dict[str, dict[tuple[int, int], tuple[str, int]]] = {topic: {} for topic in self.incarnation}
        self.changes = self.records = 0
        # Seconds after which a change must be seen. Apache Kafka's broker hears of it from its controller after the reply.
        self.patience = 0
        # A check waits for a step to end: a request in flight would be a state that nobody knows.
        self.turn = threading.Lock()

    def progress(self) -> int:
        return self.changes

    def acknowledge(self, topic: str, partition: int, offset: int, who: tuple[str, int]) -> None:
        self.content[topic][partition, offset] = who
        self.records += 1

    def step(self, connection: wire.Connection) -> None:
        with self.turn:
            topic = self.random.choice(list(self.incarnation))
            self.look(connection, topic)
            if self.exists[topic] is None:
                self._delete(connection, topic)
            elif not self.exists[topic]:
                self._create(connection, topic)
            else:
                for _ in range(self.random.randint(0, 4)):
                    self._fill(connection, topic)
                if self.random.random() < 0.4:
                    self._delete(connection, topic)

    def _create(self, connection: wire.Connection, topic: str) -> None:
        self.incarnation[topic] += 1
        self.content[topic] = {}
        self.exists[topic] = None
        error = connection.create_topic(topic, 3)
        if error in PASSING:
            return
        if error:
            self.problems.append(f"{self.name}: {topic} was deleted, and cannot be created: error {error}")
        self.exists[topic] = True
        self.changes += 1

    def _delete(self, connection: wire.Connection, topic: str) -> None:
        known = self.exists[topic]
        self.exists[topic] = None
        error = connection.delete_topic(topic)
        if error in PASSING:
            return
        if error and not (error == UNKNOWN_TOPIC and known is None):
            self.problems.append(f"{self.name}: {topic} cannot be deleted: error {error}")
        self.exists[topic] = False
        self.changes += 1

    def _fill(self, connection: wire.Connection, topic: str) -> None:
        author, partition = f"{topic}/{self.incarnation[topic]}", self.random.randrange(3)
        self.append(connection, topic, partition, author, self.random.randint(1, 5))

    def look(self, connection: wire.Connection, topic: str) -> None:
        """Compares the topic with what is known of it."""
        deadline = time.monotonic() + self.patience
        while True:
            # Asked for by its name, a missing topic would be created.
            error = connection.metadata(None).topics.get(topic, (UNKNOWN_TOPIC,))[0]
            if self.exists[topic] in (None, error != UNKNOWN_TOPIC) or time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        if self.exists[topic] is False and error != UNKNOWN_TOPIC:
            raise_problem(self, Violation, f"{topic} was deleted and is there again: error {error}")
        if self.exists[topic] and error not in (0, *PASSING):
            raise_problem(self, Lost, f"{topic} was created and is not there: error {error}")
        if not self.exists[topic] or error:
            return
        connection.list_offsets(topic, range(3), -1)  # waits until it is served
        for partition in range(3):
            _, stored = connection.fetch_all(topic, partition)
            found = {}
            for offset, (at, _, value) in enumerate(wire.stored_records(stored)):
                if at != offset:
                    raise_problem(self, Violation, f"{topic}-{partition}: offset {at} in place of {offset}")
                found[offset] = identity(value)
                if found[offset][0] != f"{topic}/{self.incarnation[topic]}":
                    raise_problem(self, Violation, f"{topic}-{partition} holds {found[offset]} of an earlier topic of that name")
            for (where, offset), who in self.content[topic].items():
                if where == partition and found.get(offset) != who:
                    raise_problem(self, Lost, f"{topic}-{partition} offset {offset} was acknowledged to {who} and holds {found.get(offset)}")

    def check(self, bootstrap: str) -> None:
        with self.turn, wire.Connection(bootstrap) as connection:
            for topic in self.incarnation:
                self.look(connection, topic)

    def report(self) -> str:
        return f"{self.name} {self.changes} topics made and deleted, {self.records} records"


def raise_problem(load: Load, kind: type[Violation], text: str):
    load.problems.append(text)
    raise kind(text)


class CompactedWriter(WireLoad):
    """Writes the same keys again and again to a topic with cleanup.policy=compact; now and then a tombstone."""

    keys = 60
    configs = {"cleanup_policy": "compact", "internal_segment_bytes": 1 << 16, "min_cleanable_dirty_ratio": "0.01"}

    def __init__(self, name: str, bootstrap: str, seed: int):
        super().__init__(name, bootstrap, seed)
        # Of each key: the offset of its last acknowledged record, and whether that was a tombstone.
        self.last: dict[bytes, tuple[int, bool]] = {}
        self.kept = 0  # records that the last check found

    def step(self, connection: wire.Connection) -> None:
        number, self.sent = self.sent, self.sent + 1
        key = b"key-%d" % (number % self.keys)
        value = None if self.random.random() < 0.05 else body(self.name, number)
        batch = wire.Batch([b""], body=wire.record(0, key, value))
        result = connection.produce(COMPACTED, 0, batch.encode())
        if result.error in PASSING:
            return
        if result.error:
            self.problems.append(f"{self.name}: error {result.error}")
            return
        self.last[key] = (result.base_offset, value is None)

    def progress(self) -> int:
        return max((offset for offset, _ in self.last.values()), default=-1) + 1

    def check(self, bootstrap: str) -> None:
        expected = dict(self.last)
        with wire.Connection(bootstrap) as connection:
            connection.list_offsets(COMPACTED, [0], -1)  # waits until it is served
            _, stored = connection.fetch_all(COMPACTED, 0)
        found: dict[bytes, tuple[int, bytes | None]] = {}
        before, self.kept = -1, 0
        for offset, key, value in wire.stored_records(stored):
            if offset <= before:
                raise Violation(f"{COMPACTED}: offset {offset} follows {before}")
            before = offset
            if value is not None:
                author, number = identity(value)
                if author != self.name or number >= self.sent or key != b"key-%d" % (number % self.keys):
                    raise Violation(f"{COMPACTED}: nobody sent {author} {number} with {key!r}")
            found[key] = (offset, value)
            self.kept += 1
        for key, (offset, is_tombstone) in expected.items():
            if key not in found and is_tombstone:
                continue
            if key not in found or found[key][0] < offset:
                raise Lost(f"{COMPACTED}: {key!r} was last acknowledged at offset {offset}, the newest there is at {found.get(key, ('none',))[0]}")

    def report(self) -> str:
        return f"{self.name} {self.progress()}, of which {self.kept} are left"
