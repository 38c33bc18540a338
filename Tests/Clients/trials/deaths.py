"""A node dies at random moments under mixed load, again and again; then every promise is checked against what clients were
told. How it dies is the node's affair: kill -9 (tools/kill-test), or a power cut (tools/power-off-test, harness/disks).

Load: idempotent producers of small batches over 50 partitions, one of large batches into a topic with retention, events
by HTTP, a group's commits, topics made and deleted, records deleted, a compacted topic. Promises:

1. What was acknowledged is at the partition and offset that the acknowledgement named, byte for byte; a part that is
   missing is one that retention or DeleteRecords took from the start, and a log's start never goes back.
2. No record is there twice, or was never sent; each producer's records stand in the order in which they were sent.
3. Offsets are contiguous (but for compaction); what a reader has seen stays as it was.
4. An idempotent producer gets everything acknowledged in the end: no fatal error, nothing given up.
5. A committed offset is never behind the last acknowledged commit.
6. A created topic is there, a deleted one is not, and one created again has nothing of its predecessor.
7. A compacted topic has every key's newest acknowledged record, or a newer one.
8. Nothing is refused as damaged, and no metric tells of damage: no death may look like a bad disk.
"""

from __future__ import annotations

import random
import time

from harness import wire
from harness.broker import BrokerFailure
from harness.loads.log_reader import LogReader
from harness.loads.topics import COMPACTED, INVALID_CONFIG, TRIMMED, CompactedWriter, TopicChurner, Trimmer
from harness.loads.writers import BULK, PARTITIONS, POSTED, PRODUCED, BulkProducer, Committer, Damaged, HTTPPoster, IdempotentProducer, Load, Lost, Violation

# What a node under this test is started with: a cleaner that does not sleep longer than the node lives.
NODE_SETTINGS = {"log.cleaner.backoff.ms": "200"}
# Small segments, so that there is something to remove.
TRIMMED_SETTINGS = {"segment_bytes": 1 << 20}
BULK_SETTINGS = {"segment_bytes": 4 << 20, "retention_bytes": 48 << 20}
CONTROL_TRIES, CONTROL_ROUNDS = 10, 30


def control(make_node, seed: int, say=print) -> None:
    """The same trial on nodes that do not sync must find that something acknowledged is lost: is not there, or is refused as
    damaged. Such a node may also notice by itself what is missing, before a client would, and tell of damage or refuse to start:
    that speaks for the node and not for the trial, so it is tried again. A `Violation` when no try finds a loss."""
    told = 0
    for one in range(seed, seed + CONTROL_TRIES):
        node = make_node()
        try:
            DeathTrial(node, one, CONTROL_ROUNDS, say=lambda text: None).run()
        except Lost as loss:
            say(f"control: a node that does not sync is caught: {loss}" + (f" (after {told} that told of it first)" if told else ""))
            return
        except Damaged:
            told += 1
        except BrokerFailure as failure:
            if "cannot start: " not in str(failure):
                raise
            told += 1
        finally:
            node.remove()
    raise Violation(f"a node that does not sync was not caught: of {CONTROL_TRIES} nodes {told} told of damage themselves or refused to start, and nothing was found missing")


