"""Requests whose decoded form, work or reply is much larger than they are. The numbers of a case are what one request of a few
MB may name."""

from __future__ import annotations

import os
import random
import struct
import time

from harness import bombs, wire
from harness.wire import array, int8, int16, int32, int64, octets, string
from .stage import Stage, case

OFFSET_COMMIT, OFFSET_FETCH, JOIN_GROUP, LEAVE_GROUP, SYNC_GROUP = 8, 9, 11, 13, 14
DESCRIBE_GROUPS, LIST_GROUPS, OFFSET_FOR_LEADER_EPOCH = 15, 16, 23
DESCRIBE_CONFIGS, ALTER_CONFIGS, CREATE_PARTITIONS, DELETE_GROUPS, INCREMENTAL_ALTER_CONFIGS = 32, 33, 37, 42, 44
WIDE = string("wide")
TOPIC_RESOURCE = int8(2)


def many(count: int, element: bytes) -> bytes:
    return int32(count) + element * count


def wide(stage: Stage) -> None:
    stage.create("wide", 50)


# MARK: The same name again and again


@case("Metadata names one topic of 50 partitions again and again")
def metadata_names(stage: Stage) -> None:
    wide(stage)
    stage.ask(wire.METADATA, 1, many(stage.size(500_000, 200_000), WIDE))


@case("Metadata names topics that are not there", is_short=False)
def metadata_unknown(stage: Stage) -> None:
    names = b"".join(string(f"unknown-{n}") for n in range(stage.size(300_000, 100_000)))
    stage.ask(wire.METADATA, 4, int32(stage.size(300_000, 100_000)) + names + int8(0))


@case("DescribeConfigs names one topic again and again")
def describe_configs(stage: Stage) -> None:
    wide(stage)
    stage.ask(DESCRIBE_CONFIGS, 1, many(stage.size(400_000, 100_000), TOPIC_RESOURCE + WIDE + int32(-1)) + int8(1))


@case("DescribeConfigs names one key of one topic again and again", is_short=False)
def describe_config_keys(stage: Stage) -> None:
    wide(stage)
    stage.ask(DESCRIBE_CONFIGS, 1, int32(1) + TOPIC_RESOURCE + WIDE + many(4_000_000, string("retention.ms")) + int8(1))


@case("DescribeGroups names groups that are not there")
def describe_groups(stage: Stage) -> None:
    stage.ask(DESCRIBE_GROUPS, 0, many(stage.size(20_000_000, 2_000_000), string("g")))


@case("DeleteGroups names groups that are not there")
def delete_groups(stage: Stage) -> None:
    stage.ask(DELETE_GROUPS, 0, many(stage.size(20_000_000, 1_000_000), string("g")))


@case("OffsetFetch names one partition again and again")
def offset_fetch(stage: Stage) -> None:
    wide(stage)
    stage.ask(OFFSET_FETCH, 1, string("g") + many(stage.size(4_000_000, 600_000), WIDE + many(2, int32(0))))


@case("OffsetCommit names one partition again and again, with the longest metadata")
def offset_commit(stage: Stage) -> None:
    wide(stage)
    one = int32(0) + int64(1) + string("m" * 4000)
    stage.ask(OFFSET_COMMIT, 2, string("g") + int32(-1) + string("") + int64(-1) + array([WIDE + many(stage.size(22_000, 10_000), one)]))


@case("ListOffsets names one partition again and again")
def list_offsets(stage: Stage) -> None:
    wide(stage)
    stage.ask(wire.LIST_OFFSETS, 1, int32(-1) + array([WIDE + many(stage.size(7_000_000, 2_000_000), int32(0) + int64(-1))]))


@case("OffsetForLeaderEpoch names one partition again and again", is_short=False)
def offset_for_leader_epoch(stage: Stage) -> None:
    wide(stage)
    stage.ask(OFFSET_FOR_LEADER_EPOCH, 2, array([WIDE + many(stage.size(7_000_000, 2_000_000), int32(0) + int32(-1) + int32(0))]))


