"""The rows of the table: what each one runs, against whom, and what is asked of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from clients import Clients, Sample
from events import KINDS
from nodes import Node

BROKERS = ("millrace", "kafka", "kafka-fsync")
BOUNDS = ("lightspeed-sync", "lightspeed-direct")
# Syncs one log written before, and writes a segment behind it: what a commit over many partitions cannot do without.
JOURNAL_BOUND = "lightspeed-journal"


@dataclasses.dataclass(frozen=True)
class Target:
    """`ours` against `peer` in `metric` ("rate", "cpu" or "p99"): at least `bound` times it, or at most.

    `peer` "" is an absolute bound, and "row:KEY" is our own figure of another row."""

    metric: str
    peer: str
    bound: float
    at_least: bool = True
    ours: str = "millrace"


@dataclasses.dataclass
class Row:
    key: str
    title: str
    unit: str
    needs: tuple[str, ...]  # clients, and servers beside ours: programs without which the row is skipped
    systems: tuple[str, ...]
    measure: Callable[[Clients, str, Node, str], Sample]  # with the row's key, and a topic
    targets: tuple[Target, ...] = ()
    partitions: int = 1
    cpu: str = "GB"  # what CPU time is given by: "GB" or "record"
    fill: tuple[int, int] | None = None  # records and their size that a reading row finds; then one topic serves all rounds
    transactions: str = ""  # ... written in transactions of so many records
    is_cold: bool = False  # the files are put out of the page cache before each round
    follows_rate: bool = False  # at half of Kafka's peak
    keeps_topic: bool = False  # one topic serves all rounds, where making one takes longer than a round


def at_least(kafka: float, fsync: float, cpu: float | None = None, cpu_fsync: float | None = None) -> tuple[Target, ...]:
    targets = [Target("rate", "kafka", kafka), Target("rate", "kafka-fsync", fsync)]
    if cpu:
        targets.append(Target("cpu", "kafka", cpu, at_least=False))
    return tuple(targets)


# Long runs beside the bound that writes them once, past the page cache, and forgets them.
NEAR_LIGHT = Target("rate", "lightspeed-direct", 0.85)


# What TLS costs beside plain text, and beside Kafka's TLS. Kafka's promise is the page cache, ours the disk.
BY_TLS = ("millrace", "millrace-tls", "kafka", "kafka-tls")
TLS_TARGETS = (Target("rate", "kafka-tls", 1.5, ours="millrace-tls"), Target("cpu", "kafka-tls", 0.5, False, ours="millrace-tls"))


# What showing who one is costs a client of the gateway.
BY_WHOM = ("millrace", "millrace-key", "millrace-token", "millrace-https")
WHOM_TARGETS = (Target("rate", "millrace", 0.9, ours="millrace-key"), Target("rate", "millrace", 0.9, ours="millrace-token"), Target("rate", "millrace", 0.8, ours="millrace-https"))


# The same client speaks Amazon's SQS to both.
BY_SQS = ("millrace", "elasticmq")


def raw(connections: int, inflight: int, records: int, partitions: int):
    return lambda c, row, node, topic: c.rawload_produce(row, node, topic, connections, inflight, records, partitions, 1024)


def acks(clients: int, partitions: int):
    return lambda c, row, node, topic: c.closed_loop(row, node, topic, clients, partitions)


def lean(size: int, **options):
    return lambda c, row, node, topic: c.lean_produce(row, node, topic, size, **options)


def gateway(kind: str) -> list[Row]:
    """The gateway's rows with events of one kind; flat ones have no name."""
    suffix, words = ("", "") if kind == "flat" else (f"-{kind}", f"{kind}, ")
    return [
        Row(f"G-1{suffix}", f"gateway: {words}single events, wrk with 64 connections", "requests/s", ("wrk",), ("millrace", "nginx"), lambda c, row, node, topic: c.http_posts(row, node, topic, c.one_event[kind], 1),
            (Target("rate", "nginx", 0.6),), cpu="record"),
        Row(f"G-100{suffix}", f"gateway: {words}POSTs of 100 events, wrk with 64 connections", "requests/s", ("wrk",), ("millrace", "nginx"),
            lambda c, row, node, topic: c.http_posts(row, node, topic, c.hundred_events[kind], 100), (Target("rate", "nginx", 0.35),), cpu="record"),
        Row(f"G-lines{suffix}", f"gateway: {words}NDJSON, 2 connections, bodies of 4 MB", "MB/s", (), ("millrace",), lambda c, row, node, topic: c.http_stream(row, node, topic, c.event_lines[kind], 2, 4_000_000),
            (Target("rate", "", 600),)),
    ]


