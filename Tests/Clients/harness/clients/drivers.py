"""The four clients behind one small interface: produce these records with this codec; read everything there is.

A driver reads up to the end offsets it saw at its start, so that a surplus record is noticed as well as a missing one.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
import uuid

from .records import Received, Record

READ_SECONDS = 30
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class ClientError(Exception):
    """A client reported an error where none is expected."""


class Confluent:
    name = "confluent-kafka"
    plain = False

    @staticmethod
    def can_send(record: Record) -> bool:
        return True

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str = "none", acks: str = "all", idempotent: bool = False, **settings) -> None:
        from confluent_kafka import Producer

        failures: list[str] = []
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "acks": acks, "enable.idempotence": idempotent, "linger.ms": 20, "message.timeout.ms": 30_000, **settings})
        for record in records:
            # librdkafka takes 0 for "now", so a record of the year 1970 needs at least 1 ms.
            producer.produce(
                topic, record.value, record.key, record.partition, headers=list(record.headers),
                timestamp=record.timestamp or 0,
                on_delivery=lambda error, _: failures.append(str(error)) if error else None)
        left = producer.flush(30)
        if left or failures:
            raise ClientError(f"{left} not delivered, errors: {failures[:5]}")

    def consume(self, bootstrap: str, topic: str, partitions: int) -> list[Received]:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"reader-{uuid.uuid4()}", "enable.auto.commit": False, "fetch.wait.max.ms": 100})
        try:
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(partitions)}
            consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(partitions)])
            received: list[Received] = []
            left = {p for p, end in ends.items() if end > 0}
            deadline = time.monotonic() + READ_SECONDS
            while left:
                message = consumer.poll(0.5)
                if time.monotonic() > deadline:
                    raise ClientError(f"{self.name} did not reach {ends} in {READ_SECONDS} s: {len(received)} records")
                if message is None:
                    continue
                if message.error():
                    raise ClientError(str(message.error()))
                received.append(Received(message.partition(), message.offset(), message.key(), message.value(), tuple((k, v) for k, v in message.headers() or ()), message.timestamp()[1]))
                if message.offset() + 1 >= ends[message.partition()]:
                    left.discard(message.partition())
            return received
        finally:
            consumer.close()


class KafkaPython:
    name = "kafka-python"
    plain = False

    @staticmethod
    def can_send(record: Record) -> bool:
        return (record.key is not None or record.value is not None) and all(value is not None for _, value in record.headers)

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str = "none", acks: str = "all", idempotent: bool = False) -> None:
        from kafka import KafkaProducer

        # Versions before 3 know no idempotence, and later ones default to it.
        extra = {"enable_idempotence": idempotent} if "enable_idempotence" in KafkaProducer.DEFAULT_CONFIG else {}
        producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, acks=acks if acks == "all" else int(acks), linger_ms=20, **extra)
        try:
            futures = [producer.send(topic, value=r.value, key=r.key, headers=list(r.headers), partition=r.partition, timestamp_ms=r.timestamp) for r in records]
            producer.flush(timeout=30)
            for future in futures:
                future.get(timeout=10)
        finally:
            producer.close(timeout=5)

    def consume(self, bootstrap: str, topic: str, partitions: int) -> list[Received]:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100)
        try:
            assignment = [TopicPartition(topic, p) for p in range(partitions)]
            consumer.assign(assignment)
            ends = consumer.end_offsets(assignment)
            consumer.seek_to_beginning(*assignment)
            received: list[Received] = []
            deadline = time.monotonic() + READ_SECONDS
            while any(consumer.position(tp) < ends[tp] for tp in assignment):
                if time.monotonic() > deadline:
                    raise ClientError(f"{self.name} did not reach {ends} in {READ_SECONDS} s: {len(received)} records")
                for messages in consumer.poll(timeout_ms=500).values():
                    received += [Received(m.partition, m.offset, m.key, m.value, tuple(m.headers or ()), m.timestamp) for m in messages]
            return received
        finally:
            consumer.close()


class AIOKafka:
    name = "aiokafka"
    plain = False

    @staticmethod
    def can_send(record: Record) -> bool:
        return record.key is not None or record.value is not None

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str = "none", acks: str = "all", idempotent: bool = False) -> None:
        from aiokafka import AIOKafkaProducer

        async def run() -> None:
            producer = AIOKafkaProducer(bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, acks=acks if acks == "all" else int(acks), enable_idempotence=idempotent, linger_ms=20)
            await producer.start()
            try:
                futures = [await producer.send(topic, value=r.value, key=r.key, headers=list(r.headers), partition=r.partition, timestamp_ms=r.timestamp) for r in records]
                await asyncio.wait_for(asyncio.gather(*futures), 30)
            finally:
                await producer.stop()

        asyncio.run(run())

    def consume(self, bootstrap: str, topic: str, partitions: int) -> list[Received]:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        async def run() -> list[Received]:
            consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100)
            await consumer.start()
            try:
                assignment = [TopicPartition(topic, p) for p in range(partitions)]
                consumer.assign(assignment)
                ends = await consumer.end_offsets(assignment)
                await consumer.seek_to_beginning(*assignment)
                received: list[Received] = []
                deadline = time.monotonic() + READ_SECONDS
                while any([await consumer.position(tp) < ends[tp] for tp in assignment]):
                    if time.monotonic() > deadline:
                        raise ClientError(f"{self.name} did not reach {ends} in {READ_SECONDS} s: {len(received)} records")
                    for messages in (await consumer.getmany(timeout_ms=500)).values():
                        received += [Received(m.partition, m.offset, m.key, m.value, tuple(m.headers or ()), m.timestamp) for m in messages]
                return received
            finally:
                await consumer.stop()

        return asyncio.run(run())


class Kcat:
    """kcat gives every record of one run the same headers and the time it read the record."""

    name = "kcat"
    plain = True

    @staticmethod
    def can_send(record: Record) -> bool:
        return bool(record.value) and record.key != b"" and record.timestamp is None
    KEY_END, RECORD_END = b"\x1d<key>\x1d", b"\x1e<record>\x1e"

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str = "none", acks: str = "all", idempotent: bool = False) -> None:
        batches: dict[tuple, list[Record]] = {}
        for record in records:
            batches.setdefault((record.partition, record.headers), []).append(record)
        for (partition, headers), batch in batches.items():
            text = b"".join((r.key + self.KEY_END if r.key is not None else b"") + r.value + self.RECORD_END for r in batch)
            command = ["kcat", "-P", "-b", bootstrap, "-t", topic, "-p", str(partition), "-K", self.KEY_END.decode(), "-D", self.RECORD_END.decode(), "-X", f"acks={acks}", "-X", f"enable.idempotence={str(idempotent).lower()}"]
            if codec != "none":
                command += ["-z", codec]
            for name, value in headers:
                command += ["-H", f"{name}={value.decode()}"]
            run_kcat(command, text)

    def consume(self, bootstrap: str, topic: str, partitions: int) -> list[Received]:
        out = run_kcat(["kcat", "-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-X", "fetch.wait.max.ms=100", "-f", "%p %o %T %K %S\n%k%s\n%h\x1f\x1e\n"])
        received: list[Received] = []
        at = 0
        while at < len(out):
            line_end = out.index(b"\n", at)
            partition, offset, timestamp, key_length, value_length = (int(n) for n in out[at:line_end].split())
            at = line_end + 1
            key = None if key_length < 0 else out[at : at + key_length]
            at += max(key_length, 0)
            value = None if value_length < 0 else out[at : at + value_length]
            at += max(value_length, 0) + 1
            headers_end = out.index(b"\x1f\x1e\n", at)
            received.append(Received(partition, offset, key, value, kcat_headers(out[at:headers_end]), timestamp))
            at = headers_end + 3
        return received


def kcat_headers(text: bytes) -> tuple:
    """kcat writes `name=value,name=value`, with `NULL` for null and a value only up to its first NUL byte: as that is
    ambiguous, the text itself is kept."""
    return ((text.decode("latin-1"), None),) if text else ()


def as_kcat_prints(headers) -> tuple:
    text = b",".join(name.encode() + b"=" + (b"NULL" if value is None else value.split(b"\0")[0]) for name, value in headers)
    return kcat_headers(text)


def run_kcat(command: list[str], stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    if done.returncode or b"ERROR" in done.stderr:
        raise ClientError(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


DRIVERS = {driver.name: driver for driver in (Confluent(), KafkaPython(), AIOKafka(), Kcat())}