@case("CreateTopics names one topic again and again")
def create_topics(stage: Stage) -> None:
    one = string("again") + int32(1) + int16(1) + array([]) + array([])
    stage.ask(wire.CREATE_TOPICS, 2, many(stage.size(4_000_000, 1_000_000), one) + int32(10_000) + int8(0))


@case("CreateTopics makes some thousand topics by one request", is_short=False)
def create_many_topics(stage: Stage) -> None:
    names = [string(f"many-{n}") + int32(1) + int16(1) + array([]) + array([]) for n in range(stage.size(10_000, 2_000))]
    stage.ask(wire.CREATE_TOPICS, 2, array(names) + int32(10_000) + int8(0))


@case("DeleteTopics names one topic again and again")
def delete_topics(stage: Stage) -> None:
    stage.ask(wire.DELETE_TOPICS, 1, many(stage.size(15_000_000, 3_000_000), string("none")) + int32(10_000))


@case("DeleteRecords names one partition again and again", is_short=False)
def delete_records(stage: Stage) -> None:
    wide(stage)
    stage.ask(wire.DELETE_RECORDS, 0, array([WIDE + many(1_000_000, int32(0) + int64(0))]) + int32(10_000))


@case("CreatePartitions names one topic again and again", is_short=False)
def create_partitions(stage: Stage) -> None:
    wide(stage)
    stage.ask(CREATE_PARTITIONS, 0, many(1_000_000, WIDE + int32(51) + int32(-1)) + int32(10_000) + int8(1))


@case("AlterConfigs names one topic again and again")
def alter_configs(stage: Stage) -> None:
    wide(stage)
    one = TOPIC_RESOURCE + WIDE + array([string("retention.ms") + string("1000000")])
    stage.ask(ALTER_CONFIGS, 0, many(stage.size(500_000, 20_000), one) + int8(0), patience=3)


@case("IncrementalAlterConfigs names one topic again and again", is_short=False)
def incremental_alter_configs(stage: Stage) -> None:
    wide(stage)
    one = TOPIC_RESOURCE + WIDE + array([string("retention.ms") + int8(0) + string("1000000")])
    stage.ask(INCREMENTAL_ALTER_CONFIGS, 0, many(500_000, one) + int8(0), patience=3)


@case("Produce names partitions that are not there", is_short=False)
def produce_unknown(stage: Stage) -> None:
    body = string(None) + int16(-1) + int32(1000) + array([WIDE + many(stage.size(12_000_000, 3_000_000), int32(99) + octets(None))])
    stage.ask(wire.PRODUCE, 7, body)


@case("Fetch names one partition again and again")
def fetch_names(stage: Stage) -> None:
    wide(stage)
    with wire.Connection(stage.kafka, timeout=30) as connection:
        connection.produce("wide", 0, wire.Batch([bytes(900_000)]).encode())
    one = int32(0) + int64(0) + int32(1 << 20)
    stage.ask(wire.FETCH, 4, int32(-1) + int32(0) + int32(0) + int32(50 << 20) + int8(0) + array([WIDE + many(stage.size(6_000_000, 2_000_000), one)]))


# MARK: Replies as long as what somebody has left behind


def commit_offset(connection: wire.Connection, group: str, metadata: str) -> None:
    one = array([WIDE + array([int32(0) + int64(1) + string(metadata)])])
    connection.call(OFFSET_COMMIT, 2, string(group) + int32(-1) + string("") + int64(-1) + one)


@case("OffsetFetch names one partition with 12 KB of metadata again and again")
def offset_fetch_metadata(stage: Stage) -> None:
    wide(stage)
    commit_offset(stage.client(), "g", "\u20ac" * 4096)
    stage.ask(OFFSET_FETCH, 5, string("g") + array([WIDE + many(540_000, int32(0))]))


@case("ListGroups when somebody has made groups with names of 32 KB")
def list_groups(stage: Stage) -> None:
    wide(stage)
    connection = stage.client()
    for n in range(stage.size(2_000, 500)):
        commit_offset(connection, f"{n}-".ljust(32_000, "g"), "")
    for _ in range(4):
        stage.must(stage.ask(LIST_GROUPS, 0, b"") > 0, "ListGroups was not answered")


