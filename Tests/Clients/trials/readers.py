"""What the readers of one topic cost that read by HTTP, as Server-Sent Events, beside consumers of Kafka: the broker's CPU for one event
to one reader. At the end of the topic, where an event comes at a time (what writing it costs is taken off, as measured without a
reader); and behind, where all events are there already. A measurement: it fails only when something does not work."""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from harness import wire
from harness.broker import Broker
from harness.http import request
from trials.command import FAILURES, parser, remove_on_sigterm, say
from trials.follow import TOPIC, Session, cpu_seconds

EVENT = b'{"id":"%s"}' % (b"x" * 191)  # 200 bytes
BATCH = 100
UNCOUNTED = 50
SECONDS = 120


class Stream:
    """A reader of the topic by Server-Sent Events, which looks at where it stands alone."""

    def __init__(self, node: Broker, start: str):
        self.socket = socket.create_connection(("127.0.0.1", node.http_port), timeout=60)
        self.socket.sendall(request("GET", f"/v1/topics/{TOPIC}/stream?from={start}"))
        self.last = b""

    def receive(self) -> None:
        part = self.socket.recv(1 << 18)
        if not part:
            raise wire.WireError(f"a stream has ended: {self.last!r}")
        self.last = (self.last + part)[-512:]

    def stands_at(self, offset: int) -> bool:
        return b"id: p0:%d\n" % offset in self.last


def wait_for(streams: list[Stream], offset: int) -> None:
    poll, open_streams = select.poll(), {stream.socket.fileno(): stream for stream in streams if not stream.stands_at(offset)}
    for number in open_streams:
        poll.register(number, select.POLLIN)
    until = time.monotonic() + SECONDS
    while open_streams:
        if time.monotonic() > until:
            raise wire.WireError(f"{len(open_streams)} streams have not come to offset {offset} in {SECONDS} seconds")
        for number, _ in poll.poll(1000):
            open_streams[number].receive()
            if open_streams[number].stands_at(offset):
                poll.unregister(number)
                del open_streams[number]


def write(writer: wire.Connection, batch: bytes) -> None:
    if error := writer.produce(TOPIC, 0, batch).error:
        raise wire.WireError(f"a produce gives error {error}")


def at_the_end(node: Broker, writer: wire.Connection, events: int, deliver: Callable[[int], None]) -> float:
    """CPU of one event, in seconds; `deliver` has it received, up to an offset."""
    batch = wire.Batch([EVENT]).encode()
    for number in range(UNCOUNTED + events):
        if number == UNCOUNTED:
            time.sleep(1)
            before = cpu_seconds(node.process.pid)
        write(writer, batch)
        deliver(number + 1)
    return (cpu_seconds(node.process.pid) - before) / events


def tail(program: str, kind: str, readers: int, events: int) -> float:
    node = Broker("millrace", program).start()
    try:
        with wire.Connection(node.bootstrap, timeout=60) as writer:
            writer.create_topic(TOPIC, 1)
            if kind == "http":
                streams = [Stream(node, "earliest") for _ in range(readers)]
                wait_for(streams, 0)
                return at_the_end(node, writer, events, lambda offset: wait_for(streams, offset))
            sessions = [Session(node.bootstrap, 1) for _ in range(readers)]
            for session in sessions:
                session.send([])

            def deliver(_: int) -> None:
                for session in sessions:
                    while not (read := session.receive()):
                        session.send([])
                    session.send(read)

            return at_the_end(node, writer, events, deliver)
    finally:
        node.remove()


def behind(program: str, kind: str, readers: int, events: int) -> float:
    node = Broker("millrace", program).start()
    try:
        with wire.Connection(node.bootstrap, timeout=60) as writer:
            writer.create_topic(TOPIC, 1)
            batch = wire.Batch([EVENT] * BATCH).encode()
            for _ in range(events // BATCH):
                write(writer, batch)
        time.sleep(2)  # what is written behind is written
        before = cpu_seconds(node.process.pid)
        if kind == "http":
            wait_for([Stream(node, "earliest") for _ in range(readers)], events)
        else:
            command = [program, "bench", "consume", "--topic", TOPIC, "--consumers", str(readers), "--bootstrap", node.bootstrap]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS)
        return (cpu_seconds(node.process.pid) - before) / events
    finally:
        node.remove()


def measure(program: str, kind: str, readers: int, options: argparse.Namespace) -> tuple[float, float]:
    """At the end and behind, in microseconds for an event to a reader."""
    events = options.events * (10 if readers == 1 else 1)
    written = tail(program, kind, 0, events)
    delivered = tail(program, kind, readers, events)
    events = BATCH * max(1, options.deliveries // readers // BATCH)
    return (delivered - written) / readers * 1e6, behind(program, kind, readers, events) / readers * 1e6


def main() -> int:
    arguments = parser("readers-test", __doc__)
    arguments.add_argument("--before", type=os.path.abspath, help="another millrace binary, measured in turn with the first")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--readers", type=int, nargs="+", default=[1, 200], help="at a time (default: 1 200)")
    arguments.add_argument("--events", type=int, default=300, help="one at a time; ten times as many to a single reader (default: 300)")
    arguments.add_argument("--deliveries", type=int, default=1_000_000, help="of all readers together, behind (default: 1,000,000)")
    options = arguments.parse_args()
    remove_on_sigterm()
    os.environ.setdefault("TMPDIR", "/var/tmp")  # a real disk, where /tmp may be memory
    programs = {"before": options.before, "now": options.binary} if options.before else {"now": options.binary}
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    try:
        for _ in range(options.rounds):
            for readers in options.readers:
                for kind in ("http", "kafka"):
                    for name, program in programs.items():
                        found.setdefault((name, kind, readers), []).append(measure(program, kind, readers, options))
    except (*FAILURES, subprocess.SubprocessError) as failure:
        say(f"FAILED: {failure}")
        return 1
    say(f"The broker's CPU for one event of {len(EVENT)} bytes to one reader, in microseconds; median of {options.rounds} rounds, and the least and the most:")
    say(f"{'build':>8} {'by':>6} {'readers':>8} {'at the end, one at a time':>28} {'behind':>24}")
    for (name, kind, readers), rounds in found.items():
        end, all_there = ([costs[place] for costs in rounds] for place in (0, 1))
        shown = [f"{statistics.median(costs):.2f} ({min(costs):.2f} to {max(costs):.2f})" for costs in (end, all_there)]
        say(f"{name:>8} {kind:>6} {readers:>8} {shown[0]:>28} {shown[1]:>24}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
