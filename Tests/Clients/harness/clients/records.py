"""What is produced and what comes back, in one form for all clients, and sample records that are awkward on purpose."""

from __future__ import annotations

import dataclasses
import random
import time

Headers = tuple[tuple[str, bytes | None], ...]


@dataclasses.dataclass(frozen=True)
class Record:
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None  # ms since 1970; None leaves it to the client


@dataclasses.dataclass(frozen=True)
class Received:
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


def by_partition(records):
    """Groups records by partition, keeping their order."""
    groups: dict[int, list] = {}
    for record in records:
        groups.setdefault(record.partition, []).append(record)
    return groups


def awkward_records(partitions: int, plain: bool = False) -> list[Record]:
    """Records that have broken brokers: null and empty keys and values, raw bytes, repeated header names, one that
    compresses to nothing and one that does not compress, timestamps out of order.

    `plain` leaves out what kcat cannot be told on its command line: empty values and keys, timestamps.
    """
    random_bytes = random.Random(4).randbytes
    now = int(time.time() * 1000)
    every_byte = bytes(range(256))
    bodies = [b"x", b"{\"id\":1}", every_byte, b"\x00", b"line\nline\r\n", "žluťoučký 🐎".encode(), b"a" * 60_000, random_bytes(60_000)]
    bodies += [b"%d" % n for n in range(20)]
    records = [
        Record(n % partitions, key=None if n % 5 == 0 else b"key-%d" % n, value=body, headers=(("h", b"v"), ("trace", b"00-ab")), timestamp=None if plain else now - 1000 * (n % 7))
        for n, body in enumerate(bodies)
    ]
    if plain:
        return records
    odd = [
        Record(0, None, None),
        Record(0, b"", b""),
        Record(0, b"tombstone", None, timestamp=1),
        Record(0, every_byte, b"binary key", (("e", b""), ("h", b"1"), ("h", b"2"), ("ž", every_byte))),
        Record(0, b"null header", b"v", (("n", None),)),
        Record(0, b"many headers", b"v", tuple((f"h{n}", b"%d" % n) for n in range(50))),
    ]
    return records + [dataclasses.replace(r, timestamp=r.timestamp or now) for r in odd]


def differences(sent: list[Record], received: list[Received]) -> list[str]:
    """What a reader should know when a topic does not hold exactly what was sent, in order; empty when it does."""
    found: list[str] = []
    sent_by, received_by = by_partition(sent), by_partition(received)
    for partition in sorted(set(sent_by) | set(received_by)):
        a, b = sent_by.get(partition, []), received_by.get(partition, [])
        if len(a) != len(b):
            found.append(f"partition {partition}: sent {len(a)}, received {len(b)}")
        for index, (one, other) in enumerate(zip(a, b)):
            for field in ("key", "value", "headers", "timestamp"):
                expected, actual = getattr(one, field), getattr(other, field)
                if field == "timestamp" and expected is None:
                    continue
                if expected != actual:
                    found.append(f"partition {partition} record {index} offset {other.offset} {field}: sent {short(expected)}, received {short(actual)}")
        offsets = [r.offset for r in b]
        if offsets != list(range(offsets[0], offsets[0] + len(offsets))) if offsets else False:
            found.append(f"partition {partition}: offsets are not contiguous: {offsets[:20]}")
    return found[:20]


def short(value) -> str:
    text = repr(value)
    return text if len(text) < 120 else f"{text[:100]}... ({len(value)} long)"