class DeathTrial:
    def __init__(self, node, seed: int, rounds: int, say=print):
        self.node, self.seed, self.rounds, self.say = node, seed, rounds, say
        self.random = random.Random(seed)
        self.restarts: list[float] = []
        self.loads: list[Load] = []
        self.readers: list[LogReader] = []

    def run(self) -> None:
        self.say(f"deaths: {self.node.death}, seed {self.seed}, {self.rounds} rounds")
        began = time.monotonic()
        self.node.start()
        self._prepare()
        for load in self.loads:
            load.thread.start()
        try:
            for number in range(1, self.rounds + 1):
                self._round(number)
        except BaseException as failure:
            for load in self.loads:
                load.abandoned = True
                load.resting.clear()
            if isinstance(failure, (Lost, Damaged)):
                self._count_missing()
            raise
        finally:
            for load in self.loads:
                load.stopping.set()
            for load in self.loads:
                load.stop()
        self._check(again=True)
        self.node.stop()
        self.node.start()
        self._check(again=True)
        seconds = time.monotonic() - began
        self.say(f"deaths: {self.rounds} rounds in {seconds:.0f} s, {sum(r.records for r in self.readers)} records there, slowest restart {max(self.restarts, default=0):.2f} s")
        self.say("deaths: acknowledged: " + ", ".join(load.report() for load in self.loads))
        least = min(load.progress() for load in self.loads)
        if least < self.rounds:
            raise Violation(f"too little was acknowledged for the test to mean anything: {[load.report() for load in self.loads]}")

    def _prepare(self) -> None:
        bootstrap, seed = self.node.bootstrap, self.seed
        produced = self.node.produced_partitions or PARTITIONS[PRODUCED]
        partitions = {**PARTITIONS, PRODUCED: produced}
        with wire.Connection(bootstrap, timeout=30) as connection:
            for topic, settings in ((PRODUCED, {}), (POSTED, {}), (BULK, BULK_SETTINGS), (TRIMMED, TRIMMED_SETTINGS)):
                error = connection.create_topic(topic, partitions.get(topic, Trimmer.partitions), **settings)
                if error:
                    raise Violation(f"{topic} cannot be created: error {error}")
            compacts = connection.create_topic(COMPACTED, 1, **CompactedWriter.configs)
            if compacts not in (0, INVALID_CONFIG):
                raise Violation(f"{COMPACTED} cannot be created: error {compacts}")
        if compacts == INVALID_CONFIG:
            self.say("deaths: this node refuses cleanup.policy=compact, so that part is left out")
        # Apache Kafka forgets all but the last batch of a producer on a restart, so it can keep promise 4 only for one.
        in_flight = 5 if self.node.kind == "millrace" else 1
        producers = [IdempotentProducer(f"producer-{codec}", bootstrap, codec, in_flight, produced) for codec in ("none", "lz4")]
        bulk = [BulkProducer(f"bulk-{n}", bootstrap, in_flight) for n in range(2)]
        trimmer = Trimmer("trimmer", bootstrap, seed)
        posters = [HTTPPoster(f"poster-{n}", self.node.http, seed + n) for n in range(2)] if self.node.http else []
        churner = TopicChurner("churner", bootstrap, seed)
        churner.patience = 0 if self.node.kind == "millrace" else 10
        others = [Committer("committer", bootstrap, min(10, produced)), churner]
        if not compacts:
            others.append(CompactedWriter("compacted", bootstrap, seed))
        self.loads = [*producers, *bulk, *posters, *others]
        self.readers = [LogReader(bootstrap, PRODUCED, produced, producers), LogReader(bootstrap, BULK, PARTITIONS[BULK], bulk, trims=True)]
        # Apache Kafka's log starts go back when it is killed within a minute of DeleteRecords.
        if self.node.kind == "millrace":
            self.loads.append(trimmer)
            self.readers.append(LogReader(bootstrap, TRIMMED, Trimmer.partitions, [trimmer], trims=True))
        if posters:
            self.readers.append(LogReader(bootstrap, POSTED, PARTITIONS[POSTED], posters))
        with wire.Connection(bootstrap, timeout=30) as connection:
            for reader in self.readers:
                connection.list_offsets(reader.topic, reader.partitions, -1)
            if not compacts:
                connection.list_offsets(COMPACTED, [0], -1)

    def _round(self, number: int) -> None:
        if self.random.random() < 0.8:
            self._wait_progress()
        time.sleep(self.random.uniform(0, 1))
        if self.node.rests and self.random.random() < 0.7:
            # All that was acknowledged is written behind by then, and nothing that comes later makes it durable by the way.
            for load in self.loads:
                load.resting.set()
            time.sleep(self.random.uniform(1, 2.5))
        how = [self.node.die(self.random)]
        for load in self.loads:
            load.resting.clear()
        while self.random.random() < 0.3 and len(how) < 4:
            # Once more while it is recovering.
            self.node.start(wait=False)
            how.append(self.node.die_at_start(self.random))
        self.node.start(wait=False)
        self.restarts.append(self.node.wait_ready())
        began = time.monotonic()
        # From the start again after rounds 2, 4, 8 and so on, as the logs grow with each.
        again = number > 1 and number & (number - 1) == 0
        self._check(again)
        records = sum(reader.records for reader in self.readers)
        self.say(f"round {number}: {', '.join(how)}; ready after {self.restarts[-1]:.2f} s; {records} records {'all read again' if again else 'known'}, checked in {time.monotonic() - began:.1f} s")

    def _wait_progress(self) -> None:
        """Until every load has got an acknowledgement from the node as it runs now."""
        before = [load.progress() for load in self.loads]
        deadline = time.monotonic() + 60
        while any(load.progress() == was for load, was in zip(self.loads, before)):
            stuck = [load.name for load, was in zip(self.loads, before) if load.progress() == was]
            self._raise_problems()
            if time.monotonic() > deadline:
                raise Violation(f"nothing was acknowledged to {stuck} for 60 s")
            time.sleep(0.01)

    def _count_missing(self) -> None:
        for reader in self.readers:
            try:
                missing, total = reader.missing()
            except Exception as error:  # the failure itself is what counts
                self.say(f"deaths: {reader.topic}: cannot be counted: {error!r}")
                continue
            self.say(f"deaths: {reader.topic}: {missing} of {total} acknowledged records cannot be read any more")

    def _raise_problems(self) -> None:
        problems = [problem for load in self.loads for problem in load.problems]
        if problems:
            # The log of a producer's partition ends before what was acknowledged to it: the batch behind that does not follow.
            is_loss = all("OUT_OF_ORDER_SEQUENCE_NUMBER" in problem for problem in problems)
            raise (Lost if is_loss else Violation)("; ".join(problems[:3]))

    def _check(self, again: bool) -> None:
        # What was acknowledged before the reading began must be found by it.
        fresh = [(load, load.take_fresh()) for load in self.loads]
        for reader in self.readers:
            reader.read_on(again)
        readers = {reader.topic: reader for reader in self.readers}
        for load, entries in fresh:
            for topic, partition, offset in entries:
                if topic in readers:
                    readers[topic].find(partition, offset, load.acknowledged[topic, partition, offset])
        for load in self.loads:
            try:
                load.check(self.node.bootstrap)
            except wire.Corrupt as refusal:
                raise Lost(f"{load.name} is refused its records: {refusal}") from None
        if damage := self.node.damage():
            raise Damaged(f"nothing acknowledged was found missing, but the node tells of damage: {damage}")
        # Last, so that a loss is named as what it is, not by the error that a producer gets from it.
        self._raise_problems()