def must_hold(scale: float) -> list[Row]:
    """`scale` makes what reading rows find smaller in the short form."""
    everybody = BROKERS + BOUNDS
    kilo, small = int(2_000_000 * scale), int(10_000_000 * scale)
    return [
        Row("R-1", "rawload: 1 connection, 5 x 900 records of 1 KiB in flight", "MB/s", ("rawload",), everybody, raw(1, 5, 900, 1), (*at_least(1.5, 2.5, 0.45), NEAR_LIGHT)),
        Row("R-8", "rawload: the same by 8 connections to 8 partitions", "MB/s", ("rawload",), everybody, raw(8, 5, 900, 8), (*at_least(1.2, 1.5, 0.65), NEAR_LIGHT), 8),
        Row("R-64", "rawload: 64 connections, one 1 KiB record in flight each", "acks/s", ("rawload",), everybody, raw(64, 1, 1, 1), at_least(1.25, 18, 0.55), cpu="record"),
        Row("R-64x64", "rawload: the same over 64 partitions", "acks/s", ("rawload",), everybody, raw(64, 1, 1, 64), at_least(1.2, 7, 0.6), 64, cpu="record"),
        Row("A-64", "acks: 64 clients, one partition", "acks/s", ("acks",), everybody, acks(64, 1), (), cpu="record"),
        Row("A-64x1000", "acks: 64 clients over 1,000 partitions", "acks/s", ("acks",), (*everybody, JOURNAL_BOUND), acks(64, 1000), (Target("rate", "kafka", 25), Target("rate", "row:A-64", 0.5), Target("rate", JOURNAL_BOUND, 0.85)), 1000, cpu="record", keeps_topic=True),
        Row("A-1", "acks: 1 client, one record in flight", "acks/s", ("acks",), everybody, acks(1, 1), at_least(1, 2.5), cpu="record"),
        Row("L-1k", "lean: 1 KiB", "MB/s", (), everybody, lean(1024), at_least(1.35, 2.3, 0.45)),
        Row("T-L", "lean: 1 KiB, plain and by TLS", "MB/s", (), BY_TLS, lean(1024), TLS_TARGETS),
        Row("T-R", "1 connection, 5 x 900 ready-made records of 1 KiB in flight, plain and by TLS", "MB/s", (), BY_TLS, lambda c, row, node, topic: c.ready_made(row, node, topic), TLS_TARGETS),
        Row("T-C", "lean: consume 1 KiB, plain and by TLS", "MB/s", (), BY_TLS, lambda c, row, node, topic: c.lean_consume(row, node, topic, kilo), TLS_TARGETS, fill=(kilo, 1024)),
        Row("L-100", "lean: 100 B", "records/s", (), everybody, lean(100, unit="records/s"), at_least(1.25, 1.8, 0.35)),
        Row("L-lz4", "lean: 1 KiB, lz4", "records/s", (), everybody, lean(1024, codec="lz4", unit="records/s"), at_least(1.1, 1.25, 0.35)),
        Row("C-1k", "lean: consume 1 KiB", "MB/s", (), BROKERS + BOUNDS[:1], lambda c, row, node, topic: c.lean_consume(row, node, topic, kilo),
            (Target("rate", "kafka", 1), Target("cpu", "kafka", 0.7, False)), fill=(kilo, 1024)),
        Row("C-100", "lean: consume 100 B", "MB/s", (), BROKERS + BOUNDS[:1], lambda c, row, node, topic: c.lean_consume(row, node, topic, small),
            (Target("rate", "kafka", 1), Target("cpu", "kafka", 0.7, False)), fill=(small, 100)),
        Row("F-2", "rawload: fetch, 2 connections, 1 MiB replies", "MB/s", ("rawload",), BROKERS + BOUNDS[:1], lambda c, row, node, topic: c.rawload_fetch(row, node, topic, 2, 1 << 20),
            (Target("rate", "kafka", 1), Target("cpu", "kafka", 0.8, False)), fill=(kilo // 2, 1024)),
        *[Row(f"X-{every}", f"lean: 1 KiB in transactions, a commit every {words}", "records/s", (), BROKERS, lean(1024, unit="records/s", transactions=every),
              (Target("rate", "kafka", 1.3), Target("cpu", "kafka", 0.5, False)), cpu="record") for every, words in (("100ms", "100 ms"), ("100", "100 records"))],
        Row("X-C", "lean: consume 1 KiB of transactions, read_committed", "MB/s", (), BROKERS[:2], lambda c, row, node, topic: c.lean_consume(row, node, topic, kilo),
            (Target("rate", "row:X-CU", 0.97), Target("rate", "kafka", 1)), fill=(kilo, 1024), transactions="1000"),
        Row("X-CU", "lean: consume 1 KiB of transactions, read_uncommitted", "MB/s", (), BROKERS[:2], lambda c, row, node, topic: c.lean_consume(row, node, topic, kilo, isolation="read_uncommitted"),
            fill=(kilo, 1024), transactions="1000"),
        Row("P99", "lean: 1 KiB at half of Kafka's peak rate", "MB/s", (), BROKERS, lean(1024), (Target("p99", "kafka", 1, False),), follows_rate=True),
        Row("J-1k", "Kafka's producer-perf-test: 1 KiB", "MB/s", ("java",), BROKERS, lambda c, row, node, topic: c.java_produce(row, node, topic, 1024, 150_000)),
        Row("J-100", "Kafka's producer-perf-test: 100 B", "MB/s", ("java",), BROKERS, lambda c, row, node, topic: c.java_produce(row, node, topic, 100, 800_000)),
        Row("J-C-1k", "Kafka's consumer-perf-test: 1 KiB", "MB/s", ("java",), BROKERS, lambda c, row, node, topic: c.java_consume(row, node, topic, kilo // 2, 1024), fill=(kilo // 2, 1024)),
        *[row for kind in KINDS for row in gateway(kind)],
        Row("G-csv", "gateway: CSV, 2 connections, bodies of 4 MB, six columns", "MB/s", (), ("millrace-routes",), lambda c, row, node, topic: c.http_csv(row, node, topic, 2, 4_000_000),
            # On one core: 1 / 0.15 seconds of it for a GB.
            (Target("rate", "", 150, ours="millrace-routes"), Target("cpu", "", 6.7, False, ours="millrace-routes"))),
        Row("G-gzip", "gateway: NDJSON by gzip, 2 connections, bodies of 4 MB of text", "MB/s", (), ("millrace",), lambda c, row, node, topic: c.http_packed(row, node, topic, 2)),
        *[Row(f"G-h2{suffix}", f"gateway: single events by HTTP/2{words}, h2load with 64 connections", "requests/s", ("h2load", "nginx"), (ours, peer), lambda c, row, node, topic: c.http2_posts(row, node, topic, c.one_event["flat"], 1),
              (Target("rate", peer, 0.6, ours=ours),), cpu="record") for suffix, words, ours, peer in (("", "", "millrace", "nginx-h2"), ("-tls", " and TLS", "millrace-https", "nginx-h2-tls"))],
        Row("Q-send", "SQS: SendMessageBatch of 10 messages of 200 B, 64 connections", "messages/s", (), BY_SQS, lambda c, row, node, topic: c.sqs_send(row, node, topic, 64, 200), (Target("rate", "elasticmq", 20),), cpu="record"),
        Row("Q-drain", "SQS: ReceiveMessage of 10 and DeleteMessageBatch, 64 connections", "messages/s", (), BY_SQS, lambda c, row, node, topic: c.sqs_drain(row, node, topic, 64, 200, int(1000 * scale)), (Target("rate", "elasticmq", 20),), cpu="record"),
        Row("G-who", "gateway: single events, plain, with an API key, with a token, by https", "requests/s", ("wrk",), BY_WHOM, lambda c, row, node, topic: c.http_posts(row, node, topic, c.one_event["flat"], 1), WHOM_TARGETS, cpu="record"),
    ]


SHORT = ("start", "R-1", "R-64", "A-1", "A-64x1000", "L-1k", "C-1k", "X-100ms", "P99", "G-1", "G-lines")


def matrix() -> list[Row]:
    """Sizes, codecs, partitions, producers, acknowledgements, readers. One dimension moves at a time, from 1 KiB records without
    compression by one producer to one partition with acks=all; sizes and codecs are crossed. The gateway's are the rows G-*."""
    rows = []

    def add(key: str, title: str, measure, partitions: int = 1, **more) -> None:
        rows.append(Row(f"M-{key}", title, "MB/s", (), BROKERS, measure, partitions=partitions, **more))

    for size, name in ((100, "100 B"), (1024, "1 KiB"), (16384, "16 KiB")):
        for codec in ("none", "lz4", "zstd"):
            add(f"{size}-{codec}", f"{name}, {codec}", lean(size, codec=codec))
    for partitions in (16, 100, 1000):
        add(f"p{partitions}", f"1 KiB over {partitions:,} partitions", lean(1024, partitions=partitions), partitions, keeps_topic=partitions == 1000)
    for producers in (8, 64):
        add(f"n{producers}", f"1 KiB by {producers} producers", lean(1024, producers=producers))
    add("n64p16", "1 KiB by 64 producers over 16 partitions", lean(1024, producers=64, partitions=16), 16)
    add("acks1", "1 KiB, acks=1", lean(1024, acks="1"))
    add("idempotent", "1 KiB, idempotent", lean(1024, idempotent=True))
    records = 1_000_000
    add("tail", "consume 1 KiB at the end of what is being written", lambda c, row, node, topic: c.lean_follow(row, node, topic))
    add("behind", "consume 1 KiB, begun 2 s behind a writer of 100 MB/s", lambda c, row, node, topic: c.lean_behind(row, node, topic, 2, 100_000))
    add("cached", "consume 1 KiB, read before", lambda c, row, node, topic: c.lean_consume(row, node, topic, records), fill=(records, 1024))
    add("catch-up", "consume 1 KiB from the disk", lambda c, row, node, topic: c.lean_consume(row, node, topic, records), fill=(records, 1024), is_cold=True)
    add("fan-out", "consume 1 KiB, 8 readers of everything", lambda c, row, node, topic: c.lean_consume(row, node, topic, records // 4, consumers=8), fill=(records // 4, 1024))
    return rows
