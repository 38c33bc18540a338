"""What boto3 does with a server of Kinesis, step by step, each with streams of its own: the same script for ours and for others. What a
step asserts is what AWS's documentation says."""

from __future__ import annotations

import datetime
import hashlib
import time
import uuid

from .aws import refused

STEPS = {}
HASHES = 1 << 128


def step(function):
    STEPS[function.__name__] = function
    return function


class Streams:
    """Makes streams with names of their own, and forgets them at the end."""

    def __init__(self, kinesis):
        self.kinesis, self.made = kinesis, []

    def make(self, shards: int = 1) -> str:
        name = f"s-{uuid.uuid4().hex[:12]}"
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self.made.append(name)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        return name

    def shards(self, name: str) -> list[dict]:
        return self.kinesis.list_shards(StreamName=name)["Shards"]

    def iterator(self, name: str, kind: str = "TRIM_HORIZON", shard: int = 0, **more) -> str:
        shard_id = self.shards(name)[shard]["ShardId"]
        return self.kinesis.get_shard_iterator(StreamName=name, ShardId=shard_id, ShardIteratorType=kind, **more)["ShardIterator"]

    def read(self, name: str, kind: str = "TRIM_HORIZON", shard: int = 0, **more) -> list[bytes]:
        return [record["Data"] for record in self.kinesis.get_records(ShardIterator=self.iterator(name, kind, shard, **more))["Records"]]

    def remove(self) -> None:
        for name in self.made:
            try:
                self.kinesis.delete_stream(StreamName=name)
            except self.kinesis.exceptions.ResourceNotFoundException:
                pass


def run(name: str, kinesis) -> None:
    streams = Streams(kinesis)
    try:
        STEPS[name](kinesis, streams)
    finally:
        streams.remove()


# MARK: Streams


@step
def a_stream_is_described(kinesis, streams):
    name = streams.make(3)
    told = kinesis.describe_stream(StreamName=name)["StreamDescription"]
    assert (told["StreamName"], told["StreamStatus"], told["RetentionPeriodHours"], told["HasMoreShards"]) == (name, "ACTIVE", 24, False)
    assert told["StreamARN"].endswith(f":stream/{name}") and told["EncryptionType"] == "NONE"
    assert [shard["ShardId"] for shard in told["Shards"]] == [f"shardId-{n:012}" for n in range(3)]
    ranges = [(int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])) for shard in told["Shards"]]
    assert ranges[0][0] == 0 and ranges[2][1] == HASHES - 1
    assert all(one[1] + 1 == other[0] for one, other in zip(ranges, ranges[1:]))
    assert streams.shards(name) == told["Shards"]
    summary = kinesis.describe_stream_summary(StreamARN=told["StreamARN"])["StreamDescriptionSummary"]
    assert (summary["StreamName"], summary["OpenShardCount"], summary["ConsumerCount"]) == (name, 3, 0)


@step
def a_stream_is_made_once_and_deleted(kinesis, streams):
    name = streams.make()
    assert refused(kinesis.create_stream, StreamName=name, ShardCount=1) == ("ResourceInUseException", 400)
    kinesis.delete_stream(StreamName=name)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    for call in (kinesis.describe_stream, kinesis.describe_stream_summary, kinesis.delete_stream, kinesis.list_shards):
        assert refused(call, StreamName=name) == ("ResourceNotFoundException", 400)
    assert refused(kinesis.put_record, StreamName=name, Data=b"", PartitionKey="k") == ("ResourceNotFoundException", 400)


@step
def lists_have_pages(kinesis, streams):
    made = sorted(streams.make() for _ in range(3))
    found, more = [], {}
    while True:
        page = kinesis.list_streams(Limit=1, **more)
        found += page["StreamNames"]
        if not page["HasMoreStreams"]:
            break
        more = {"ExclusiveStartStreamName": page["StreamNames"][-1]}
    assert sorted(name for name in found if name in made) == made
    name = streams.make(4)
    page = kinesis.list_shards(StreamName=name, MaxResults=3)
    rest = kinesis.list_shards(NextToken=page["NextToken"])
    assert "NextToken" not in rest and page["Shards"] + rest["Shards"] == streams.shards(name)
    first = kinesis.describe_stream(StreamName=name, Limit=2)["StreamDescription"]
    assert first["HasMoreShards"] and len(first["Shards"]) == 2


@step
def the_retention_is_changed(kinesis, streams):
    name = streams.make()
    kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    assert kinesis.describe_stream(StreamName=name)["StreamDescription"]["RetentionPeriodHours"] == 48
    assert refused(kinesis.increase_stream_retention_period, StreamName=name, RetentionPeriodHours=30) == ("InvalidArgumentException", 400)
    kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=24)
    assert refused(kinesis.decrease_stream_retention_period, StreamName=name, RetentionPeriodHours=23) == ("InvalidArgumentException", 400)


# MARK: Puts


