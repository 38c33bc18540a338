"""The long tail: how long the slowest produces and fetches wait at a steady pace while everything else goes on as well, and where
each wait of 5 ms and more came from.

Beside a producer of long batches and one of single records, each with a reader that follows it, there are a compacted topic, a
reader of old records that are not in memory, topics that come and go, segments that roll, retention that removes them, and the
checkpoints and the write behind that all this asks for. What the broker notes of its own stalls (GET /trace) and how long its
threads waited for a processor is held against the waits of the clients."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from harness import wire
from harness.broker import Broker, BrokerFailure
from harness.native import compiled
from trials.command import parser, remove_on_sigterm, say

RECORD = 1000
SAMPLE_SECONDS = 0.05  # between two looks at what the broker's threads waited for
COLD_BATCH = 500
RETENTION = {"log.retention.check.interval.ms": "10000"}
MILLRACE = {**RETENTION, "log.cleaner.backoff.ms": "3000"}
KAFKA = {**RETENTION, "log.cleaner.backoff.ms": "3000", "log.segment.delete.delay.ms": "1000"}


def frame(api: int, version: int, body: bytes) -> bytes:
    body = wire.int16(api) + wire.int16(version) + wire.int32(7) + wire.string("tail") + body
    return wire.int32(len(body)) + body


def produce_frame(topic: str, batch: bytes) -> bytes:
    return frame(wire.PRODUCE, 7, wire.Connection.produce_body(topic, 0, batch))


def fetch_frame(topic: str, max_bytes: int) -> tuple[bytes, int]:
    """The request, and where its offset stands in it."""
    head = wire.int32(-1) + wire.int32(500) + wire.int32(1) + wire.int32(max_bytes) + wire.int8(0) + wire.int32(1) + wire.string(topic) + wire.int32(1) + wire.int32(0)
    whole = frame(wire.FETCH, 4, head + wire.int64(0) + wire.int32(max_bytes))
    return whole, len(whole) - 12


class Load:
    """The streams of one run, as native/tail wants them."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.words = folder, []

    def file(self, name: str, frames: list[bytes]) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(frames))
        return str(path)

    def produce(self, topic: str, batches: list[bytes], records: int, interval: float) -> None:
        path = self.file(f"{topic}.produce", [produce_frame(topic, batch) for batch in batches])
        self.words.append(f"produce,{topic},{path},{len(topic)},{records},{max(1, round(interval * 1e6))}")

    def follow(self, topic: str) -> None:
        request, offset_at = fetch_frame(topic, 1 << 20)
        self.words.append(f"follow,{topic} followed,{self.file(f'{topic}.follow', [request])},{len(topic)},{topic},{offset_at}")

    def read(self, topic: str, end: int, rate: float) -> None:
        request, offset_at = fetch_frame(topic, 1 << 20)
        self.words.append(f"read,{topic} read,{self.file(f'{topic}.read', [request])},{len(topic)},{end},{offset_at},{round(rate)}")


# MARK: What the broker tells


class Watch(threading.Thread):
    """Collects the broker's own stalls, and how long each of its threads waited for a processor."""

    def __init__(self, node: Broker):
        super().__init__(daemon=True)
        self.node, self.ending = node, threading.Event()
        self.stalls: dict[int, dict] = {}
        self.samples: list[tuple[float, dict[str, int]]] = []
        self.names: dict[str, str] = {}
        self.tells = True

    def run(self) -> None:
        turn = 0
        while not self.ending.wait(SAMPLE_SECONDS):
            self.sample()
            turn += 1
            if turn % 40 == 0:
                self.take()
        self.sample()
        self.take()

    def take(self) -> None:
        if self.node.kind != "millrace" or not self.tells:
            return
        try:
            with urllib.request.urlopen(f"http://{self.node.http}/trace", timeout=30) as reply:
                for stall in json.load(reply)["stalls"]:
                    self.stalls[stall["number"]] = stall
        except urllib.error.HTTPError:
            self.tells = False  # a build from before there was a trace

    def sample(self) -> None:
        waits: dict[str, int] = collections.Counter()
        for task in pathlib.Path(f"/proc/{self.node.process.pid}/task").iterdir():
            try:
                name = self.names.get(task.name) or self.names.setdefault(task.name, (task / "comm").read_text().strip())
                waits[name] += int((task / "schedstat").read_text().split()[1])
            except OSError:
                continue  # it has ended
        self.samples.append((time.time() * 1e6, waits))

    def processor_wait(self, begin: float, end: float) -> dict[str, float]:
        """Microseconds that threads waited for a processor in about that time."""
        before = [s for s in self.samples if s[0] <= begin][-1:] or self.samples[:1]
        after = [s for s in self.samples if s[0] >= end][:1] or self.samples[-1:]
        if not before or not after:
            return {}
        found = {name: (wait - before[0][1].get(name, 0)) / 1000 for name, wait in after[0][1].items()}
        return {name: wait for name, wait in found.items() if wait > 1000}


