"""Transactions by hand, in the versions that tell the two protocols apart: the old one with InitProducerId 1, AddPartitionsToTxn
2, EndTxn 2, TxnOffsetCommit 2 and Produce 7; the new one (KIP-890) with 4, none, 5, 5 and 12, in Kafka's flexible encoding."""

from __future__ import annotations

import dataclasses
import struct
import time

from . import wire
from .wire import Batch, Connection, array, int8, int16, int32, int64, octets, string

FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END, TXN_OFFSET_COMMIT = 10, 22, 24, 25, 26, 28
OFFSET_FETCH, DESCRIBE_PRODUCERS, DESCRIBE_TRANSACTIONS, LIST_TRANSACTIONS = 9, 61, 65, 66
PASSING = (14, 15, 16)  # the coordinator is loading, or being found


def unsigned(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


NO_TAGS = b"\0"


def compact(text: str | None) -> bytes: return b"\0" if text is None else unsigned(len(text.encode()) + 1) + text.encode()
def compact_array(items) -> bytes: return unsigned(len(items) + 1) + b"".join(items)


class FlexibleReader(wire.Reader):
    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def tags(self) -> None:
        for _ in range(self.unsigned()):
            self.unsigned()
            self.take(self.unsigned())

    def compact(self) -> str | None:
        size = self.unsigned()
        return self.take(size - 1).decode() if size else None

    def compact_array(self, item):
        return [item() for _ in range(self.unsigned() - 1)]


def flexible_call(connection: Connection, api: int, version: int, body: bytes) -> FlexibleReader:
    """A request with header version 2, a reply with header version 1."""
    correlation = next(Connection._correlation)
    connection.send_frame(int16(api) + int16(version) + int32(correlation) + string("wire") + NO_TAGS + body + NO_TAGS)
    reader = FlexibleReader(connection.receive_frame())
    assert reader.int32() == correlation
    reader.tags()
    return reader


@dataclasses.dataclass
class Transactional:
    """One producer of a transactional id, whose every request can be given a wrong identity."""

    connection: Connection
    id: str
    new: bool  # the protocol of KIP-890
    producer_id: int = -1
    epoch: int = -1
    timeout_ms: int = 60_000
    sequences: dict = dataclasses.field(default_factory=dict)

    def find_coordinator(self, group: str | None = None) -> int:
        """Waits for it, as clients do: the first one who asks has the topic made. The transaction's, or a group's."""
        deadline = time.monotonic() + 30
        while True:
            reader = self.connection.call(FIND_COORDINATOR, 1, string(group or self.id) + int8(0 if group else 1))
            reader.int32()
            error = reader.int16()
            if error not in PASSING or time.monotonic() > deadline:
                return error
            time.sleep(0.1)

    def init(self, known: tuple[int, int] | None = None, timeout_ms: int | None = None, patient: bool = True) -> int:
        """`known`: who the producer was (KIP-360), for the new protocol's version. Waits while the last transaction ends."""
        deadline = time.monotonic() + 30
        while True:
            error, identity = self._init(known, self.timeout_ms if timeout_ms is None else timeout_ms)
            if error not in PASSING and not (patient and error == 51) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if not error:
            self.producer_id, self.epoch = identity
            self.sequences = {}
        return error

    def _init(self, known, timeout_ms):
        if self.new:
            former = known or (-1, -1)
            body = compact(self.id) + int32(timeout_ms) + int64(former[0]) + int16(former[1])
            reader = flexible_call(self.connection, INIT_PRODUCER_ID, 4, body)
        else:
            reader = self.connection.call(INIT_PRODUCER_ID, 1, string(self.id) + int32(timeout_ms))
        reader.int32()
        return reader.int16(), (reader.int64(), reader.int16())

    def add(self, topic: str, *partitions: int, epoch: int | None = None, producer_id: int | None = None, version: int = 2) -> list[int]:
        """The error of each partition, by AddPartitionsToTxn in an old version."""
        body = string(self.id) + int64(self.producer_id if producer_id is None else producer_id)
        body += int16(self.epoch if epoch is None else epoch) + array([string(topic) + array([int32(p) for p in partitions])])
        reader = self.connection.call(ADD_PARTITIONS, version, body)
        reader.int32()
        return [error for _, errors in reader.array(lambda: (reader.string(), reader.array(lambda: (reader.int32(), reader.int16())))) for _, error in errors]

    def add_patiently(self, topic: str, *partitions: int) -> list[int]:
        return patiently(lambda: self.add(topic, *partitions), lambda errors: 51 in errors)

    def add_offsets(self, group: str) -> int:
        reader = self.connection.call(ADD_OFFSETS, 2, string(self.id) + int64(self.producer_id) + int16(self.epoch) + string(group))
        reader.int32()
        return reader.int16()

    def commit_offset(self, group: str, topic: str, offset: int, partition: int = 0, member: tuple[int, str] | None = None) -> int:
        if self.new:
            generation, name = member or (-1, "")
            body = compact(self.id) + compact(group) + int64(self.producer_id) + int16(self.epoch)
            body += int32(generation) + compact(name) + compact(None)
            one = int32(partition) + int64(offset) + int32(-1) + compact("") + NO_TAGS
            body += compact_array([compact(topic) + compact_array([one]) + NO_TAGS])
            reader = flexible_call(self.connection, TXN_OFFSET_COMMIT, 5, body)
            reader.int32()
            topics = reader.compact_array(lambda: (reader.compact(), reader.compact_array(lambda: (reader.int32(), reader.int16(), reader.tags())), reader.tags()))
            return topics[0][1][0][1]
        one = int32(partition) + int64(offset) + int32(-1) + string("")
        body = string(self.id) + string(group) + int64(self.producer_id) + int16(self.epoch) + array([string(topic) + array([one])])
        reader = self.connection.call(TXN_OFFSET_COMMIT, 2, body)
        reader.int32()
        return reader.array(lambda: (reader.string(), reader.array(lambda: (reader.int32(), reader.int16()))))[0][1][0][1]

    def batch(self, topic: str, partition: int, values: list[bytes], transactional: bool = True, epoch: int | None = None, sequence: int | None = None) -> bytes:
        at = self.sequences.get((topic, partition), 0) if sequence is None else sequence
        return Batch(
            values, producer_id=self.producer_id, producer_epoch=self.epoch if epoch is None else epoch, base_sequence=at,
            attributes=0x10 if transactional else 0).encode()

    def produce(self, topic: str, *values: bytes, partition: int = 0, id: str | None = "own", **batch) -> int:
        records = self.batch(topic, partition, list(values), **batch)
        id = self.id if id == "own" else id
        if self.new:
            one = int32(partition) + unsigned(len(records) + 1) + records + NO_TAGS
            body = compact(id) + int16(-1) + int32(30_000) + compact_array([compact(topic) + compact_array([one]) + NO_TAGS])
            reader = flexible_call(self.connection, wire.PRODUCE, 12, body)
            reader.unsigned(), reader.compact(), reader.unsigned(), reader.int32()
            error = reader.int16()
        else:
            body = string(id) + int16(-1) + int32(30_000) + array([string(topic) + array([int32(partition) + octets(records)])])
            reader = self.connection.call(wire.PRODUCE, 7, body)
            reader.int32(), reader.string(), reader.int32(), reader.int32()
            error = reader.int16()
        if not error:
            self.sequences[topic, partition] = self.sequences.get((topic, partition), 0) + len(values)
        return error

    def end(self, commit: bool, epoch: int | None = None, producer_id: int | None = None) -> int:
        """In the new protocol the producer has the epoch that the reply tells."""
        producer_id, epoch = self.producer_id if producer_id is None else producer_id, self.epoch if epoch is None else epoch
        if not self.new:
            reader = self.connection.call(END, 2, string(self.id) + int64(producer_id) + int16(epoch) + int8(commit))
            reader.int32()
            return reader.int16()
        reader = flexible_call(self.connection, END, 5, compact(self.id) + int64(producer_id) + int16(epoch) + int8(commit))
        reader.int32()
        error, identity = reader.int16(), (reader.int64(), reader.int16())
        if not error:
            self.producer_id, self.epoch = identity
            self.sequences = {}
        return error

    def state(self) -> tuple[int, str]:
        """(error, state) of the id, as DescribeTransactions has it."""
        reader = flexible_call(self.connection, DESCRIBE_TRANSACTIONS, 0, compact_array([compact(self.id)]))
        reader.int32(), reader.unsigned()
        error = reader.int16()
        reader.compact()
        return error, reader.compact()

    def wait_for(self, state: str) -> None:
        patiently(lambda: self.state()[1], lambda found: found != state)
        assert self.state() == (0, state)


def patiently(ask, is_passing, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if not is_passing(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)


def fetch_committed(connection: Connection, topic: str, offset: int = 0, partition: int = 0, isolation: int = 1):
    """(error, high watermark, last stable offset, aborted, records) of one fetch, which is read_committed unless `isolation` is 0."""
    body = int32(-1) + int32(0) + int32(1) + int32(1 << 20) + int8(isolation)
    body += array([string(topic) + array([int32(partition) + int64(offset) + int32(1 << 20)])])
    reader = connection.call(wire.FETCH, 4, body)
    reader.int32(), reader.int32(), reader.string(), reader.int32(), reader.int32()
    error, watermark, stable = reader.int16(), reader.int64(), reader.int64()
    aborted = [(reader.int64(), reader.int64()) for _ in range(max(0, reader.int32()))]
    return error, watermark, stable, aborted, reader.octets() or b""


def shown(connection: Connection, topic: str, partition: int = 0) -> list[bytes]:
    """What a read_committed consumer shows of a whole partition."""
    values, offset = [], 0
    while True:
        # 3, 5, 6: Apache Kafka soon after its start.
        error, _, stable, aborted, stored = patiently(lambda: fetch_committed(connection, topic, offset, partition), lambda reply: reply[0] in (3, 5, 6))
        assert error == 0
        if not stored:
            assert offset >= stable
            return values
        hidden, upcoming, at = set(), sorted((first, producer) for producer, first in aborted), 0
        while at + 61 <= len(stored):
            base, length = struct.unpack_from(">qi", stored, at)
            attributes, last = struct.unpack_from(">hi", stored, at + 21)
            producer = struct.unpack_from(">q", stored, at + 43)[0]
            while upcoming and upcoming[0][0] <= base + last:
                hidden.add(upcoming.pop(0)[1])
            batch = stored[at : at + 12 + length]
            if attributes & 0x20:
                key = next(key for _, key, _ in wire.stored_records(batch))
                if key[2:4] == b"\0\0":
                    hidden.discard(producer)
            elif not (attributes & 0x10 and producer in hidden):
                values += [value for found, _, value in wire.stored_records(batch) if found >= offset]
            at += 12 + length
            next_offset = base + last + 1
        offset = next_offset
