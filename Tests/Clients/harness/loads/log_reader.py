"""Reads a topic on from where it was and keeps what it saw, so that a change of the past is noticed."""

from __future__ import annotations

import time

from harness import wire
from .writers import Load, Lost, Violation, body, identity


class LogReader:
    """`trims`: the start of the log may move, by retention or DeleteRecords."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, loads: list[Load], trims: bool = False):
        self.bootstrap, self.topic, self.partitions, self.trims = bootstrap, topic, range(partitions), trims
        self.loads = {load.name: load for load in loads}
        # By offset; None for what was gone before it was read.
        self.seen: dict[int, list[tuple[str, int] | None]] = {p: [] for p in self.partitions}
        self.starts = {p: 0 for p in self.partitions}
        # Of each partition, the last number of each author; and everything seen at all.
        self.last: dict[int, dict[str, int]] = {p: {} for p in self.partitions}
        self.everything: set[tuple[str, int]] = set()

    @property
    def records(self) -> int:
        return sum(len(seen) for seen in self.seen.values())

    # So many records of each partition that were seen before are read again: a crash touches what is newest.
    overlap = 20

    def read_on(self, again: bool = False) -> None:
        """Up to the end offsets as they are now; `again` reads everything. All of it is compared with what was seen before."""
        from confluent_kafka import Consumer, TopicPartition

        with wire.Connection(self.bootstrap, timeout=30) as connection:
            ends = connection.list_offsets(self.topic, self.partitions, -1)
            self._look_at_starts(connection)
        position = {p: self.starts[p] if again else max(self.starts[p], len(self.seen[p]) - self.overlap) for p in self.partitions}
        for p, end in ends.items():
            if end < len(self.seen[p]):
                raise Lost(f"{self.topic}-{p} ends at {end}, though a reader had seen {len(self.seen[p])} records")
        wanted = [p for p in self.partitions if position[p] < ends[p]]
        if not wanted:
            return
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "crash-reader", "enable.auto.commit": False, "fetch.wait.max.ms": 50, "log_level": 2,
            "auto.offset.reset": "earliest" if self.trims else "error", "check.crcs": True, "fetch.error.backoff.ms": 20})
        try:
            consumer.assign([TopicPartition(self.topic, p, position[p]) for p in wanted])
            deadline = time.monotonic() + 60
            while any(position[p] < ends[p] for p in wanted):
                if time.monotonic() > deadline:
                    behind = {p: (position[p], ends[p]) for p in wanted if position[p] < ends[p]}
                    raise Violation(f"{self.topic}: could not read within 60 s from, to: {behind}")
                for message in consumer.consume(2000, 0.1):
                    if message.error():
                        self._refused(message)
                    self._keep(message.partition(), message.offset(), message.value(), position)
        finally:
            consumer.close()

    def _refused(self, message):
        """Records that the node refuses as damaged are lost, when any of them was acknowledged or seen before."""
        from confluent_kafka import KafkaError

        p, offset = message.partition(), message.offset()
        what = f"{self.topic}-{p} from offset {offset} on: {message.error()}"
        known = len(self.seen[p]) > offset or any(
            at >= offset for load in self.loads.values() for topic, where, at in list(load.acknowledged) if (topic, where) == (self.topic, p))
        raise (Lost if message.error().code() == KafkaError.INVALID_MSG and known else Violation)(what)

    def _look_at_starts(self, connection: wire.Connection) -> None:
        for p, start in connection.list_offsets(self.topic, self.partitions, -2).items():
            if start < self.starts[p]:
                raise Violation(f"{self.topic}-{p} starts at {start}, and started at {self.starts[p]} before")
            if start > 0 and not self.trims:
                raise Lost(f"{self.topic}-{p} starts at {start}, and nothing may be removed from it")
            self.starts[p] = start
            seen = self.seen[p]
            seen.extend([None] * (start - len(seen)))

    def _keep(self, partition: int, offset: int, value: bytes, position: dict[int, int]) -> None:
        seen = self.seen[partition]
        if offset > position[partition] and self.trims:
            # Retention was quicker than the reader; nothing else may have made the gap.
            with wire.Connection(self.bootstrap, timeout=30) as connection:
                self._look_at_starts(connection)
            if offset > max(self.starts[partition], position[partition]):
                raise Lost(f"{self.topic}-{partition}: offset {offset} follows {position[partition] - 1}, the log starts at {self.starts[partition]}")
        elif offset != position[partition]:
            raise Violation(f"{self.topic}-{partition}: offset {offset} follows {position[partition] - 1}")
        position[partition] = offset + 1
        try:
            who = identity(value)
        except Violation as violation:
            raise Violation(f"{self.topic}-{partition} offset {offset}: {violation}") from None
        if offset < len(seen) and seen[offset] is not None:
            if seen[offset] != who:
                raise Lost(f"{self.topic}-{partition} offset {offset} was {seen[offset]} and is now {who}")
            return
        author, number = who
        if author not in self.loads or number >= self.loads[author].sent:
            raise Violation(f"{self.topic}-{partition} offset {offset}: {who} was never sent")
        if who in self.everything:
            raise Violation(f"{self.topic}-{partition} offset {offset}: {who} is there twice")
        if number < self.last[partition].get(author, -1):
            raise Violation(f"{self.topic}-{partition} offset {offset}: {who} comes after {self.last[partition][author]}")
        self.everything.add(who)
        self.last[partition][author] = number
        if offset < len(seen):
            seen[offset] = who
        else:
            seen.append(who)

    def find(self, partition: int, offset: int, who: tuple[str, int]) -> None:
        """That an acknowledged record is there, or was removed from the start of the log."""
        seen = self.seen[partition]
        if offset < self.starts[partition] and (offset >= len(seen) or seen[offset] is None):
            return
        if offset >= len(seen):
            raise Lost(f"{self.topic}-{partition} offset {offset} was acknowledged to {who} and is not there; the log ends at {len(seen)}")
        if seen[offset] != who:
            raise Lost(f"{self.topic}-{partition} offset {offset} was acknowledged to {who} and holds {seen[offset]}")

    def missing(self) -> tuple[int, int]:
        """How many acknowledged records cannot be read any more, and of how many: for the message of a failure."""
        from confluent_kafka import Consumer, TopicPartition

        found: dict[int, dict[int, bytes]] = {p: {} for p in self.partitions}
        with wire.Connection(self.bootstrap, timeout=30) as connection:
            ends = connection.list_offsets(self.topic, self.partitions, -1)
            starts = connection.list_offsets(self.topic, self.partitions, -2)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "crash-counter", "enable.auto.commit": False, "log_level": 2})
        try:
            left = {p for p in self.partitions if starts[p] < ends[p]}
            consumer.assign([TopicPartition(self.topic, p, starts[p]) for p in left])
            deadline = time.monotonic() + 60
            while left and time.monotonic() < deadline:
                for message in consumer.consume(2000, 0.5):
                    if message.error():
                        left.discard(message.partition())
                        continue
                    found[message.partition()][message.offset()] = message.value()
                    if message.offset() + 1 >= ends[message.partition()]:
                        left.discard(message.partition())
        finally:
            consumer.close()
        missing = total = 0
        for load in self.loads.values():
            for (topic, p, offset), who in list(load.acknowledged.items()):
                if topic != self.topic or offset < starts[p]:
                    continue
                total += 1
                missing += found[p].get(offset) != body(*who)
        return missing, total