@dataclasses.dataclass
class Wait:
    stream: str
    begin: int  # microseconds since 1970, as all times here
    length: int
    late: int
    count: int
    cause: str = ""
    within: list[dict] = dataclasses.field(default_factory=list)


def explain(wait: Wait, watch: Watch, stalls: list[dict]) -> None:
    """Finds the innermost of the broker's stalls that covers the most of the wait, if that is a third of it."""
    begin, end = wait.begin, wait.begin + wait.length
    wait.within = [s for s in stalls if s["at_us"] < end and s["at_us"] + s["us"] > begin]

    def covers(s: dict) -> int:
        return min(end, s["at_us"] + s["us"]) - max(begin, s["at_us"])

    def holds(outer: dict, inner: dict) -> bool:
        return (outer is not inner and outer["thread"] == inner["thread"] and outer["at_us"] <= inner["at_us"] + 100
                and outer["at_us"] + outer["us"] + 100 >= inner["at_us"] + inner["us"] and outer["us"] * 0.5 <= inner["us"])

    # Background work of its own thread holds nobody up by itself: what waits for it is told apart.
    foreground = [s for s in wait.within if s["stage"] not in ("checkpoint", "write-behind", "retention", "removal", "compaction", "admin", "admin.wait")]
    inner = [s for s in foreground if not any(holds(s, other) and not holds(other, s) for other in foreground)]
    best = max(inner, key=covers, default=None)
    waited = watch.processor_wait(begin, end)
    if best and covers(best) >= wait.length / 3:
        wait.cause = best["stage"]
        if waited.get(best["thread"], 0) >= best["us"] / 2:
            wait.cause += " (no processor)"
    elif wait.late >= wait.length / 3:
        wait.cause = "the client ran late"
    elif sum(waited.values()) >= wait.length / 3:
        wait.cause = "no processor"
    else:
        wait.cause = "not told"


# MARK: The trial


