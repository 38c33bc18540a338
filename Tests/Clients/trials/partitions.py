"""What partitions cost. The same clients write small batches to 1, 100 and 2,000 partitions;
memory, start and restart with 2,000 and with 10,000. A measurement: it fails only when something does not work."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time

from harness import wire
from harness.broker import Broker
from harness.loads import raw_load
from trials.command import parser, remove_on_sigterm, say

TOPIC = "partitions"
CLIENTS = 64


def mib(node: Broker) -> str:
    return f"{node.resident_bytes() / (1 << 20):.0f} MiB"


def create(node: Broker, partitions: int) -> float:
    began = time.monotonic()
    with wire.Connection(node.bootstrap, timeout=120) as connection:
        error = connection.create_topic(TOPIC, partitions)
        if error:
            raise RuntimeError(f"{partitions} partitions cannot be created: error {error}")
    return time.monotonic() - began


def stop(node: Broker) -> str:
    """How long an orderly stop takes; the node itself cuts it short after five seconds."""
    process, node.process = node.process, None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    return f"{time.monotonic() - began:.2f} s" + (f" (cut short, status {status})" if status else "")


def start(node: Broker) -> float:
    began = time.monotonic()
    node.start(wait=False)
    node.wait_ready(120)
    return time.monotonic() - began


def throughput(program: str, counts: list[int], rounds: int, seconds: int) -> None:
    results: dict[int, list[dict]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            node = Broker("millrace", program).start()
            try:
                create(node, count)
                results[count].append(raw_load.run(node, TOPIC, count, c=CLIENTS, s=100, d=seconds, w=2))
            finally:
                node.remove()
    say(f"{CLIENTS} clients, one record of 100 bytes in flight each, to one partition after the other; median of {rounds} rounds of {seconds} s:")
    say(f"{'partitions':>12} {'acks/s':>10} {'p50 us':>8} {'p99 us':>8}   all rounds")
    medians = {}
    for count, found in results.items():
        medians[count] = statistics.median(r["per_second"] for r in found)
        p50, p99 = (statistics.median(r[key] for r in found) for key in ("p50_us", "p99_us"))
        say(f"{count:>12,} {medians[count]:>10,.0f} {p50:>8,.0f} {p99:>8,.0f}   {[r['per_second'] for r in found]}")
    first, last = counts[0], counts[-1]
    say(f"{last:,} partitions give {medians[last] / medians[first]:.2f} of what {first:,} gives")


def memory_and_starts(program: str, count: int, seconds: int) -> None:
    node = Broker("millrace", program).start()
    try:
        empty = mib(node)
        took = create(node, count)
        created = mib(node)
        load = raw_load.run(node, TOPIC, count, c=CLIENTS, s=100, d=seconds, w=0)
        written = mib(node)
        stopped = stop(node)
        clean = start(node)
        restarted = mib(node)
        running = raw_load.start(node, TOPIC, count, c=CLIENTS, s=100, d=60, w=0)
        time.sleep(3)
        node.kill()
        running.communicate()
        killed = start(node)
        with wire.Connection(node.bootstrap, timeout=60) as connection:
            ends = connection.list_offsets(TOPIC, range(count), -1)
        if sum(ends.values()) < load["acknowledged"]:
            raise RuntimeError(f"{load['acknowledged']} records were acknowledged, {sum(ends.values())} are there")
        say(f"{count:,} partitions: created in {took:.2f} s; memory {empty} empty, {created} created, {written} after {load['acknowledged']:,} records ({load['per_second']:,.0f}/s), {restarted} after a restart, {mib(node)} after kill -9 and restart")
        say(f"{count:,} partitions: orderly stop {stopped}, start {clean:.2f} s, start after kill -9 under load {killed:.2f} s")
    finally:
        node.remove()


def main() -> int:
    arguments = parser("partitions-test", __doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=5)
    options = arguments.parse_args()
    remove_on_sigterm()
    os.environ.setdefault("TMPDIR", "/var/tmp")  # a real disk, where /tmp may be memory
    throughput(options.binary, [1, 100, 2000], options.rounds, options.seconds)
    for count in (2000, 10_000):
        memory_and_starts(options.binary, count, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
