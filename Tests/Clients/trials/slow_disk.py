"""A disk that hiccups, and who waits for it: the longest wait of what needs no disk, and whether members stay."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from harness import wire
from harness.disks.slow_disk import SlowNode
from harness.loads.probes import Member, probes
from trials.command import parser, remove_on_sigterm


def prepared(program: str) -> tuple[SlowNode, int]:
    """A node with topic "seen" (its newest records in memory), "old" (60 MB that are not, as there is no window), and "load"."""
    node = SlowNode(program, {"log.window.memory.percent": "0"}).start()
    with wire.Connection(node.bootstrap) as connection:
        for name in ("seen", "old", "load"):
            assert connection.create_topic(name, 1) == 0
        batch = wire.Batch([bytes(60_000)]).encode()
        for _ in range(1000):
            assert connection.produce("old", 0, batch).error == 0
        time.sleep(2.5)  # written behind
        small = wire.Batch([b"small"]).encode()
        for _ in range(20):
            last = connection.produce("seen", 0, small).base_offset
    return node, last


def load(node, program: str, seconds: int) -> subprocess.Popen:
    return subprocess.Popen(
        [program, "bench", "produce", "--bootstrap", node.bootstrap, "--topic", "load", "--size", "1024", "--producers", "4",
         "--duration", str(seconds)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cold_reader(node, ending: threading.Event, counted: list[int]) -> threading.Thread:
    """Reads "old" from its start, over and over."""
    def run():
        with wire.Connection(node.bootstrap, timeout=60) as connection:
            while not ending.is_set():
                error, _, records = connection.fetch("old", 0, 100 * (counted[0] % 8), max_wait_ms=0)
                assert error == 0 and records
                counted[0] += 1
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def measure(title: str, node, program: str, last: int, seconds: int, limit: float, reads: bool) -> bool:
    running = probes(node, "seen", last, f"watchers-{title}")
    for probe in running:
        probe.start()
    time.sleep(1)
    for probe in running:
        probe.longest = 0
    ending, cold = threading.Event(), [0]
    producers = load(node, program, seconds)
    if reads:
        node.slow_reads(500)
        reader = cold_reader(node, ending, cold)
    else:
        node.slow_syncs(700)
    time.sleep(seconds)
    for probe in running:
        probe.end()
    node.well()
    ending.set()
    producers.wait(60)
    good = True
    for probe in running:
        fits = probe.failure is None and probe.longest <= limit
        good = good and fits
        what = f"failed: {probe.failure!r}" if probe.failure else f"longest wait {probe.longest * 1000:7.1f} ms of {probe.count}"
        print(f"  {title:12} {probe.name:18} {what}   {'' if fits else f'MORE THAN {limit * 1000:.0f} ms'}")
    if reads:
        reader.join(30)
        print(f"  {title:12} beside {cold[0]} fetches from the disk, {node.count('slow_reads')} slow reads")
        good = good and cold[0] > 0
    else:
        print(f"  {title:12} beside four producers, {node.count('slow_syncs')} slow syncs")
    return good


def members_stay(node, sync_ms: int) -> bool:
    """Members of librdkafka and of a client of our own, sessions of 6 s, while one sync takes ten."""
    from confluent_kafka import Consumer

    own = Member(node.bootstrap, "own")
    changes: list[str] = []
    consumer = Consumer({
        "bootstrap.servers": node.bootstrap, "group.id": "librdkafka", "session.timeout.ms": 6000, "heartbeat.interval.ms": 2000,
        "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe(["seen"], on_revoke=lambda *_: changes.append("revoked"), on_lost=lambda *_: changes.append("lost"))
    deadline = time.monotonic() + 20
    while not consumer.assignment() and time.monotonic() < deadline:
        consumer.poll(0.1)
    assert consumer.assignment(), "librdkafka did not join"
    before = node.count("slow_syncs")
    node.slow_syncs(sync_ms, every=3_600_000)
    # The commit of an offset is what waits; the heartbeats of the same member stand behind it, as a client sends one at a time.
    own.heartbeat()
    correlation = own.send_commit("seen", 1)
    began = time.monotonic()
    answered, failure = threading.Event(), []

    def keep_alive():
        own.connection.receive(correlation)
        answered.set()
        while time.monotonic() - began < sync_ms / 1000 + 8 and not failure:
            try:
                own.heartbeat()
            except wire.WireError as reason:
                failure.append(str(reason))
            time.sleep(1)

    alive = threading.Thread(target=keep_alive, daemon=True)
    alive.start()
    while alive.is_alive():
        consumer.poll(0.2)
    node.well()
    good = not changes and not failure and answered.is_set() and node.count("slow_syncs") > before
    print(f"  members      librdkafka: {', '.join(changes) or 'stayed'}; our own, behind a commit that took {sync_ms / 1000:.0f} s: "
          f"{', '.join(failure) or 'stayed'}   {'' if good else 'A MEMBER LEFT'}")
    consumer.close()
    return good


def main() -> int:
    options = parser("slow-disk-test", __doc__)
    options.add_argument("--seconds", type=int, default=12)
    options.add_argument("--members", action="store_true", help="only whether members stay")
    options.add_argument("--limit", type=float, default=50, help="longest wait that is right, in milliseconds")
    asked = options.parse_args()
    remove_on_sigterm()
    node, last = prepared(asked.binary)
    try:
        good = True
        for reads in () if asked.members else (False, True):
            title = "slow reads" if reads else "slow syncs"
            good = measure(title, node, asked.binary, last, asked.seconds, asked.limit / 1000, reads) and good
        good = members_stay(node, 10_000) and good
    finally:
        node.well()
        node.remove()
    print("passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
