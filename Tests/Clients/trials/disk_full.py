"""A small disk is filled under load from producers and the gateway, and gets room again in several ways.

Promises: nothing acknowledged is lost; the node lives; it refuses with KAFKA_STORAGE_ERROR and 507 or 503 and says why;
readers and group commits go on; it starts on the full disk, and without a free byte; and it takes records again by
itself once there is room.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time

from harness import wire
from harness.broker import Broker
from harness.disks.small_disk import NoSmallDisk, SmallDisk
from harness.loads.log_reader import LogReader
from harness.loads.topics import WireLoad
from harness.loads.writers import BULK, PARTITIONS, POSTED, PRODUCED, BulkProducer, Committer, HTTPPoster, IdempotentProducer, Load, Violation, body
from trials.command import FAILURES, SKIPPED, parser, remove_on_sigterm, say

PROBED, VICTIM, EXPIRED = "full-probed", "full-victim", "full-expired"
STORAGE_ERROR = 56
SECONDS = 60  # in which the disk must be full, or have room again: the bulk writes some ten MB a second


class Probe(WireLoad):
    """One record at a time, and what became of it: so it is known when the node refuses."""

    def __init__(self, bootstrap: str):
        super().__init__("probe", bootstrap, 0)
        self.pause = 0.02
        self.last: int | None = None
        self.refused = 0

    def step(self, connection: wire.Connection) -> None:
        number, self.sent = self.sent, self.sent + 1
        self.last = None
        result = connection.produce(PROBED, 0, wire.Batch([body(self.name, number)]).encode())
        self.last = result.error
        if not result.error:
            self.acknowledge(PROBED, 0, result.base_offset, (self.name, number))
        elif result.error == STORAGE_ERROR:
            self.refused += 1
        else:
            self.problems.append(f"{self.name}: error {result.error}, where {STORAGE_ERROR} was expected")


class DiskFullTrial:
    def __init__(self, node: Broker, disk: SmallDisk, seed: int, say=print):
        self.node, self.disk, self.seed, self.say = node, disk, seed, say
        self.loads: list[Load] = []

    def run(self) -> None:
        began = time.monotonic()
        self.node.start()
        self._prepare()
        try:
            ballast = self.disk.take("ballast", leaving=self.disk.free() // 2)
            self._running("the disk fills under load")
            self._wait_full()
            self._check_while_full("full")
            self.node.kill()
            self.node.start(commits=False)
            self._check_while_full("killed and started on the full disk")
            self.node.stop()
            self.node.start(commits=False)
            self._check_while_full("stopped and started on the full disk")
            self._lower_retention()
            # Retention is looked at every five minutes, and at the start.
            self._wait_room("retention was lowered", self._restart)
            self._wait_full()
            self._check_while_full("full")
            self._wait_room("a file of another program was removed", ballast.unlink)
            self.say(f"disk full: it fills again: {self.disk.free() >> 20} MiB are free")
            self._wait_full()
            self._check_while_full("full")
            self._wait_room("a topic was deleted", self._delete_victim)
            # What is removed at the end must be more than the reserve was.
            more = self.disk.take("more", leaving=self.disk.free() - (40 << 20))
            self.say(f"disk full: it fills again, and another program takes what is left: {self.disk.free() >> 20} MiB are free")
            self._wait_full()
            ballast = self.disk.take_all("ballast")
            self._check_while_full("not a byte is free")
            self.node.kill()
            self.node.start(commits=False)
            # The journal cannot be used again before a checkpoint has room: group commits wait, and OffsetFetch for them.
            self._check_while_full("killed and started without a free byte", commits=False)
            self._wait_room("the other program's files were removed", ballast.unlink, more.unlink)
        except BaseException:
            for load in self.loads:
                load.abandoned = True
            raise
        finally:
            self._stop()
        self._check()
        self.node.stop()
        self.node.start()
        self._check()
        self.say(f"disk full: {time.monotonic() - began:.0f} s; acknowledged: " + ", ".join(load.report() for load in self.loads))

    def _prepare(self) -> None:
        bootstrap = self.node.bootstrap
        with wire.Connection(bootstrap, timeout=30) as connection:
            self._expect(connection.create_topic(EXPIRED, 1, segment_bytes=4 << 20) == 0, f"{EXPIRED} cannot be created")
            for topic, partitions in {PROBED: 1, VICTIM: 1, PRODUCED: PARTITIONS[PRODUCED], POSTED: PARTITIONS[POSTED], BULK: PARTITIONS[BULK]}.items():
                self._expect(connection.create_topic(topic, partitions) == 0, f"{topic} cannot be created")
            # What the deletion of a topic gives back: more than the reserve, however far below it the disk was filled.
            large = wire.Batch([b"v" * 900_000]).encode()
            for topic, count in ((VICTIM, 110), (EXPIRED, 45)):
                for _ in range(count):
                    self._expect(connection.produce(topic, 0, large).error == 0, f"{topic} cannot be filled")
        self.probe, self.bulk = Probe(bootstrap), BulkProducer("bulk", bootstrap, 5)
        self.bulk.pause = 0.02
        producer, poster, self.committer = IdempotentProducer("producer", bootstrap, "none", 5), HTTPPoster("poster", self.node.http, self.seed), Committer("committer", bootstrap)
        self.poster = poster
        self.loads = [self.probe, self.bulk, producer, poster, self.committer]
        self.readers = [
            LogReader(bootstrap, PROBED, 1, [self.probe]), LogReader(bootstrap, PRODUCED, PARTITIONS[PRODUCED], [producer]),
            LogReader(bootstrap, BULK, PARTITIONS[BULK], [self.bulk]), LogReader(bootstrap, POSTED, PARTITIONS[POSTED], [poster])]
        self.bulk.resting.set()
        for load in self.loads:
            load.thread.start()

    def _lower_retention(self) -> None:
        from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

        entry = ConfigEntry("retention.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, EXPIRED, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": self.node.bootstrap})
        admin.incremental_alter_configs([resource])[resource].result(20)

    def _running(self, what: str) -> None:
        """Every load gets something acknowledged."""
        self.say(f"disk full: {what}: {self.disk.free() >> 20} MiB are free")
        self._wait_acknowledged(what, self._progress())

    def _wait_acknowledged(self, what: str, before: dict[Load, int]) -> float:
        """Every load gets more acknowledged than `before`. The bulk, which can fill what is free within seconds, waits for the others:
        one that is slow to begin would meet a full disk when its turn comes."""
        took = 0.0
        for loads in ([load for load in before if load is not self.bulk], [self.bulk]):
            awaited = {load: before[load] for load in loads}
            took += self._wait(lambda: not self._stuck(awaited), lambda: f"{what}, and {self._stuck(awaited)} get nothing acknowledged")
            self.bulk.resting.clear()
        return took

    def _progress(self) -> dict[Load, int]:
        return {load: load.progress() for load in self.loads}

    @staticmethod
    def _stuck(before: dict[Load, int]) -> list[str]:
        return [load.name for load, was in before.items() if load.progress() == was]

    def _wait(self, done, complaint) -> float:
        began = time.monotonic()
        while not done():
            self._raise_problems()
            self.node.check_alive()
            if time.monotonic() - began > SECONDS:
                raise Violation(f"{complaint()} within {SECONDS} s; {self.disk.free() >> 20} MiB are free; {self._usage()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def _usage(self) -> str:
        data = self.node.folder / "data"
        used = {name: sum(f.stat().st_blocks * 512 for f in (data / name).rglob("*") if f.is_file()) >> 20 for name in ("journal", "partitions")}
        return f"the node's files take {used} MiB"

    def _refusals(self) -> tuple[int, int]:
        return self.probe.refused, self.poster.statuses.get(503, 0) + self.poster.statuses.get(507, 0)

    def _wait_full(self) -> None:
        before = self._refusals()
        took = self._wait(lambda: all(now > was + 3 for now, was in zip(self._refusals(), before)), lambda: f"producers and events are not refused: {self._refusals()}")
        self.say(f"disk full: refuses after {took:.1f} s with {self.disk.free() >> 20} MiB free")

    def _check_while_full(self, when: str, commits: bool = True) -> None:
        """Records are refused, everything else goes on."""
        before, refused = self.committer.progress(), self._refusals()
        self._wait(lambda: all(now > was + 3 for now, was in zip(self._refusals(), refused)), lambda: f"{when}: producers and events are not refused")
        if commits:
            self._wait(lambda: self.committer.progress() >= before + 3, lambda: f"{when}: group commits do not go on")
        self._check(commits)
        self.say(f"disk full: {when}: {sum(reader.records for reader in self.readers)} records read, {'group commits go on, ' if commits else ''}{self.disk.free() >> 20} MiB free")

    def _wait_room(self, why: str, *make_room) -> None:
        """Room is made, and every load goes on."""
        before = self._progress()
        self.bulk.resting.set()
        for give in make_room:
            give()
        took = self._wait_acknowledged(why, before)
        self.say(f"disk full: {why}: all loads go on after {took:.1f} s")

    def _delete_victim(self) -> None:
        with wire.Connection(self.node.bootstrap, timeout=30) as connection:
            self._expect(connection.delete_topic(VICTIM) == 0, "a topic cannot be deleted on the full disk")

    def _restart(self) -> None:
        self.node.stop()
        self.node.start(commits=False)

    def _stop(self) -> None:
        # The last records of the idempotent producers need room.
        for name in ("ballast", "more"):
            (self.disk.folder / name).unlink(missing_ok=True)
        for load in self.loads:
            load.stopping.set()
        for load in self.loads:
            load.stop()

    def _check(self, commits: bool = True) -> None:
        fresh = [(load, load.take_fresh()) for load in self.loads]
        for reader in self.readers:
            reader.read_on(again=True)
        readers = {reader.topic: reader for reader in self.readers}
        for load, entries in fresh:
            for topic, partition, offset in entries:
                readers[topic].find(partition, offset, load.acknowledged[topic, partition, offset])
        if commits:
            self.committer.check(self.node.bootstrap)
        self._raise_problems()

    def _raise_problems(self) -> None:
        problems = [problem for load in self.loads for problem in load.problems]
        if problems:
            raise Violation("; ".join(problems[:3]))

    @staticmethod
    def _expect(holds: bool, complaint: str) -> None:
        if not holds:
            raise Violation(complaint)


def main() -> int:
    arguments = parser("disk-full-test", __doc__, seeded=True)
    arguments.add_argument("--mib", type=int, default=512, help="size of the disk")
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    remove_on_sigterm()
    for seed in range(options.seed, options.seed + options.rounds):
        try:
            disk = SmallDisk(options.mib << 20)
        except NoSmallDisk as reason:
            say(f"SKIPPED: no small disk on this machine: {reason}")
            return SKIPPED
        node = Broker("millrace", options.binary, folder=str(disk.folder))
        node.log_path = pathlib.Path(tempfile.mkdtemp(prefix="disk-full-")) / "output.log"
        try:
            DiskFullTrial(node, disk, seed, say=say).run()
        except FAILURES as failure:
            say(f"FAILED with seed {seed}: {failure}\nThe node's output is {node.log_path}")
            return 1
        finally:
            node.remove()
            disk.remove()
    say(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