@case("Produce names one partition of six bytes again and again")
def produce_shortest(stage: Stage) -> None:
    wide(stage)
    # Version 9 is flexible: null records and no tags are a byte each.
    for topic in (b"\x05wide", b"\x05none"):
        count = stage.size(15_000_000, 2_000_000)
        partitions = unsigned(count + 1) + (int32(0) + b"\0\0") * count
        stage.ask(wire.PRODUCE, 9, b"\0\0" + int16(-1) + int32(1000) + b"\x02" + topic + partitions + b"\0\0")


# MARK: State that stays


def join_body(group: str, metadata: bytes) -> bytes:
    return string(group) + int32(60_000) + int32(60_000) + string("") + string("consumer") + array([string("range") + octets(metadata)])


@case("JoinGroup and SyncGroup with 90 MB of metadata", settings={"group.initial.rebalance.delay.ms": "0"})
def group_metadata(stage: Stage) -> None:
    stage.ask(JOIN_GROUP, 2, join_body("g-1", bytes(90 << 20)), patience=10)
    join(stage, "g-2", bytes(100), bytes(90 << 20))


def join(stage: Stage, group: str, metadata: bytes, assignment: bytes) -> bool:
    """A group with one member, which then says no more. Gives whether it was let in."""
    connection = stage.client(timeout=10)
    reader = connection.call(JOIN_GROUP, 2, join_body(group, metadata))
    reader.int32()
    code, generation = reader.int16(), reader.int32()
    if code:
        return False
    reader.string(), reader.string()
    member = reader.string()
    stage.ask(SYNC_GROUP, 1, string(group) + int32(generation) + string(member) + array([string(member) + octets(assignment)]), patience=10)
    return True


@case("DescribeGroups names a group with 500 KB of metadata again and again", settings={"group.initial.rebalance.delay.ms": "0"})
def describe_big_group(stage: Stage) -> None:
    stage.must(join(stage, "big", bytes(400_000), bytes(100_000)), "a member with 400 KB of metadata was not let in")
    stage.ask(DESCRIBE_GROUPS, 0, many(stage.size(20_000, 2_000), string("big")))


@case("OffsetFetch of all offsets of one group, named again and again")
def offset_fetch_groups(stage: Stage) -> None:
    stage.create("wide", 50)
    one = array([WIDE + array([int32(n) + int64(1) + string("m" * 4000) for n in range(50)])])
    connection = stage.client()
    connection.call(OFFSET_COMMIT, 2, string("g") + int32(-1) + string("") + int64(-1) + one)
    # Version 8 is flexible: lengths one larger as unsigned varints, and tagged fields after each structure.
    group = b"\x02g" + b"\0" + b"\0"
    stage.ask(OFFSET_FETCH, 8, b"\0" + unsigned(stage.size(200_000, 20_000) + 1) + group * stage.size(200_000, 20_000) + b"\0" + b"\0")


def unsigned(n: int) -> bytes:
    found = b""
    while n >= 0x80:
        found, n = found + bytes([n & 0x7F | 0x80]), n >> 7
    return found + bytes([n])


@case("thousands of groups with a member each", is_short=False, settings={"group.initial.rebalance.delay.ms": "0"})
def many_groups(stage: Stage) -> None:
    connection = stage.client()
    for n in range(20_000):
        connection.send(JOIN_GROUP, 2, join_body(f"group-{n}", bytes(2_000)))
        if n % 100 == 99:
            for _ in range(100):
                connection.receive_frame()


def session_fetch(partitions: bytes, count: int) -> bytes:
    return int32(-1) + int32(0) + int32(0) + int32(1 << 20) + int8(0) + int32(0) + int32(0) + array([string("x") + int32(count) + partitions]) + array([])


