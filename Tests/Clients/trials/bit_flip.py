"""One bit of a stopped data folder is flipped, the node started on it, and everything read; again and again.

Outcomes:
  same       everything acknowledged is served as it was: the bit was in a place that is checked and made again, or not used
  refused    the node does not start, and says what is damaged
  reported   some batches are not served, with an error to the reader, and `log verify` or the metrics tell of it
  torn       the very last commit of all is missing: its damage cannot be told from a write that the crash cut short
  FAULT      other bytes are served, or something is missing without anybody being told
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from harness import wire
from harness.broker import Broker, BrokerFailure
from harness.loads.writers import body
from trials.command import parser, remove_on_sigterm, say

TOPICS = {"flip-small": 4, "flip-large": 1, "flip-lz4": 2, "flip-last": 1}
LAST = ("flip-last", 0)
GROUP = "flip-group"
HOLE_LIMIT = 64  # a hole in a file is not looked at: a bit in the zeros of a fresh journal proves nothing


@dataclasses.dataclass
class Seen:
    """What a client gets from a node: batches by partition and base offset, error codes where it gets none, and the rest."""

    batches: dict[tuple[str, int], dict[int, bytes]]
    errors: dict[tuple[str, int], dict[int, int]]
    ends: dict[tuple[str, int], tuple[int, int]]
    rest: dict[str, object]


class BitFlipTrial:
    def __init__(self, program: str, seed: int, flips: int, say=print):
        self.program, self.seed, self.flips, self.say = program, seed, flips, say
        self.random = random.Random(seed)
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="bit-flip-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.pristine, self.folder = self.home / "pristine", self.home / "node"
        self.outcomes: collections.Counter = collections.Counter()
        self.by_file: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self.faults: list[str] = []
        self.unserved = 0
        self.producer: tuple[int, int] | None = None

    def run(self) -> None:
        began = time.monotonic()
        self.say(f"bit flips: seed {self.seed}, {self.flips} flips")
        self._make()
        self.places = self._find_places()
        sizes = {kind: sum(length for _, _, length in extents) for kind, extents in self.places.items()}
        self.say("bit flips: bytes by kind of file: " + ", ".join(f"{kind} {size:,}" for kind, size in sorted(sizes.items())))
        self.expected = self._look(None)
        assert not any(self.expected.errors.values()), self.expected.errors
        assert sum(map(len, self.expected.batches.values())) > 100
        for number in range(1, self.flips + 1):
            self._flip_one(number)
            if number % 50 == 0:
                self.say(f"bit flips: {number} of {self.flips} after {time.monotonic() - began:.0f} s: {dict(self.outcomes)}")
        for kind, outcomes in sorted(self.by_file.items()):
            self.say(f"bit flips: in {kind}: {dict(outcomes)}")
        reported = self.outcomes["reported"]
        self.say(f"bit flips: {self.flips} in {time.monotonic() - began:.0f} s: {dict(self.outcomes)}" + (f"; batches not served for each that was reported: {self.unserved / reported:.1f}" if reported else ""))

    def remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    # MARK: The folder

    def _node(self) -> Broker:
        return Broker("millrace", self.program, {"auto.create.topics.enable": "false"}, folder=str(self.folder))

    def _make(self) -> None:
        """Closed segments, small and large batches, a compressed topic, commits; the newest in the journal alone."""
        self.folder.mkdir()
        node = self._node().start()
        with wire.Connection(node.bootstrap, timeout=30) as connection:
            for topic, partitions in TOPICS.items():
                assert connection.create_topic(topic, partitions, segment_bytes=1 << 20) == 0
            self.producer = connection.init_producer_id()
            self.sequence = 0
            self._fill(connection, node, 300, 6)
        node.stop()
        node.start()
        with wire.Connection(node.bootstrap, timeout=30) as connection:
            self._fill(connection, node, 100, 1)
            time.sleep(2.5)  # written behind, so that segments go on behind the checkpoint
            self._fill(connection, node, 60, 0)
            assert connection.produce("flip-last", 0, wire.Batch([b"the last commit"]).encode()).error == 0
        node.kill()
        (self.folder / "output.log").unlink()
        self.folder.rename(self.pristine)

    def _fill(self, connection: wire.Connection, node: Broker, small: int, large: int) -> None:
        from confluent_kafka import Consumer, Producer, TopicPartition

        for n in range(small):
            values = [body("flip", n * 7 + k) for k in range(1 + n % 4)]
            assert connection.produce("flip-small", n % 4, wire.Batch(values).encode()).error == 0
        for n in range(large):
            assert connection.produce("flip-large", 0, wire.Batch([body("bulk", n)] * 6).encode()).error == 0
        for _ in range(3):
            batch = wire.Batch([b"idempotent %d" % self.sequence], *self.producer, self.sequence).encode()
            assert connection.produce("flip-small", 0, batch).error == 0
            self.sequence += 1
        producer = Producer({"bootstrap.servers": node.bootstrap, "compression.type": "lz4", "acks": "all", "linger.ms": 1, "batch.size": 20_000})
        for n in range(small):
            producer.produce("flip-lz4", body("flip", n), partition=n % 2)
        assert producer.flush(20) == 0
        consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": GROUP, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition("flip-small", p, small + p) for p in range(4)], asynchronous=False)
        consumer.close()

    def _find_places(self) -> dict[str, list[tuple[pathlib.Path, int, int]]]:
        """By kind of file: (file, position, length) of all that is not a hole of zeros."""
        places = collections.defaultdict(list)
        for path in sorted(self.pristine.rglob("*")):
            if not path.is_file() or path.stat().st_size == 0:
                continue
            content = path.read_bytes()
            kind = path.suffix.lstrip(".") if path.suffix in (".log", ".index", ".journal") and path.name != "metadata.log" else path.name
            if kind == "log":
                kind = "segment"
            end = len(content.rstrip(b"\0")) + HOLE_LIMIT
            places[kind].append((path.relative_to(self.pristine), 0, min(end, len(content))))
            if end < len(content):
                with open(path, "r+b") as file:  # sparse, so that copies are quick
                    file.truncate(end)
                    file.truncate(len(content))
        return dict(places)

    # MARK: One flip

    def _flip_one(self, number: int) -> None:
        # Each kind as often as any other: nearly all bytes are in segments, and their bits are all alike.
        kind = self.random.choice(sorted(self.places))
        extents = self.places[kind]
        path, start, length = self.random.choices(extents, [extent[2] for extent in extents])[0]
        position, bit = start + self.random.randrange(length), self.random.randrange(8)
        what = f"flip {number}: bit {bit} of byte {position} of {path}"
        outcome, detail = self._outcome((path, position, bit))
        self.outcomes[outcome] += 1
        self.by_file[kind][outcome] += 1
        if outcome == "FAULT":
            self.faults.append(f"{what}: {detail}")
            self.say(f"bit flips: FAULT: {self.faults[-1]}")

    def _outcome(self, flip) -> tuple[str, str]:
        try:
            seen = self._look(flip)
        except BrokerFailure as failure:
            text = str(failure)
            if "cannot start: " in text:
                return "refused", text
            return "FAULT", f"the node ended: {text[-500:]}"
        except (wire.WireError, OSError) as error:
            return "FAULT", f"the node does not answer: {error!r}"
        return self._compare(seen, flip[0])

    def _compare(self, seen: Seen, path: pathlib.Path) -> tuple[str, str]:
        missing = 0
        silent = []
        for partition, expected in self.expected.batches.items():
            served = seen.batches[partition]
            for base, stored in served.items():
                if expected.get(base) != stored:
                    return "FAULT", f"{partition} serves other bytes at offset {base}: {difference(expected.get(base), stored)}"
            gone = [base for base in expected if base not in served]
            missing += len(gone)
            if gone and not seen.errors[partition]:
                silent.append(f"{partition}: {len(gone)} batches from offset {gone[0]} on are not served, and no error says so")
            if not gone and seen.ends[partition] != self.expected.ends[partition]:
                silent.append(f"{partition}: the log goes from {seen.ends[partition]} in place of {self.expected.ends[partition]}")
        for name, value in self.expected.rest.items():
            # That the metrics tell of damage is what is asked of them.
            if name != "metrics" and seen.rest[name] != value:
                silent.append(f"{name}: {seen.rest[name]} in place of {value}")
        if not missing and not silent:
            return "same", ""
        if missing == 1 and len(silent) == 1 and silent[0].startswith(str(LAST)) and path.suffix == ".journal":
            return "torn", ""
        if silent:
            return "FAULT", "; ".join(silent)
        self.unserved += missing
        if seen.rest["metrics"] or self._verify_reports():
            return "reported", ""
        return "FAULT", f"{missing} batches are refused, but neither log verify nor the metrics tell of damage"

    def _verify_reports(self) -> bool:
        return subprocess.run([self.program, "log", "verify", self.folder / "data"], capture_output=True).returncode == 5

    # MARK: What a client sees

    def _look(self, flip) -> Seen:
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run(["cp", "-a", "--sparse=always", self.pristine, self.folder], check=True)
        if flip:
            path, position, bit = flip
            with open(self.folder / path, "r+b") as file:
                file.seek(position)
                byte = file.read(1)[0]
                file.seek(position)
                file.write(bytes([byte ^ 1 << bit]))
        node = self._node()
        try:
            node.start()
            return self._read_everything(node)
        finally:
            node.remove()

    def _read_everything(self, node: Broker) -> Seen:
        seen = Seen({}, {}, {}, {})
        with wire.Connection(node.bootstrap, timeout=20) as connection:
            topics = connection.metadata(None).topics
            seen.rest["topics"] = {name: (error, sorted(partitions)) for name, (error, partitions) in topics.items()}
            for topic, count in TOPICS.items():
                for partition in range(count):
                    self._read_partition(connection, seen, topic, partition)
            seen.rest["commits"] = self._commits(connection)
            # Sent again, the last batch of an idempotent producer must be known by its sequence number.
            batch = wire.Batch([b"idempotent %d" % (self.sequence - 1)], *self.producer, self.sequence - 1).encode()
            again = connection.produce("flip-small", 0, batch)
            # A partition that is damaged may refuse to be written to.
            seen.rest["idempotence"] = (again.error, again.base_offset) if not seen.errors["flip-small", 0] else None
            if seen.errors["flip-small", 0] and hasattr(self, "expected"):
                seen.rest["idempotence"] = self.expected.rest["idempotence"]
        seen.rest["metrics"] = self._metrics(node)
        return seen

    def _read_partition(self, connection: wire.Connection, seen: Seen, topic: str, partition: int) -> None:
        key = (topic, partition)
        batches, errors = {}, {}
        seen.batches[key], seen.errors[key] = batches, errors
        first, last = (connection.list_offset(topic, partition, which) for which in (-2, -1))
        seen.ends[key] = (first[::2], last[::2])
        known = sorted(self.expected.batches[key]) if hasattr(self, "expected") else []
        end = max([last[2], *(base + 1 for base in known)])
        offset = max(first[2], 0)
        while offset < end:
            error, _, stored = connection.fetch(topic, partition, offset, max_bytes=4 << 20, max_wait_ms=0)
            if error:
                errors[offset] = error
            before = offset
            for base, next_offset, batch in split(stored):
                batches[base] = batch
                offset = next_offset
            if offset == before:
                # Nothing came: go on behind, where the next batch that we know of begins.
                offset = min((base for base in known if base > offset), default=end)

    def _commits(self, connection: wire.Connection):
        body = wire.string(GROUP) + wire.array([wire.string("flip-small") + wire.array([wire.int32(p) for p in range(4)])])
        for _ in range(100):
            reader = connection.call(9, 1, body)  # OffsetFetch
            reader.int32(), reader.string()
            found = [(reader.int32(), reader.int64(), reader.string(), reader.int16()) for _ in range(reader.int32())]
            if not any(entry[3] in (14, 15, 16) for entry in found):  # the coordinator is loading or being found
                break
            time.sleep(0.02)
        return found

    def _metrics(self, node: Broker) -> bool:
        """Whether the metrics page tells of damage."""
        try:
            with urllib.request.urlopen(f"http://{node.http}/metrics", timeout=5) as reply:
                page = reply.read().decode()
        except urllib.error.URLError:
            return False
        for line in page.splitlines():
            name, _, value = line.rpartition(" ")
            if not line.startswith("#") and any(word in name for word in ("damage", "corrupt", "quarantine")) and float(value) > 0:
                return True
        return False


def split(stored: bytes):
    """(base offset, offset behind it, bytes) of each whole batch."""
    at = 0
    while at + 61 <= len(stored):
        length = 12 + int.from_bytes(stored[at + 8 : at + 12], "big", signed=True)
        if length < 61 or at + length > len(stored):
            return
        base = int.from_bytes(stored[at : at + 8], "big", signed=True)
        yield base, base + int.from_bytes(stored[at + 23 : at + 27], "big", signed=True) + 1, stored[at : at + length]
        at += length


def difference(expected: bytes | None, found: bytes) -> str:
    if expected is None:
        return f"a batch of {len(found)} bytes that was never there"
    if len(expected) != len(found):
        return f"{len(found)} bytes in place of {len(expected)}"
    at = next(n for n, (a, b) in enumerate(zip(expected, found)) if a != b)
    return f"byte {at} of {len(found)} is {found[at]:#x} in place of {expected[at]:#x}"


def main() -> int:
    arguments = parser("bit-flip-test", __doc__, seeded=True)
    arguments.add_argument("--flips", type=int, default=1000)
    options = arguments.parse_args()
    remove_on_sigterm()
    trial = BitFlipTrial(options.binary, options.seed, options.flips, say=say)
    try:
        trial.run()
    finally:
        trial.remove()
    say(f"{'FAILED' if trial.faults else 'passed'}: {options.flips} flips, {len(trial.faults)} faults, seed {options.seed}")
    return 1 if trial.faults else 0


if __name__ == "__main__":
    sys.exit(main())
