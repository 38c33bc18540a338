"""What a consumer costs that follows many partitions: one record at a time, written to one partition after the other, and
received by a fetch session that was waiting. The broker's CPU (writing included) and the time from sending the record to its
receipt. A measurement: it fails only when something does not work."""

from __future__ import annotations

import os
import pathlib
import statistics
import sys
import time

from harness import wire
from harness.broker import Broker
from trials.command import parser, remove_on_sigterm, say

TOPIC = "followed"
VERSION = 11
FETCH_MAX_BYTES = 1 << 20


def cpu_seconds(process_id: int) -> float:
    """Of all threads, to the nanosecond."""
    tasks = pathlib.Path(f"/proc/{process_id}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class Session:
    """A consumer that fetches by one incremental session, and asks anew only for what it has read (KIP-227)."""

    def __init__(self, bootstrap: str, partitions: int):
        self.connection = wire.Connection(bootstrap, timeout=60)
        self.offsets = [0] * partitions
        self.id, self.epoch = 0, 0
        self.send(range(partitions), wait_ms=0)
        self.receive()

    def send(self, changed, wait_ms: int = 30_000) -> None:
        wanted = [wire.int32(p) + wire.int32(-1) + wire.int64(self.offsets[p]) + wire.int64(-1) + wire.int32(FETCH_MAX_BYTES) for p in changed]
        topics = wire.array([wire.string(TOPIC) + wire.array(wanted)] if wanted else [])
        body = wire.int32(-1) + wire.int32(wait_ms) + wire.int32(1) + wire.int32(FETCH_MAX_BYTES) + wire.int8(0)
        self.asked = self.connection.send(wire.FETCH, VERSION, body + wire.int32(self.id) + wire.int32(self.epoch) + topics + wire.array([]) + wire.string(""))

    def receive(self) -> list[int]:
        """The partitions that have given records; each has one more."""
        reader = self.connection.receive(self.asked)
        reader.int32()
        error, self.id = reader.int16(), reader.int32()
        if error or not self.id:
            raise wire.WireError(f"a fetch of session {self.id} gives error {error}")
        self.epoch += 1
        found = []
        for _ in range(reader.int32()):
            reader.string()
            for _ in range(reader.int32()):
                partition, error = reader.int32(), reader.int16()
                reader.int64(), reader.int64(), reader.int64()
                if reader.int32() > 0:
                    raise wire.WireError("aborted transactions")
                reader.int32()
                records = reader.octets()
                if error:
                    raise wire.WireError(f"partition {partition} gives error {error}")
                if records:
                    self.offsets[partition] += 1
                    found.append(partition)
        return found


def follow(program: str, partitions: int, records: int) -> tuple[float, float]:
    """CPU and median time of one record, in microseconds."""
    node = Broker("millrace", program).start()
    try:
        with wire.Connection(node.bootstrap, timeout=60) as writer:
            if error := writer.create_topic(TOPIC, partitions):
                raise wire.WireError(f"{partitions} partitions cannot be created: error {error}")
            session, batch = Session(node.bootstrap, partitions), wire.Batch([b"x" * 100]).encode()
            # Each partition's first record makes its folder and files, so every one has had some before anything counts.
            uncounted = 2 * partitions + 200
            order = [n * 997 % partitions for n in range(uncounted + records)]
            read, times = [], []
            for number, partition in enumerate(order):
                if number == uncounted:
                    time.sleep(2)  # what is written behind is written
                    before = cpu_seconds(node.process.pid)
                session.send(read)
                began = time.perf_counter()
                if error := writer.produce(TOPIC, partition, batch).error:
                    raise wire.WireError(f"a produce gives error {error}")
                read = session.receive()
                while not read:  # the fetch came first and had nothing, which a busy machine allows
                    session.send([])
                    read = session.receive()
                times.append(time.perf_counter() - began)
                if read != [partition]:
                    raise wire.WireError(f"a record of partition {partition} came as {read}")
            used = cpu_seconds(node.process.pid) - before
        return used / records * 1e6, statistics.median(times[uncounted:]) * 1e6
    finally:
        node.remove()


def main() -> int:
    arguments = parser("follow-test", __doc__)
    arguments.add_argument("--before", type=os.path.abspath, help="another millrace binary, measured in turn with the first")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--records", type=int, default=2000)
    arguments.add_argument("--partitions", type=int, nargs="+", default=[1, 200, 2000])
    options = arguments.parse_args()
    remove_on_sigterm()
    os.environ.setdefault("TMPDIR", "/var/tmp")  # a real disk, where /tmp may be memory
    programs = {"before": options.before, "now": options.binary} if options.before else {"now": options.binary}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for count in options.partitions:
            for name, program in programs.items():
                found.setdefault((name, count), []).append(follow(program, count, options.records))
    say(f"A record at a time; median of {options.rounds} rounds of {options.records:,} records:")
    say(f"{'build':>8} {'partitions':>12} {'CPU us/record':>14} {'least':>8} {'p50 us':>8}   CPU of all rounds")
    cost = {}
    for (name, count), rounds in found.items():
        cost[name, count] = statistics.median(cpu for cpu, _ in rounds)
        say(f"{name:>8} {count:>12,} {cost[name, count]:>14,.1f} {min(cpu for cpu, _ in rounds):>8,.1f} {statistics.median(t for _, t in rounds):>8,.0f}   {[round(cpu, 1) for cpu, _ in rounds]}")
    first, last = options.partitions[0], options.partitions[-1]
    for name in programs:
        say(f"{name}: {last:,} partitions cost {cost[name, last] / cost[name, first]:.2f} of what {first:,} costs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
