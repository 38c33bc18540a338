"""A reader some seconds behind a writer: what the broker reads from the disk for it, and what the writer waits.

The reader begins so many seconds after the writer, and reads on at the writer's pace. Nobody has read the topic before."""

from __future__ import annotations

import collections
import os
import pathlib
import statistics
import threading
import time

from harness import wire
from harness.broker import Broker
from harness.disks.held_disk import HeldDisk, NoHeldDisk
from trials.command import SKIPPED, parser, remove_on_sigterm, say

RECORD = 1000
FILE_SYSTEMS_OWN = 1 << 20  # bytes that the file system reads for itself: its bitmaps and folders
TOPIC = "behind"


class Writer(threading.Thread):
    """Writes one batch after the other, so many bytes a second; notes what is acknowledged when."""

    def __init__(self, node: Broker, rate: float, batch_bytes: int):
        super().__init__(daemon=True)
        self.node, self.rate = node, rate
        self.batch = wire.Batch([os.urandom(RECORD)] * (batch_bytes // RECORD)).encode()
        self.records = batch_bytes // RECORD
        self.ending = threading.Event()
        self.waits: list[float] = []
        self.acknowledged: collections.deque[tuple[float, int]] = collections.deque()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with wire.Connection(self.node.bootstrap, timeout=60) as connection:
                due = time.monotonic()
                while not self.ending.is_set():
                    began = time.monotonic()
                    if began < due:
                        time.sleep(due - began)
                        continue
                    result = connection.produce(TOPIC, 0, self.batch)
                    if result.error:
                        raise wire.refusal(result.error, "Produce")
                    now = time.monotonic()
                    self.waits.append(now - began)
                    self.acknowledged.append((now, result.base_offset + self.records))
                    # What a slow answer has cost is made up for within half a second, or not at all.
                    due = max(due + len(self.batch) / self.rate, now - 0.5)
        except Exception as failure:  # told by whoever waits for the thread
            self.failure = failure


def read_bytes(node: Broker) -> int:
    """What the broker has had read from the disk."""
    for line in pathlib.Path(f"/proc/{node.process.pid}/io").read_text().splitlines():
        if line.startswith("read_bytes:"):
            return int(line.split()[1])
    raise RuntimeError("no read_bytes")


def processor_seconds(node: Broker) -> float:
    words = pathlib.Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def end_of(records: bytes) -> tuple[int, int]:
    """Bytes of the whole batches, and the offset behind them."""
    at, offset = 0, -1
    while at + 61 <= len(records):
        base, length = int.from_bytes(records[at:at + 8], "big"), int.from_bytes(records[at + 8:at + 12], "big")
        if at + 12 + length > len(records):
            break
        offset = base + int.from_bytes(records[at + 23:at + 27], "big") + 1
        at += 12 + length
    return at, offset


def follow(node: Broker, writer: Writer, behind: float, seconds: float) -> tuple[int, int]:
    """Reads what was acknowledged `behind` seconds ago or earlier, for so many seconds; bytes, and the most of memory."""
    offset = total = most = 0
    allowed = 0
    ending = time.monotonic() + seconds
    with wire.Connection(node.bootstrap, timeout=60) as connection:
        while time.monotonic() < ending:
            while writer.acknowledged and writer.acknowledged[0][0] <= time.monotonic() - behind:
                allowed = writer.acknowledged.popleft()[1]
            if offset >= allowed:
                most = max(most, node.resident_bytes())
                time.sleep(0.01)
                continue
            error, _, records = connection.fetch(TOPIC, 0, offset)
            if error:
                raise wire.refusal(error, f"Fetch of {offset}")
            count, end = end_of(records)
            if end <= offset:
                raise wire.WireError(f"Fetch of {offset} brings nothing below {allowed}")
            total, offset = total + count, end
    return total, most


def run(kind: str, program: str, behind: float, asked) -> int:
    node = Broker(kind, program, folder=None, settings=dict(item.split("=", 1) for item in asked.set) if kind == "millrace" else None)
    disk = None
    try:
        if asked.hold:
            disk = HeldDisk(node.folder, int(asked.hold * 1e6), asked.operations)
        node.start()
        with wire.Connection(node.bootstrap, timeout=30) as connection:
            connection.create_topic(TOPIC, 1)
            connection.metadata([TOPIC])
        if disk:
            disk.hold(node.process.pid)
        before, cpu = read_bytes(node), processor_seconds(node)
        writer = Writer(node, asked.rate * 1e6, asked.batch)
        writer.start()
        time.sleep(behind)
        read, most = follow(node, writer, behind, asked.seconds)
        writer.ending.set()
        writer.join(90)
        if writer.failure:
            raise writer.failure
        waits = sorted(writer.waits)
        took = behind + asked.seconds
        from_disk = read_bytes(node) - before
        say(f"{kind:9} {behind:4.0f} s behind: writer {len(waits) * len(writer.batch) / took / 1e6:6.1f} MB/s, "
            f"p50 {statistics.median(waits) * 1000:6.1f}, p99 {waits[int(len(waits) * 0.99)] * 1000:7.1f}, most {waits[-1] * 1000:7.1f} ms; "
            f"reader {read / asked.seconds / 1e6:6.1f} MB/s, from the disk {from_disk / 1e6:8.1f} MB; "
            f"broker {processor_seconds(node) - cpu:5.1f} CPU-s, at most {most >> 20} MiB")
        return from_disk
    finally:
        node.remove()
        if disk:
            disk.remove()


def main() -> int:
    options = parser("behind-test", __doc__)
    options.add_argument("--rate", type=float, default=100, help="what the writer writes, in MB/s")
    options.add_argument("--batch", type=int, default=500_000, help="bytes of a record batch")
    options.add_argument("--behind", default="2,10", help="how many seconds the reader is behind, one after the other")
    options.add_argument("--seconds", type=float, default=20, help="how long it reads")
    options.add_argument("--hold", type=float, default=0, help="hold the disk to so many MB/s")
    options.add_argument("--operations", type=int, default=3000, help="and to so many operations a second")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the broker")
    options.add_argument("--kafka", help="the launcher of an Apache Kafka distribution, measured beside it")
    asked = options.parse_args()
    remove_on_sigterm()
    good = True
    try:
        for behind in map(float, asked.behind.split(",")):
            good = run("millrace", asked.binary, behind, asked) <= FILE_SYSTEMS_OWN and good
            if asked.kafka:
                run("kafka", asked.kafka, behind, asked)
    except NoHeldDisk as reason:
        say(f"SKIPPED: {reason}")
        return SKIPPED
    say("passed" if good else "FAILED: the broker read from the disk")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
