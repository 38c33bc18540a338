"""The well-behaved client beside an attack: a program of its own, so that nothing of the attacker's holds it up.

usage: pinger.py KAFKA HTTP TOPIC FOLDER [--keep]

It asks /healthz, and produces a record and fetches it again, every 20 ms, from another address than the attacker's
(127.0.0.2). Its HTTP requests come on new connections, with --keep on one. "ready" is printed after the first answers; at the
end of standard input one line of JSON: the longest time without a good answer on each edge, and of the machine itself: how
much too late a thread woke that only slept, and how long the sync of 4 KiB took in a file of its own in FOLDER."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from harness import wire  # noqa: E402

PERIOD = 0.02
PATIENCE = 30
ADDRESS = "127.0.0.2"


def connect(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    found = socket.create_connection((host, int(port)), timeout=PATIENCE, source_address=(ADDRESS, 0))
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


class Pinger(threading.Thread):
    """Calls `ping` again and again; what it raises is no answer."""

    def __init__(self, ping):
        super().__init__(daemon=True)
        self.ping, self.longest, self.count, self.failures = ping, 0.0, 0, 0
        self.last_failure = ""
        self.is_first_done = threading.Event()
        self.answered = time.monotonic()

    def run(self) -> None:
        while True:
            asked = time.monotonic()
            try:
                self.ping()
                now = time.monotonic()
                # Since it asked; after failures, since the first of them.
                self.longest = max(self.longest, now - max(self.answered + PERIOD, min(asked, self.first_failure or asked)))
                self.answered, self.first_failure = now, None
                self.count += 1
                self.is_first_done.set()
            except (OSError, wire.WireError, AssertionError) as failure:
                self.failures += 1
                self.last_failure = repr(failure)
                self.first_failure = self.first_failure or asked
            time.sleep(PERIOD)

    first_failure: float | None = None

    def result(self) -> dict:
        # What is still not answered counts, too.
        waiting = max(0.0, time.monotonic() - self.answered - 2 * PERIOD) if self.is_first_done.is_set() else PATIENCE
        return {"longest": max(self.longest, waiting), "count": self.count, "failures": self.failures, "last": self.last_failure}


class Health:
    def __init__(self, address: str, keeps: bool):
        self.address, self.keeps, self.socket = address, keeps, None

    def __call__(self) -> None:
        connection, self.socket = self.socket or connect(self.address), None
        try:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            reply = connection.recv(4096)
            assert reply.startswith(b"HTTP/1.1 200"), reply[:60]
            if self.keeps:
                self.socket = connection
        finally:
            if self.socket is None:
                connection.close()


class Records:
    def __init__(self, address: str, topic: str):
        self.address, self.topic, self.connection = address, topic, None
        self.batch = wire.Batch([b"ping"]).encode()

    def __call__(self) -> None:
        if self.connection is None:
            self.connection = wire.Connection.__new__(wire.Connection)
            self.connection.socket = connect(self.address)
        try:
            produced = self.connection.produce(self.topic, 0, self.batch)
            assert produced.error == 0, f"Produce: error {produced.error}"
            error, _, stored = self.connection.fetch(self.topic, 0, produced.base_offset)
            assert error == 0 and stored, f"Fetch: error {error}, {len(stored)} bytes"
        except (OSError, wire.WireError):
            self.connection.socket.close()
            self.connection = None
            raise


class Machine(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.longest = 0.0

    def run(self) -> None:
        while True:
            slept = time.monotonic()
            time.sleep(PERIOD)
            self.longest = max(self.longest, time.monotonic() - slept - PERIOD)


class Disk(threading.Thread):
    """What a sync takes on the broker's disk, of a file that is not the broker's."""

    PERIOD = 0.1

    def __init__(self, folder: str):
        super().__init__(daemon=True)
        self.longest = 0.0
        self.file = os.open(pathlib.Path(folder, "pinger-disk"), os.O_RDWR | os.O_CREAT)

    def run(self) -> None:
        while True:
            began = time.monotonic()
            os.pwrite(self.file, bytes(4096), 0)
            os.fdatasync(self.file)
            self.longest = max(self.longest, time.monotonic() - began)
            time.sleep(self.PERIOD)


def main() -> None:
    kafka, http, topic, folder = sys.argv[1:5]
    machine, disk = Machine(), Disk(folder)
    pingers = {"http": Pinger(Health(http, "--keep" in sys.argv)), "kafka": Pinger(Records(kafka, topic))}
    for thread in (machine, disk, *pingers.values()):
        thread.start()
    for pinger in pingers.values():
        pinger.is_first_done.wait(PATIENCE)
    time.sleep(0.2)
    for thread in (machine, disk, *pingers.values()):
        thread.longest = 0.0
    print("ready", flush=True)
    sys.stdin.read()
    print(json.dumps({**{name: pinger.result() for name, pinger in pingers.items()}, "machine": machine.longest, "disk": disk.longest}), flush=True)


if __name__ == "__main__":
    main()
