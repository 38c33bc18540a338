"""How long a node with much data takes to serve again after kill -9 under load. A measurement: it
fails only when something does not work; it exits with 77 when the disk has too little room."""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
import time

from harness import wire
from harness.broker import Broker
from harness.loads import raw_load
from trials.command import SKIPPED, parser, remove_on_sigterm, say

TOPIC, PARTITIONS, VALUE = "recovered", 8, 900_000
SPARE = 10 << 30  # left to everybody else on that disk


def main() -> int:
    arguments = parser("recovery-test", __doc__)
    arguments.add_argument("--gb", type=float, default=20)
    arguments.add_argument("--folder", default="/var/tmp", help="where the data goes: a real disk")
    arguments.add_argument("--kills", type=int, default=3)
    options = arguments.parse_args()
    remove_on_sigterm()
    free = shutil.disk_usage(options.folder).free
    if free < options.gb * 1e9 + SPARE:
        say(f"SKIPPED: {options.folder} has {free / 1e9:.1f} GB free, and {options.gb + SPARE / 1e9:.1f} are needed")
        return SKIPPED
    home = tempfile.mkdtemp(prefix="recovery-", dir=options.folder)
    node = Broker("millrace", options.binary, folder=home)
    try:
        node.start()
        with wire.Connection(node.bootstrap, timeout=30) as connection:
            error = connection.create_topic(TOPIC, PARTITIONS)
            if error:
                raise RuntimeError(f"the topic cannot be created: error {error}")
        load = raw_load.run(node, TOPIC, PARTITIONS, c=4, f=4, s=VALUE, r=int(options.gb * 1e9 / VALUE))
        say(f"written: {load['acknowledged'] * VALUE / 1e9:.1f} GB, {load['mb_per_second']} MB/s")
        for _ in range(options.kills):
            # Small ones go by the journal, large ones are written through to the segments: something of both is to be recovered.
            running = [raw_load.start(node, TOPIC, PARTITIONS, c=4, f=4, s=size, d=60, w=0) for size in (VALUE, 1000)]
            time.sleep(4)
            node.kill()
            for process in running:
                process.communicate()
            began = time.monotonic()
            node.start()
            took = time.monotonic() - began
            with wire.Connection(node.bootstrap, timeout=30) as connection:
                there = sum(connection.list_offsets(TOPIC, range(PARTITIONS), -1).values())
            if there < load["acknowledged"]:
                raise RuntimeError(f"{load['acknowledged']} records were acknowledged, {there} are there")
            used = sum(file.stat().st_size for file in pathlib.Path(home).rglob("*.log"))
            say(f"killed under load with {used / 1e9:.1f} GB of log: ready after {took:.2f} s, {node.resident_bytes() >> 20} MiB of memory")
        node.stop()
        began = time.monotonic()
        node.start()
        say(f"stopped in order: ready after {time.monotonic() - began:.2f} s")
        return 0
    finally:
        node.remove()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
