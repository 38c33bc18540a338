"""Kills the broker with kill -9 at random moments while several senders post events with keys, each again and again until it is
acknowledged: in every form that the gateway takes, by HTTP/1.1 and by HTTP/2. In the end each event is there once: none that was
acknowledged is lost, and none is there twice. A repeat of an acknowledged one gets the reply that the first got. Events with keys of their
own are sent again among others, also such as are stored already, and each keeps its place."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import random
import sys
import threading
import time

from harness.broker import Broker
from harness.http import Connection, NoReply, call
from harness.loads.writers import Violation
from trials.command import FAILURES, parser, remove_on_sigterm, say
from trials.event_forms import FORMS, OWN_KEYS, ROUTES, TOPICS, Sent, id_of, is_acknowledged

PARTITIONS = 3
SENDERS = 6
AGAIN = (409, 429, 500, 502, 503, 504, 507)  # what says that the same request may be sent again
ALL_FORMS = (*FORMS, *OWN_KEYS)


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes
    is_replay: bool


class FirstVersion:
    """A sender's own connection of HTTP/1.1."""

    name = "HTTP/1.1"

    def __init__(self, address: str):
        self.address = address
        self.connection: Connection | None = None

    def post(self, sent: Sent) -> Answer | None:
        try:
            self.connection = self.connection or Connection(self.address)
            reply = self.connection.request("POST", sent.path, sent.body, sent.fields)
        except (OSError, NoReply, AssertionError):
            self.connection = None
            return None
        if reply.field("Connection") == "close":
            self.connection = None
        return Answer(reply.status, reply.body, reply.field("Idempotent-Replayed") == "true")


class SecondVersion:
    """Streams of a connection of HTTP/2 that senders share. Its client is one thread's: two that begin a stream at once get the same one."""

    name = "HTTP/2"

    def __init__(self, address: str):
        import httpx

        self.failure = httpx.TransportError
        self.loop = asyncio.new_event_loop()
        self.client = httpx.AsyncClient(http1=False, http2=True, base_url=f"http://{address}", timeout=15, limits=httpx.Limits(max_connections=1))
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def post(self, sent: Sent) -> Answer | None:
        try:
            reply = asyncio.run_coroutine_threadsafe(self.client.post(sent.path, content=sent.body, headers=sent.fields), self.loop).result()
        except self.failure:
            return None
        if reply.http_version != "HTTP/2":
            raise Violation(f"a client of HTTP/2 was answered by {reply.http_version}")
        return Answer(reply.status_code, reply.content, reply.headers.get("Idempotent-Replayed") == "true")


@dataclasses.dataclass
class Acknowledged:
    form: str
    sent: Sent
    reply: bytes


@dataclasses.dataclass
class Placed:
    """An event with a key of its own that is stored."""

    event: dict
    place: tuple[int, int]
    """Partition and offset."""


class Sender(threading.Thread):
    """Sends one event, or one small batch, after the other, each until it is acknowledged."""

    def __init__(self, road: FirstVersion | SecondVersion, cluster: str, name: int, seed: int):
        super().__init__(daemon=True)
        self.road, self.cluster, self.name_, self.random = road, cluster, name, random.Random(seed)
        self.stopping = threading.Event()
        self.acknowledged: dict[str, Acknowledged] = {}  # by key
        self.placed: dict[str, dict[str, Placed]] = {form: {} for form in OWN_KEYS}  # by the event's id
        self.batches: collections.Counter = collections.Counter()
        self.failure: Exception | None = None
        self.again = self.replayed = self.duplicates = 0

    def run(self) -> None:
        try:
            number = 0
            while not self.stopping.is_set():
                number += 1
                self.send(number)
        except Exception as error:  # the trial's own thread reports it
            self.failure = error

    def send(self, number: int) -> None:
        form = ALL_FORMS[(number + self.name_) % len(ALL_FORMS)]
        key = f"{self.name_}-{number}"
        if form in OWN_KEYS:
            return self.send_own(form, key)
        sent = FORMS[form](key, self.random, self.cluster)
        while True:
            answer = self.road.post(sent)
            if answer is None or answer.status in AGAIN:
                self.again += 1
                time.sleep(0.01)
                continue
            if not is_acknowledged(answer.status, answer.body):
                raise Violation(f"{key}, {form}, {self.road.name}: {answer.status} {answer.body[:300]!r}")
            self.replayed += answer.is_replay
            self.acknowledged[key] = Acknowledged(form, sent, answer.body)
            return

    def send_own(self, form: str, key: str) -> None:
        """Sends some events until each is stored, in another company each time."""
        ways, known = OWN_KEYS[form], self.placed[form]
        todo = {name: ways.make(name, self.random) for name in (f"{key}-{index}" for index in range(self.random.choice((1, 3, 6))))}
        while todo:
            batch = self.random.sample(list(todo.values()), self.random.randint(1, len(todo)))
            batch += [known[name].event for name in self.random.sample(list(known), min(len(known), self.random.choice((0, 0, 2))))]
            self.random.shuffle(batch)
            results = self.results(form, batch)
            if results is None:
                self.again += 1
                time.sleep(0.01)
                continue
            self.batches[form] += 1
            for event, result in zip(batch, results, strict=True):
                if result["status"] == "retry":
                    self.again += 1
                    continue
                if result["status"] not in ("ok", "duplicate"):
                    raise Violation(f"{event['id']}, {form}, {self.road.name}: {result}")
                self.duplicates += result["status"] == "duplicate"
                placed = Placed(event, (result["partition"], result["offset"]))
                if known.setdefault(event["id"], placed).place != placed.place:
                    raise Violation(f"{event['id']}, {form}, {self.road.name} was at {known[event['id']].place} and is at {placed.place}")
                todo.pop(event["id"], None)

    def results(self, form: str, batch: list[dict]) -> list[dict] | None:
        """What became of each event; None: nobody knows, or they are to be sent again."""
        answer = self.road.post(OWN_KEYS[form].encode(batch, self.random))
        if answer is None or answer.status in AGAIN:
            return None
        if answer.status not in (201, 207):
            raise Violation(f"{[event['id'] for event in batch]}, {form}, {self.road.name}: {answer.status} {answer.body[:300]!r}")
        return json.loads(answer.body)["results"]


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
                    found[id_of(record["value"])] += 1
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
    expected = {name for sender in senders for one in sender.acknowledged.values() for name in one.sent.ids}
    expected |= {name for sender in senders for placed in sender.placed.values() for name in placed}
    lost = sorted(expected - found.keys())
    if lost:
        raise Violation(f"{len(lost)} acknowledged events are lost: {lost[:5]}")
    chance = random.Random(seed)
    roads = (FirstVersion(node.http), SecondVersion(node.http))
    for sender in senders:
        for key in chance.sample(sorted(sender.acknowledged), min(20, len(sender.acknowledged))):
            one = sender.acknowledged[key]
            # By the other version of HTTP as well: it is the same request.
            road = chance.choice(roads)
            again = road.post(one.sent)
            if again is None or not again.is_replay or again.body != one.reply:
                raise Violation(f"the repeat of {key}, {one.form}, {road.name} got {again}, the first {one.reply[:300]!r}")
        for form, known in sender.placed.items():
            repeat_own(form, chance.sample(sorted(known), min(20, len(known))), known, chance.choice(roads), chance)
    if sum(stored(node).values()) != sum(found.values()):
        raise Violation("repeats were stored")
    return len(found)