def values(count: int, size: int) -> list[bytes]:
    return [os.urandom(size // 2).hex().encode() for _ in range(count)]


def fill(node: Broker, topic: str, size: int) -> int:
    """Writes so many bytes; gives the end offset."""
    batch = wire.Batch(values(COLD_BATCH, RECORD)).encode()
    with wire.Connection(node.bootstrap, timeout=60) as connection:
        for _ in range(max(1, size // len(batch))):
            if error := connection.produce(topic, 0, batch).error:
                raise wire.refusal(error, f"Produce to {topic}")
    return max(1, size // len(batch)) * COLD_BATCH


def drop_from_cache(node: Broker, topic: str) -> None:
    for path in node.folder.rglob("*.log"):
        if path.parent.name.startswith(topic + "-"):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Churn(threading.Thread):
    """Topics that come and go, and old records that leave the page cache again."""

    def __init__(self, node: Broker, ending: float):
        super().__init__(daemon=True)
        self.node, self.ending = node, ending

    def run(self) -> None:
        number = 0
        with wire.Connection(self.node.bootstrap, timeout=60) as connection:
            while time.monotonic() < self.ending:
                connection.create_topic(f"passing-{number}", 20)
                time.sleep(1)
                connection.delete_topic(f"passing-{number}")
                drop_from_cache(self.node, "cold")
                number += 1
                time.sleep(1)


def run(kind: str, program: str, asked) -> list[dict]:
    settings = dict(item.split("=", 1) for item in asked.set) if kind == "millrace" else {}
    node = Broker(kind, program, settings={**(MILLRACE if kind == "millrace" else KAFKA), **settings})
    native = compiled("tail", "tail", ["main.c"], "-pthread")
    try:
        node.start()
        background = not asked.quiet
        segment = {"segment_bytes": asked.segment << 20, "retention_bytes": asked.keep << 20}
        with wire.Connection(node.bootstrap, timeout=60) as connection:
            for topic, configs in (("bulk", segment), ("single", segment), ("keyed", {"cleanup_policy": "compact", "segment_bytes": 8 << 20, "min_cleanable_dirty_ratio": 0.1}), ("cold", {})):
                if error := connection.create_topic(topic, 1, **configs):
                    raise wire.refusal(error, f"CreateTopics of {topic}")
            connection.metadata(["bulk", "single", "keyed", "cold"])
        with tempfile.TemporaryDirectory(prefix="tail-") as folder:
            load = Load(pathlib.Path(folder))
            records = asked.batch // RECORD
            batch = wire.Batch(values(records, RECORD)).encode()
            load.produce("bulk", [batch], records, len(batch) / (asked.rate * 1e6))
            load.follow("bulk")
            load.produce("single", [wire.Batch(values(1, RECORD)).encode()], 1, 1 / asked.singles)
            load.follow("single")
            if background:
                end = fill(node, "cold", asked.cold << 20)
                drop_from_cache(node, "cold")
                load.read("cold", end, asked.cold_rate * 1e6)
                keyed = []
                for number in range(50):
                    body = b"".join(wire.record(n, f"key-{(number * 977 + n * 31) % 20_000}".encode(), value) for n, value in enumerate(values(200, 200)))
                    keyed.append(wire.Batch([], body=body, count=200, last_offset_delta=199).encode())
                load.produce("keyed", keyed, 200, 0.02)
            time.sleep(1)
            watch = Watch(node)
            watch.start()
            if background:
                Churn(node, time.monotonic() + asked.seconds).start()
            host, port = node.bootstrap.rsplit(":", 1)
            done = subprocess.run([native, host, port, str(asked.seconds), *load.words], capture_output=True, text=True, timeout=asked.seconds * 3 + 120)
            watch.ending.set()
            watch.join(60)
        if done.returncode:
            raise BrokerFailure(f"tail ended with {done.returncode}: {done.stderr}\n{node.log_tail()}")
        streams = [json.loads(line) for line in done.stdout.splitlines()]
        report(kind, streams, watch, asked)
        return streams
    finally:
        node.remove()


def report(kind: str, streams: list[dict], watch: Watch, asked) -> None:
    for stream in streams:
        say(f"{kind:9} {stream['name']:16} {stream['count']:8} x {stream['bytes'] / max(1, asked.seconds) / 1e6:7.1f} MB/s   p50 {stream['p50_ms']:8.2f}  p99 {stream['p99_ms']:8.2f}  "
            f"p99.9 {stream['p999_ms']:8.2f}  most {stream['max_ms']:8.2f} ms   the client late by {stream['late_ms']:.1f} ms at most")
    if kind != "millrace":
        return
    stalls = sorted(watch.stalls.values(), key=lambda s: s["at_us"])
    waits = [Wait(stream["name"], *stall) for stream in streams if stream["kind"] != "read" for stall in stream["stalls"]]
    for wait in waits:
        explain(wait, watch, stalls)
    say(f"\n{len(waits)} waits of 5 ms and more; their causes:")
    for cause in sorted({wait.cause for wait in waits}, key=lambda c: -sum(w.length for w in waits if w.cause == c)):
        of = [wait for wait in waits if wait.cause == cause]
        say(f"  {cause:32} {len(of):5} waits, {sum(w.length for w in of) / 1000:9.0f} ms in all, {max(w.length for w in of) / 1000:8.1f} ms at most")
    say("\nthe broker's own stalls:")
    for stage, of in by(stalls, "stage").items():
        say(f"  {stage:16} {len(of):5}, {sum(s['us'] for s in of) / 1000:9.0f} ms in all, {max(s['us'] for s in of) / 1000:8.1f} ms at most")
    say("\nthe longest waits:")
    for wait in sorted(waits, key=lambda w: -w.length)[: asked.show]:
        say(f"  {wait.length / 1000:8.1f} ms {wait.stream}, {wait.count} requests, client late {wait.late / 1000:.1f} ms: {wait.cause}")
        for stall in wait.within:
            say(f"      {(stall['at_us'] - wait.begin) / 1000:+8.1f} ms {stall['stage']:14} {stall['us'] / 1000:8.1f} ms  {stall['thread']:16} {stall['bytes'] or ''} {stall['count'] or ''} {stall['subject']}")
        late = {name: f"{wait_us / 1000:.0f} ms" for name, wait_us in watch.processor_wait(wait.begin, wait.begin + wait.length).items()}
        if late:
            say(f"      waited for a processor: {late}")


def by(rows: list[dict], key: str) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return dict(sorted(found.items(), key=lambda item: -sum(row["us"] for row in item[1])))


def main() -> int:
    options = parser("tail-test", __doc__)
    options.add_argument("--rate", type=float, default=200, help="MB/s of the long batches: half of what Kafka takes from one producer of two cores (default: 200)")
    options.add_argument("--batch", type=int, default=256_000, help="bytes of one (default: 256000)")
    options.add_argument("--singles", type=float, default=500, help="single records a second (default: 500)")
    options.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    options.add_argument("--segment", type=int, default=128, help="MiB of a segment (default: 128)")
    options.add_argument("--keep", type=int, default=512, help="MiB that retention keeps of the long batches (default: 512)")
    options.add_argument("--cold", type=int, default=512, help="MiB of old records (default: 512)")
    options.add_argument("--cold-rate", type=float, default=50, help="MB/s at which they are read (default: 50)")
    options.add_argument("--quiet", action="store_true", help="without the background work")
    options.add_argument("--show", type=int, default=10, help="longest waits that are told one by one (default: 10)")
    options.add_argument("--p999", type=float, default=0, help="fail when the p99.9 of a producer is above so many ms")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the broker")
    options.add_argument("--kafka", help="the launcher of an Apache Kafka distribution, measured beside it")
    asked = options.parse_args()
    remove_on_sigterm()
    streams = run("millrace", asked.binary, asked)
    if asked.kafka:
        run("kafka", asked.kafka, asked)
    worst = max(stream["p999_ms"] for stream in streams if stream["kind"] == "produce")
    if asked.p999 and worst > asked.p999:
        say(f"FAILED: a p99.9 of {worst:.1f} ms")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
