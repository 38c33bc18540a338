"""Kafka's wire format by hand, for what no well-behaved client sends: damaged batches, chosen producer ids and
sequences, unknown versions, half a frame. Old, non-flexible versions only. Source: the protocol guide; KIP-98."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import socket
import struct
import time

from .native import NoCompiler, compiled

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 0, 1, 2, 3, 18, 19, 20, 21, 22
SASL_HANDSHAKE, SASL_AUTHENTICATE = 17, 36


class WireError(Exception):
    """The peer closed the connection, or answered something that is not the protocol."""


class DamagedBatch(Exception):
    """Bytes were served as a record batch that are none."""


class Corrupt(WireError):
    """CORRUPT_MESSAGE: the node itself says that what was asked for is damaged."""


class Closed(WireError):
    """The peer closed the connection instead of answering."""


def refusal(error: int, what: str) -> WireError:
    return (Corrupt if error == 2 else WireError)(f"{what}: error {error}")


# MARK: Values


def int8(n): return struct.pack(">b", n)
def int16(n): return struct.pack(">h", n)
def int32(n): return struct.pack(">i", n)
def int64(n): return struct.pack(">q", n)
def string(text): return int16(-1) if text is None else int16(len(text.encode())) + text.encode()
def octets(value): return int32(-1) if value is None else int32(len(value)) + value
def array(items): return int32(len(items)) + b"".join(items)


def varint(n: int) -> bytes:
    """Zig-zag, seven bits a byte, as in the records of a batch."""
    n = (n << 1) ^ (n >> 63)
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


class Reader:
    def __init__(self, body: bytes):
        self.body, self.at = body, 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.body):
            raise WireError(f"{count} bytes wanted at {self.at} of {len(self.body)}: {self.body[:80]!r}")
        self.at += count
        return self.body[self.at - count : self.at]

    def int8(self): return struct.unpack(">b", self.take(1))[0]
    def int16(self): return struct.unpack(">h", self.take(2))[0]
    def int32(self): return struct.unpack(">i", self.take(4))[0]
    def int64(self): return struct.unpack(">q", self.take(8))[0]

    def string(self):
        length = self.int16()
        return None if length < 0 else self.take(length).decode()

    def octets(self):
        length = self.int32()
        return None if length < 0 else self.take(length)

    def varint(self) -> int:
        shift = n = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (n >> 1) ^ -(n & 1)
            shift += 7

    def sized(self):
        length = self.varint()
        return None if length < 0 else self.take(length)

    def array(self, item):
        return [item() for _ in range(self.int32())]


# MARK: Record batches


def _crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc32c_table()


@functools.cache
def _fast_crc32c():
    """The same in C; nothing without a compiler."""
    try:
        function = ctypes.CDLL(str(compiled("checksum", "crc32c.so", ["crc32c.c"], "-shared", "-fPIC"))).crc32c
    except (NoCompiler, OSError):
        return None
    function.argtypes, function.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_uint32
    return function


def crc32c(data: bytes) -> int:
    fast = _fast_crc32c()
    if fast:
        return fast(data, len(data))
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def record(offset_delta: int, key: bytes | None, value: bytes | None, timestamp_delta: int = 0) -> bytes:
    def nullable(part):
        return varint(-1) if part is None else varint(len(part)) + part

    body = int8(0) + varint(timestamp_delta) + varint(offset_delta) + nullable(key) + nullable(value) + varint(0)
    return varint(len(body)) + body


@dataclasses.dataclass
class Batch:
    """A version 2 batch whose every header field can be given a wrong value. None stands for the right one."""

    values: list[bytes]
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    base_offset: int = 0
    magic: int = 2
    attributes: int = 0
    timestamp: int | None = None
    length: int | None = None
    crc: int | None = None
    count: int | None = None
    last_offset_delta: int | None = None
    body: bytes | None = None

    def encode(self) -> bytes:
        body = b"".join(record(n, None, v) for n, v in enumerate(self.values)) if self.body is None else self.body
        count = len(self.values) if self.count is None else self.count
        last = len(self.values) - 1 if self.last_offset_delta is None else self.last_offset_delta
        timestamp = int(time.time() * 1000) if self.timestamp is None else self.timestamp
        checked = (
            int16(self.attributes) + int32(last) + int64(timestamp) + int64(timestamp) + int64(self.producer_id)
            + int16(self.producer_epoch) + int32(self.base_sequence) + int32(count) + body)
        crc = crc32c(checked) if self.crc is None else self.crc
        length = 4 + 1 + 4 + len(checked) if self.length is None else self.length
        return int64(self.base_offset) + int32(length) + int32(0) + int8(self.magic) + struct.pack(">I", crc) + checked


def stored_records(stored: bytes):
    """(offset, key, value) of each record in uncompressed batches, whose CRCs must be right."""
    at = 0
    while at < len(stored):
        base, length = struct.unpack_from(">qi", stored, at)
        batch = Reader(stored[at + 12 : at + 12 + length])
        batch.int32(), batch.int8()
        crc = struct.unpack(">I", batch.take(4))[0]
        if crc != crc32c(batch.body[batch.at :]):
            raise DamagedBatch(f"the batch at offset {base} fails its CRC")
        attributes = batch.int16()
        if attributes & 7:
            raise DamagedBatch(f"the batch at offset {base} is compressed")
        batch.take(4 + 8 + 8 + 8 + 2 + 4)
        for _ in range(batch.int32()):
            batch.varint(), batch.int8(), batch.varint()
            offset = base + batch.varint()
            yield offset, batch.sized(), batch.sized()
            for _ in range(batch.varint()):
                batch.sized(), batch.sized()
        at += 12 + length


# MARK: Requests


@dataclasses.dataclass
class Produced:
    error: int
    base_offset: int
    append_time: int = -1
    log_start: int = -1


@dataclasses.dataclass
class Metadata:
    brokers: list[tuple[int, str, int]]
    topics: dict[str, tuple[int, list[tuple[int, int]]]]  # name -> (error, [(partition error, partition)])


class Connection:
    """One TCP connection; requests are answered in order."""

    _correlation = itertools.count(1)

    def __init__(self, bootstrap: str, timeout: float = 10):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.settimeout(timeout)

    @classmethod
    def over(cls, made: socket.socket) -> Connection:
        """Over a socket that is connected already."""
        connection = cls.__new__(cls)
        connection.socket = made
        return connection

    def __enter__(self): return self
    def __exit__(self, *_): self.socket.close()

    def send_frame(self, body: bytes, length: int | None = None) -> None:
        self.socket.sendall(int32(len(body) if length is None else length) + body)

    def receive_frame(self) -> bytes:
        length = struct.unpack(">i", self._receive(4))[0]
        if not 0 <= length <= 200 << 20:
            raise WireError(f"a reply of {length} bytes")
        return self._receive(length)

    def _receive(self, count: int) -> bytes:
        parts, left = [], count
        while left:
            try:
                part = self.socket.recv(min(left, 1 << 20))
            except ConnectionResetError:
                raise Closed("connection reset") from None
            if not part:
                raise Closed("connection closed")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def is_closed(self, within: float = 5) -> bool:
        """True when the peer ends the connection without having sent anything."""
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def send(self, api: int, version: int, body: bytes, client: str | None = "wire") -> int:
        correlation = next(self._correlation)
        try:
            self.send_frame(int16(api) + int16(version) + int32(correlation) + string(client) + body)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed("connection reset while sending") from None
        return correlation

    def receive(self, correlation: int) -> Reader:
        reader = Reader(self.receive_frame())
        answered = reader.int32()
        if answered != correlation:
            raise WireError(f"the reply to {answered} came in place of {correlation}")
        return reader

    def call(self, api: int, version: int, body: bytes) -> Reader:
        return self.receive(self.send(api, version, body))

    def metadata(self, topics: list[str] | None) -> Metadata:
        """Version 1: null asks for all topics, an empty list for none."""
        reader = self.call(METADATA, 1, int32(-1) if topics is None else array([string(t) for t in topics]))
        brokers = []
        for _ in range(reader.int32()):
            node, host, port = reader.int32(), reader.string(), reader.int32()
            reader.string()
            brokers.append((node, host, port))
        reader.int32()
        found = {}
        for _ in range(reader.int32()):
            error, name = reader.int16(), reader.string()
            reader.int8()
            partitions = []
            for _ in range(reader.int32()):
                partition_error, index = reader.int16(), reader.int32()
                reader.int32()
                reader.array(reader.int32), reader.array(reader.int32)
                partitions.append((partition_error, index))
            found[name] = (error, partitions)
        return Metadata(brokers, found)

    @staticmethod
    def produce_body(topic: str, partition: int, records: bytes | None, acks: int = -1) -> bytes:
        return string(None) + int16(acks) + int32(10_000) + array([string(topic) + array([int32(partition) + octets(records)])])

    def produce(self, topic: str, partition: int, records: bytes | None, acks: int = -1, version: int = 7) -> Produced:
        reader = self.call(PRODUCE, version, self.produce_body(topic, partition, records, acks))
        reader.int32(), reader.string(), reader.int32(), reader.int32()
        result = Produced(reader.int16(), reader.int64(), reader.int64())
        if version >= 5:
            result.log_start = reader.int64()
        return result

    def init_producer_id(self) -> tuple[int, int]:
        for _ in range(50):
            reader = self.call(INIT_PRODUCER_ID, 0, string(None) + int32(60_000))
            reader.int32()
            error, producer_id, epoch = reader.int16(), reader.int64(), reader.int16()
            if error not in (14, 15, 16):  # the coordinator is loading or being found
                break
            time.sleep(0.1)
        if error:
            raise WireError(f"InitProducerId: error {error}")
        return producer_id, epoch

    def list_offset(self, topic: str, partition: int, timestamp: int) -> tuple[int, int, int]:
        """(error, timestamp, offset); timestamp -1 asks for the end, -2 for the start."""
        reader = self.call(LIST_OFFSETS, 1, int32(-1) + array([string(topic) + array([int32(partition) + int64(timestamp)])]))
        reader.int32(), reader.string(), reader.int32(), reader.int32()
        return reader.int16(), reader.int64(), reader.int64()

    def list_offsets(self, topic: str, partitions, timestamp: int, patience: float = 20) -> dict[int, int]:
        """The offsets of many partitions, by one request; an error of any is raised, one that passes only when it lasts:
        Apache Kafka is up a while before every partition has its leader."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._list_offsets(topic, partitions, timestamp)
            except WireError as failure:
                if not str(failure).endswith(("error 3", "error 5", "error 6")) or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _list_offsets(self, topic: str, partitions, timestamp: int) -> dict[int, int]:
        wanted = [int32(p) + int64(timestamp) for p in partitions]
        reader = self.call(LIST_OFFSETS, 1, int32(-1) + array([string(topic) + array(wanted)]))
        reader.int32(), reader.string()
        found = {}
        for _ in range(reader.int32()):
            partition, error, _, offset = reader.int32(), reader.int16(), reader.int64(), reader.int64()
            if error:
                raise refusal(error, f"ListOffsets of {topic}-{partition}")
            found[partition] = offset
        return found

    def create_topic(self, name: str, partitions: int, **configs) -> int:
        """Gives the error code; `segment_bytes=1` stands for segment.bytes."""
        settings = [string(key.replace("_", ".")) + string(str(value)) for key, value in configs.items()]
        reader = self.call(CREATE_TOPICS, 2, array([string(name) + int32(partitions) + int16(1) + array([]) + array(settings)]) + int32(10_000) + int8(0))
        reader.int32(), reader.int32(), reader.string()
        return reader.int16()

    def delete_topic(self, name: str) -> int:
        reader = self.call(DELETE_TOPICS, 1, array([string(name)]) + int32(10_000))
        reader.int32(), reader.int32(), reader.string()
        return reader.int16()

    def delete_records(self, topic: str, partition: int, before: int) -> tuple[int, int]:
        """(error, the log's start afterwards)."""
        reader = self.call(DELETE_RECORDS, 0, array([string(topic) + array([int32(partition) + int64(before)])]) + int32(10_000))
        reader.int32(), reader.int32(), reader.string(), reader.int32(), reader.int32()
        start = reader.int64()
        return reader.int16(), start

    def fetch(self, topic: str, partition: int, offset: int, max_bytes: int = 1 << 20, max_wait_ms: int = 100) -> tuple[int, int, bytes]:
        """(error, high watermark, record bytes) by version 4."""
        body = int32(-1) + int32(max_wait_ms) + int32(1) + int32(max_bytes) + int8(0) + array([string(topic) + array([int32(partition) + int64(offset) + int32(max_bytes)])])
        reader = self.call(FETCH, 4, body)
        reader.int32(), reader.int32(), reader.string(), reader.int32(), reader.int32()
        error, high_watermark = reader.int16(), reader.int64()
        reader.int64()
        for _ in range(max(reader.int32(), 0)):
            reader.int64(), reader.int64()
        return error, high_watermark, reader.octets() or b""

    def fetch_all(self, topic: str, partition: int, offset: int = 0) -> tuple[int, bytes]:
        """(high watermark, all record bytes below it); one fetch may bring less than there is."""
        found = b""
        while True:
            error, high_watermark, stored = self.fetch(topic, partition, offset)
            if error:
                raise refusal(error, f"Fetch of {topic}-{partition} offset {offset}")
            at = 0
            while at + 61 <= len(stored) and at + 12 + struct.unpack_from(">i", stored, at + 8)[0] <= len(stored):
                base, length = struct.unpack_from(">qi", stored, at)
                offset = base + struct.unpack_from(">i", stored, at + 23)[0] + 1
                found += stored[at : at + 12 + length]
                at += 12 + length
            if offset >= high_watermark:
                return high_watermark, found
            if not at:
                raise WireError(f"Fetch of {offset} brings no batch though the log ends at {high_watermark}")

    def api_versions(self) -> dict[int, tuple[int, int]]:
        reader = self.call(API_VERSIONS, 0, b"")
        error = reader.int16()
        if error:
            raise WireError(f"ApiVersions: error {error}")
        return {key: (low, high) for key, low, high in reader.array(lambda: (reader.int16(), reader.int16(), reader.int16()))}