@step
def a_record_comes_as_it_was_put(kinesis, streams):
    name = streams.make()
    value = bytes(range(256))
    put = kinesis.put_record(StreamName=name, Data=value, PartitionKey="schlüssel")
    assert put["ShardId"] == "shardId-000000000000"
    page = kinesis.get_records(ShardIterator=streams.iterator(name))
    (record,) = page["Records"]
    assert (record["Data"], record["PartitionKey"], record["SequenceNumber"]) == (value, "schlüssel", put["SequenceNumber"])
    assert abs(record["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60
    assert page["MillisBehindLatest"] == 0 and page["NextShardIterator"]


@step
def keys_choose_shards_by_their_hash(kinesis, streams):
    name = streams.make(3)
    ranges = [shard["HashKeyRange"] for shard in streams.shards(name)]
    for number in range(20):
        digest = int(hashlib.md5(f"k{number}".encode()).hexdigest(), 16)
        wanted = next(n for n, part in enumerate(ranges) if int(part["StartingHashKey"]) <= digest <= int(part["EndingHashKey"]))
        assert kinesis.put_record(StreamName=name, Data=b"x", PartitionKey=f"k{number}")["ShardId"] == f"shardId-{wanted:012}"
    last = kinesis.put_record(StreamName=name, Data=b"x", PartitionKey="k", ExplicitHashKey=str(HASHES - 1))
    assert last["ShardId"] == "shardId-000000000002"


@step
def many_records_are_put_together(kinesis, streams):
    name = streams.make(2)
    records = [{"Data": f"{n}".encode(), "PartitionKey": f"k{n % 11}"} for n in range(500)]
    put = kinesis.put_records(StreamName=name, Records=records)
    assert put["FailedRecordCount"] == 0 and len(put["Records"]) == 500
    found = []
    for shard in (0, 1):
        values = [int(value) for value in streams.read(name, shard=shard)]
        assert values == sorted(values)
        found += values
    assert sorted(found) == list(range(500))
    numbers = [int(record["SequenceNumber"]) for record in put["Records"] if record["ShardId"].endswith("0")]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)


@step
def records_that_are_none_are_refused(kinesis, streams):
    name = streams.make()
    many = [{"Data": b"x", "PartitionKey": "k"}] * 501
    for call, more in [
        (kinesis.put_record, {"Data": b"x", "PartitionKey": "k" * 257}),
        (kinesis.put_record, {"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(HASHES)}),
        (kinesis.put_record, {"Data": b"x" * (11 << 20), "PartitionKey": "k"}),
        (kinesis.put_records, {"Records": many}),
        (kinesis.put_records, {"Records": [{"Data": b"x", "PartitionKey": "k"}, {"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(HASHES)}]}),
    ]:
        code = refused(call, StreamName=name, **more)[0]
        assert code in ("InvalidArgumentException", "ValidationException"), code
    assert streams.read(name) == []


# MARK: Reads


@step
def iterators_begin_where_they_say(kinesis, streams):
    name = streams.make()
    numbers = [kinesis.put_record(StreamName=name, Data=f"{n}".encode(), PartitionKey="k")["SequenceNumber"] for n in range(4)]
    assert streams.read(name) == [b"0", b"1", b"2", b"3"]
    assert streams.read(name, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == [b"2", b"3"]
    assert streams.read(name, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == [b"3"]
    assert streams.read(name, "LATEST") == []
    latest = streams.iterator(name, "LATEST")
    kinesis.put_record(StreamName=name, Data=b"4", PartitionKey="k")
    assert [record["Data"] for record in kinesis.get_records(ShardIterator=latest)["Records"]] == [b"4"]


@step
def times_are_found(kinesis, streams):
    name = streams.make()
    kinesis.put_record(StreamName=name, Data=b"0", PartitionKey="k")
    time.sleep(1.1)
    between = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.1)
    kinesis.put_record(StreamName=name, Data=b"1", PartitionKey="k")
    assert streams.read(name, "AT_TIMESTAMP", Timestamp=between) == [b"1"]
    assert streams.read(name, "AT_TIMESTAMP", Timestamp=between - datetime.timedelta(hours=1)) == [b"0", b"1"]


@step
def pages_follow_each_other(kinesis, streams):
    name = streams.make()
    kinesis.put_records(StreamName=name, Records=[{"Data": f"{n}".encode(), "PartitionKey": "k"} for n in range(25)])
    iterator, found = streams.iterator(name), []
    time.sleep(0.01)
    page = kinesis.get_records(ShardIterator=iterator, Limit=10)
    assert page["MillisBehindLatest"] > 0
    while page["Records"]:
        found += page["Records"]
        page = kinesis.get_records(ShardIterator=page["NextShardIterator"], Limit=10)
    assert [int(record["Data"]) for record in found] == list(range(25)) and page["MillisBehindLatest"] == 0
    again = kinesis.get_records(ShardIterator=iterator, Limit=10)["Records"]
    assert again == found[:10], "an iterator is used as often as one likes"


@step
def wrong_reads_are_refused(kinesis, streams):
    name = streams.make()
    other = {"StreamName": name, "ShardId": "shardId-000000000007"}
    assert refused(kinesis.get_shard_iterator, **other, ShardIteratorType="LATEST") == ("ResourceNotFoundException", 400)
    own = {**other, "ShardId": "shardId-000000000000"}
    assert refused(kinesis.get_shard_iterator, **own, ShardIteratorType="AT_SEQUENCE_NUMBER")[0] == "InvalidArgumentException"
    assert refused(kinesis.get_shard_iterator, **own, ShardIteratorType="AT_TIMESTAMP")[0] == "InvalidArgumentException"
    assert refused(kinesis.get_records, ShardIterator="nonsense") == ("InvalidArgumentException", 400)
    assert refused(kinesis.get_records, ShardIterator=streams.iterator(name), Limit=10_001)[0] in ("InvalidArgumentException", "ValidationException")