@case("member ids taken and given back, each with a group of 30 KB of name")
def member_ids(stage: Stage) -> None:
    connection = stage.client()
    for n in range(stage.size(20_000, 1_500)):
        group = string(f"{n}-".ljust(30_000, "g"))
        body = group + int32(1_800_000) + int32(1_800_000) + string("") + string("consumer") + array([string("range") + octets(b"")])
        reader = connection.call(JOIN_GROUP, 4, body)
        reader.int32(), reader.int16(), reader.int32(), reader.string(), reader.string()
        connection.call(LEAVE_GROUP, 1, group + string(reader.string()))


@case("members with client and instance ids of 30 KB", is_short=False)
def member_names(stage: Stage) -> None:
    for n in range(12_000):
        instance = string(f"{n}-".ljust(30_000, "i"))
        body = string("g") + int32(1_800_000) + int32(1_800_000) + string("") + instance + string("consumer") + array([string("range") + octets(b"")])
        request = int16(JOIN_GROUP) + int16(5) + int32(1) + string("c" * 30_000) + body
        connection = stage.connect()
        connection.sendall(int32(len(request)) + request)
        connection.close()
        stage.sockets.pop()


@case("a group of 120 members with 1 MB of metadata each", is_short=False, settings={"group.initial.rebalance.delay.ms": "3000"})
def large_members(stage: Stage) -> None:
    for _ in range(120):
        stage.client(timeout=30).send(JOIN_GROUP, 2, join_body("g", bytes(1_000_000)))
    time.sleep(6)


@case("a fetch session of 2,000,000 unknown partitions")
def fetch_session(stage: Stage) -> None:
    count = stage.size(2_000_000, 1_000_000)
    stage.ask(wire.FETCH, 7, session_fetch(b"".join(struct.pack(">iqqi", n, 0, -1, 1 << 20) for n in range(count)), count))


@case("some hundred fetch sessions of 5,000 partitions each, left behind")
def fetch_sessions(stage: Stage) -> None:
    body = session_fetch(b"".join(struct.pack(">iqqi", n, 0, -1, 1 << 20) for n in range(5_000)), 5_000)
    for _ in range(stage.size(900, 250)):
        with wire.Connection(stage.kafka, timeout=30) as connection:
            try:
                connection.call(wire.FETCH, 7, body)
            except (OSError, wire.WireError):
                return


@case("random producer ids, one record each", restarts=True)
def producer_ids(stage: Stage) -> None:
    wide(stage)
    connection = stage.client(timeout=60)
    template = bytearray(wire.Batch([b"x"], producer_id=1, producer_epoch=0, base_sequence=0).encode())
    sent = 0
    for _ in range(stage.size(8_000, 800)):
        parts = []
        for partition in range(50):
            template[43:51] = os.urandom(1) + struct.pack(">q", random.getrandbits(62))[1:]
            template[43] &= 0x7F
            template[17:21] = struct.pack(">I", wire.crc32c(bytes(template[21:])))
            parts.append(int32(partition) + octets(bytes(template)))
        connection.send(wire.PRODUCE, 7, string(None) + int16(1) + int32(10_000) + array([WIDE + array(parts)]))
        sent += 1
        if sent % 8 == 0:
            for _ in range(8):
                connection.receive_frame()


@case("InitProducerId without end, no reply is read")
def init_producer_ids(stage: Stage) -> None:
    body = int16(22) + int16(0) + int32(1) + string("a") + string(None) + int32(60_000)
    frames = (int32(len(body)) + body) * 1000
    stage.push([frames] * stage.size(2_000, 400), connections=2, seconds=stage.size(10, 3), hold=1)


# MARK: Bytes that are announced, and not sent; replies that are asked for, and not read


@case("200 connections announce frames of 90 MB and send a few bytes")
def half_open_frames(stage: Stage) -> None:
    head = int32(90 << 20) + int16(wire.PRODUCE) + int16(7) + int32(1) + string("a")
    for connection in stage.connect_many(200):
        connection.sendall(head + bytes(1000))
    time.sleep(stage.size(6, 2))


