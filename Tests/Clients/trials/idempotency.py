"""Kills the broker with kill -9 at random moments while several senders post events with keys, each again and again until it is
acknowledged. In the end each event is there once: none that was acknowledged is lost, and none is there twice. A repeat of an
acknowledged one gets the reply that the first got."""

from __future__ import annotations

import collections
import json
import random
import sys
import threading
import time

from harness.broker import Broker
from harness.http import Connection, NoReply, call
from harness.loads.writers import Violation
from trials.command import FAILURES, parser, remove_on_sigterm, say

TOPICS = ("plain", "keyed")
PARTITIONS = 3
SENDERS = 6
AGAIN = (409, 429, 500, 502, 503, 504, 507)  # what says that the same request may be sent again


class Sender(threading.Thread):
    """Sends one event, or one small batch, after the other, each until it is acknowledged."""

    def __init__(self, node: Broker, name: int, seed: int):
        super().__init__(daemon=True)
        self.node, self.name_, self.random = node, name, random.Random(seed)
        self.stopping = threading.Event()
        self.acknowledged: dict[str, tuple[str, dict[str, str], bytes, bytes]] = {}  # key: path, fields, body, reply
        self.failure: Exception | None = None
        self.again = self.replayed = 0

    def run(self) -> None:
        try:
            number = 0
            connection = None
            while not self.stopping.is_set():
                number += 1
                connection = self.send(connection, number)
        except Exception as error:  # the trial's own thread reports it
            self.failure = error

    def send(self, connection: Connection | None, number: int) -> Connection | None:
        topic = TOPICS[number % 2]
        key = f"{self.name_}-{number}"
        events = [{"id": f"{key}-{index}", "pad": "x" * self.random.choice((10, 200, 3000))} for index in range(self.random.choice((1, 1, 1, 5)))]
        body = json.dumps(events[0] if len(events) == 1 else events).encode()
        fields = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
        if topic == "keyed":
            fields["Partition-Key"] = str(number % 11)
        path = f"/v1/topics/{topic}/events"
        while True:
            try:
                connection = connection or Connection(self.node.http)
                reply = connection.request("POST", path, body, fields)
            except (OSError, NoReply, AssertionError):
                connection = None
                self.again += 1
                time.sleep(0.01)
                continue
            if reply.status in AGAIN:
                self.again += 1
                if reply.field("Connection") == "close":
                    connection = None
                time.sleep(0.01)
                continue
            if reply.status not in (200, 201):
                raise Violation(f"{key}: {reply.status} {reply.body[:300]!r}")
            self.replayed += reply.field("Idempotent-Replayed") == "true"
            self.acknowledged[key] = (path, fields, body, reply.body)
            return connection


def stored(node: Broker) -> collections.Counter:
    """How often each event is there."""
    found: collections.Counter = collections.Counter()
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            offset = 0
            while True:
                reply = call(node.http, "GET", f"/v1/topics/{topic}/partitions/{partition}/records?offset={offset}&limit=1000")
                if reply.status == 404:
                    break
                page = reply.json
                for record in page["records"]:
                    found[record["value"]["id"]] += 1
                if page["next_offset"] == offset:
                    break
                offset = page["next_offset"]
    return found


def check(node: Broker, senders: list[Sender], seed: int) -> int:
    """Judges what is there; gives how many events."""
    found = stored(node)
    twice = sorted(name for name, count in found.items() if count > 1)
    if twice:
        raise Violation(f"{len(twice)} events are there twice: {twice[:5]}")
    expected = {event["id"] for sender in senders for _, _, body, _ in sender.acknowledged.values() for event in flat(json.loads(body))}
    lost = sorted(expected - found.keys())
    if lost:
        raise Violation(f"{len(lost)} acknowledged events are lost: {lost[:5]}")
    chance = random.Random(seed)
    for sender in senders:
        for key in chance.sample(sorted(sender.acknowledged), min(20, len(sender.acknowledged))):
            path, fields, body, first = sender.acknowledged[key]
            with Connection(node.http) as connection:
                reply = connection.request("POST", path, body, fields)
            if reply.field("Idempotent-Replayed") != "true" or reply.body != first:
                raise Violation(f"the repeat of {key} got {reply.status} {reply.body[:300]!r}, the first {first[:300]!r}")
    if sum(stored(node).values()) != sum(found.values()):
        raise Violation("repeats were stored")
    return len(found)


def flat(value) -> list:
    return value if isinstance(value, list) else [value]


def run(node: Broker, seed: int, rounds: int, say=lambda _: None) -> None:
    chance = random.Random(seed)
    node.start()
    senders = [Sender(node, name, seed + name) for name in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for round_ in range(rounds):
            time.sleep(chance.uniform(0.05, 0.6))
            node.kill()
            if chance.random() < 0.3:
                node.start(wait=False)
                node.die_at_start(chance)
            node.start()
            for sender in senders:
                if sender.failure:
                    raise sender.failure
            if (round_ + 1) % 50 == 0:
                say(f"{round_ + 1} rounds, {sum(len(sender.acknowledged) for sender in senders)} requests")
        time.sleep(0.3)
    finally:
        for sender in senders:
            sender.stopping.set()
    for sender in senders:
        sender.join(60)
        if sender.failure:
            raise sender.failure
        if sender.is_alive():
            raise Violation(f"sender {sender.name_} waits for an acknowledgement that does not come")
    events = check(node, senders, seed)
    again = sum(sender.again for sender in senders)
    replayed = sum(sender.replayed for sender in senders)
    if not again:
        raise Violation("no kill met a request: the trial has shown nothing")
    say(f"{events} events, {again} requests sent again, {replayed} of them stored before")


def main() -> int:
    arguments = parser("idempotency-test", __doc__, seeded=True)
    arguments.add_argument("--rounds", type=int, default=200)
    options = arguments.parse_args()
    remove_on_sigterm()
    node = idempotent_node(options.binary)
    try:
        run(node, options.seed, options.rounds, say)
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe data is in {node.folder}")
        node.owns_folder = False
        return 1
    finally:
        node.remove()
    say(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


def idempotent_node(program: str) -> Broker:
    # Room for all that a long trial sends.
    return Broker("millrace", program, {"num.partitions": str(PARTITIONS), "http.idempotency.max.bytes": str(1 << 30)})


if __name__ == "__main__":
    sys.exit(main())