def repeat_own(form: str, names: list[str], known: dict[str, Placed], road: FirstVersion | SecondVersion, chance: random.Random) -> None:
    """Sends stored events once more, a few in each request: each is where it was."""
    while names:
        some, names = names[:5], names[5:]
        answer = road.post(OWN_KEYS[form].encode([known[name].event for name in some], chance))
        if answer is None or answer.status != 201 or not answer.is_replay:
            raise Violation(f"the repeat of {some}, {form}, {road.name} got {answer}")
        places = [(result["partition"], result["offset"]) for result in json.loads(answer.body)["results"]]
        if places != [known[name].place for name in some]:
            raise Violation(f"the repeat of {some}, {form}, {road.name} is at {places}, the first {[known[name].place for name in some]}")


def acknowledged(senders: list[Sender]) -> collections.Counter:
    """Requests by version of HTTP and form."""
    found = collections.Counter((sender.road.name, one.form) for sender in senders for one in list(sender.acknowledged.values()))
    for sender in senders:
        found.update({(sender.road.name, form): count for form, count in list(sender.batches.items())})
    return found


def missing(senders: list[Sender]) -> list[str]:
    found = acknowledged(senders)
    return [f"{form} by {road}" for road in (FirstVersion.name, SecondVersion.name) for form in ALL_FORMS if not found[road, form]]


def run(node: Broker, seed: int, rounds: int, say=lambda _: None) -> None:
    from confluent_kafka.admin import AdminClient

    chance = random.Random(seed)
    node.start()
    cluster = AdminClient({"bootstrap.servers": node.bootstrap}).list_topics(timeout=10).cluster_id
    shared = SecondVersion(node.http)
    senders = [Sender(FirstVersion(node.http) if name % 2 else shared, cluster, name, seed + name) for name in range(SENDERS)]
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
        # On a slow machine a few rounds are too short for one of each.
        deadline = time.monotonic() + 60
        while missing(senders) and time.monotonic() < deadline:
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
    if missing(senders):
        raise Violation(f"nothing was acknowledged of {', '.join(missing(senders))}: the trial has shown nothing of it")
    sent = acknowledged(senders)
    say(f"{events} events in {sum(sent.values())} requests, {again} sent again, {replayed} of them stored before, {sum(sender.duplicates for sender in senders)} events among others")
    for road in (FirstVersion.name, SecondVersion.name):
        say(f"{road}: " + ", ".join(f"{form} {sent[road, form]}" for form in ALL_FORMS))


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


class RoutedBroker(Broker):
    """With the routes of the forms that the built-in ones do not take."""

    configuration = ROUTES


def idempotent_node(program: str) -> Broker:
    # Room for all that a long trial sends.
    return RoutedBroker("millrace", program, {"num.partitions": str(PARTITIONS), "http.idempotency.max.bytes": str(1 << 30), "http.idempotency.share.percent": "100"})


if __name__ == "__main__":
    sys.exit(main())