@case("a few connections send 25 MB of frames of 90 MB each, and no more")
def half_sent_frames(stage: Stage) -> None:
    head = int32(90 << 20) + int16(wire.PRODUCE) + int16(7) + int32(1) + string("a")
    stage.push([head] + [bytes(1 << 20)] * 25, connections=8, seconds=stage.size(8, 3), hold=1)
    time.sleep(stage.size(5, 1))


@case("clients that ask for 50 MB each and do not read")
def slow_readers(stage: Stage) -> None:
    stage.create("big")
    fill(stage, "big", 56)
    body = int32(-1) + int32(0) + int32(1) + int32(50 << 20) + int8(0) + array([string("big") + array([int32(0) + int64(0) + int32(50 << 20)])])
    request = int16(wire.FETCH) + int16(4) + int32(1) + string("a") + body
    for connection in stage.connect_many(stage.size(200, 60), receive_buffer=4096):
        connection.sendall((int32(len(request)) + request) * 4)
    time.sleep(stage.size(8, 2))


@case("requests in a pipeline, and no reply is read")
def pipelined_requests(stage: Stage) -> None:
    wide(stage)
    body = int16(wire.METADATA) + int16(1) + int32(1) + string("a") + array([WIDE])
    stage.push([(int32(len(body)) + body) * 1000] * 400, connections=8, seconds=stage.size(8, 3), hold=1)


@case("connections that send random bytes, and frames with random bodies")
def noise(stage: Stage) -> None:
    chance = random.Random(7)
    end = time.monotonic() + stage.size(15, 3)
    while time.monotonic() < end:
        connection = stage.connect()
        try:
            if chance.random() < 0.2:
                connection.sendall(chance.randbytes(chance.randrange(1, 4000)))
            else:
                body = int16(chance.randrange(0, 70)) + int16(chance.randrange(0, 14)) + int32(1) + chance.randbytes(chance.randrange(0, 300))
                connection.sendall(int32(len(body)) + body)
        except OSError:
            pass
        connection.close()
        stage.sockets.pop()


def fill(stage: Stage, topic: str, megabytes: int) -> None:
    batch = wire.Batch([os.urandom(1 << 19)]).encode()
    with wire.Connection(stage.kafka, timeout=60) as connection:
        for _ in range(megabytes * 2):
            produced = connection.produce(topic, 0, batch)
            assert produced.error == 0, f"Produce to {topic}: error {produced.error}"


# MARK: Batches that grow when they are unpacked


def bomb_batch(codec: int, payload: bytes) -> bytes:
    """One record; by its header its batch spans a second, so that a look-up by time must look inside."""
    batch = bytearray(wire.Batch([b""], attributes=codec, body=payload, timestamp=BOMB_TIME).encode())
    batch[35:43] = int64(BOMB_TIME + 1000)
    batch[17:21] = struct.pack(">I", wire.crc32c(bytes(batch[21:])))
    return bytes(batch)


BOMB_TIME = 1_700_000_000_000


@case("compressed batches that unpack to hundreds of MB, to a compacted topic")
def bombs_compacted(stage: Stage) -> None:
    stage.create("compacted", cleanup_policy="compact")
    connection = stage.client(timeout=30)
    batches = [bomb_batch(codec, payload) for codec, payload in bombs.all_bombs(key=b"k", megabytes=stage.size(500, 150)).items()]
    for _ in range(stage.size(4, 1)):
        for batch in batches:
            try:
                connection.produce("compacted", 0, batch)
            except (OSError, wire.WireError) as failure:
                stage.notes.append(repr(failure))
                connection = stage.client(timeout=30)


@case("look-ups by time in batches that unpack to hundreds of MB")
def bombs_by_time(stage: Stage) -> None:
    stage.create("bombs", 4)
    connection = stage.client(timeout=30)
    for partition, (codec, payload) in enumerate(bombs.all_bombs(key=None, megabytes=stage.size(500, 150)).items()):
        connection.produce("bombs", partition, bomb_batch(codec, payload))
    body = int32(-1) + array([string("bombs") + array([int32(n % 4) + int64(BOMB_TIME + 1 + n) for n in range(stage.size(40, 12))])])
    stage.ask(wire.LIST_OFFSETS, 1, body)
