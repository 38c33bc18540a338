"""Our own commands against the broker under test, whichever it is: they speak the protocol like any other client."""

import json
import os
import pathlib
import subprocess
import uuid

import pytest

from conftest import create_topic
from harness.drivers import DRIVERS
from harness.records import Record, differences

WRONG_USAGE, UNREACHABLE = 2, 3


@pytest.fixture
def millrace(pytestconfig, broker):
    """Runs a command against the node; `status` is what it must end with."""
    binary = pytestconfig.getoption("--binary")
    if not os.access(binary, os.X_OK):
        pytest.skip(f"{binary} is not there")

    def run(*arguments: str, stdin: bytes = b"", status: int = 0) -> bytes:
        environment = {**{k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}, "MILLRACE_BOOTSTRAP": broker.bootstrap}
        done = subprocess.run([binary, *arguments], input=stdin, capture_output=True, timeout=60, env=environment)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout[-1000:]!r}\n{done.stderr[-1000:]!r}"
        run.errors = done.stderr.decode()
        return done.stdout

    return run


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def test_help_on_every_level_and_a_word_for_slips(millrace):
    for words in ([], ["serve"], ["topic"], ["topic", "create"], ["produce"], ["consume"], ["group"], ["group", "reset-offsets"], ["log"], ["log", "verify"]):
        assert b"Usage:" in millrace(*words, "--help")
    millrace("tpoic", "list", status=WRONG_USAGE)
    assert "topic" in millrace.errors
    millrace("topic", "list", "--jsno", status=WRONG_USAGE)
    assert "--json" in millrace.errors
    for shell in ("bash", "zsh", "fish"):
        assert b"topic" in millrace("completion", shell)


def test_no_broker_is_told_apart_from_a_refusal(millrace):
    millrace("topic", "list", "--bootstrap", "127.0.0.1:1", "--timeout", "1", status=UNREACHABLE)


def test_topics_from_creation_to_deletion(millrace):
    name = unique("cli")
    millrace("topic", "create", name, "--partitions", "2", "--set", "retention.ms=86400000")
    millrace("topic", "create", name, status=1)
    millrace("topic", "create", name, "--if-not-exists")
    assert name in millrace("topic", "list").decode().split()
    assert any(t["name"] == name for t in json.loads(millrace("topic", "list", "--json")))
    millrace("topic", "alter", name, "--partitions", "3", "--set", "segment.bytes=2097152")
    described = millrace("topic", "describe", name).decode()
    assert "86400000" in described and "2097152" in described
    json.loads(millrace("topic", "describe", name, "--json"))
    millrace("topic", "delete", name)
    millrace("topic", "describe", name, status=1)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_our_producer_writes_all_clients_read(millrace, broker, codec):
    topic = create_topic(broker.bootstrap, unique("produced"), 1)
    lines = [b"k%d\tvalue %d %s" % (n, n, "ž".encode()) for n in range(50)]
    told = json.loads(millrace("produce", topic, "--key-separator", "\\t", "--codec", codec, "--header", "h=v", "--json", stdin=b"\n".join(lines) + b"\n"))
    assert told["records"] == 50 and told["failed"] == 0
    sent = [Record(0, *line.split(b"\t", 1), (("h", b"v"),)) for line in lines]
    for name in ("confluent-kafka", "kafka-python", "aiokafka"):
        assert differences(sent, DRIVERS[name].consume(broker.bootstrap, topic, 1)) == []


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("client", ["confluent-kafka", "kafka-python"])
def test_what_clients_write_our_consumer_reads(millrace, broker, client, codec):
    topic = create_topic(broker.bootstrap, unique("consumed"), 1)
    values = [b"line %d" % n * (n + 1) for n in range(50)]
    DRIVERS[client].produce(broker.bootstrap, topic, [Record(0, b"k%d" % n, v) for n, v in enumerate(values)], codec)
    assert millrace("consume", topic, "--from", "beginning", "--until-end") == b"".join(v + b"\n" for v in values)
    assert millrace("consume", topic, "--from", "-3", "--until-end", "--format", "%p/%o %k=%v\\n") == b"".join(b"0/%d k%d=%s\n" % (n, n, values[n]) for n in (47, 48, 49))
    found = [json.loads(line) for line in millrace("consume", topic, "--from", "10", "--max", "2", "--json").splitlines()]
    assert [(r["offset"], r["value"]) for r in found] == [(10, values[10].decode()), (11, values[11].decode())]


def test_groups_from_the_first_commit_to_deletion(millrace, broker):
    topic, group = create_topic(broker.bootstrap, unique("grouped"), 2), unique("cli-group")
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, topic, [Record(n % 2, None, b"%d" % n) for n in range(20)])
    first = millrace("consume", topic, "--group", group, "--from", "beginning", "--until-end").split()
    assert sorted(first, key=int) == [b"%d" % n for n in range(20)]
    assert millrace("consume", topic, "--group", group, "--until-end").split() == []
    assert any(g["group"] == group for g in json.loads(millrace("group", "list", "--json")))
    assert group in millrace("group", "describe", group).decode()
    millrace("group", "reset-offsets", group, "--topic", topic, "--to-offset", "8", "--execute")
    again = millrace("consume", topic, "--group", group, "--until-end").split()
    assert sorted(again, key=int) == [b"%d" % n for n in range(16, 20)]
    millrace("group", "delete", group)
    assert group not in millrace("group", "list").decode()


@pytest.mark.gateway
@pytest.mark.control
def test_a_data_folder_is_shown_and_verified_and_damage_is_found(millrace, new_broker):
    node = new_broker()
    topic = create_topic(node.bootstrap, "looked-at", 1)
    DRIVERS["confluent-kafka"].produce(node.bootstrap, topic, [Record(0, b"k%d" % n, b"value %d" % n * 100) for n in range(200)], "lz4")
    node.stop()
    data = node.folder / "data"
    found = [json.loads(line) for line in millrace("log", "verify", str(data), "--json").splitlines() if line.strip()]
    assert found
    [segment] = [p for p in pathlib.Path(data).rglob("*.log") if "looked-at" in str(p)]
    assert b"value 7" in millrace("log", "dump", "--records", str(segment))
    bytes_ = bytearray(segment.read_bytes())
    bytes_[200] ^= 0xFF
    segment.write_bytes(bytes_)
    millrace("log", "verify", str(data), status=5)


def test_bench_produces_what_bench_consumes(millrace):
    name = unique("bench")
    written = json.loads(millrace("bench", "produce", "--topic", name, "--partitions", "3", "--records", "2001", "--size", "100", "--producers", "2", "--batch-bytes", "5000", "--json"))
    assert (written["records"], written["bytes"], written["failed"], written["errors"]) == (2001, 200_100, 0, [])
    assert 0 < written["wait_microseconds"]["p50"] <= written["wait_microseconds"]["longest"]
    read = json.loads(millrace("bench", "consume", "--topic", name, "--consumers", "2", "--json"))
    assert (read["records"], read["bytes"]) == (2 * 2001, 2 * 200_100)
    assert json.loads(millrace("bench", "consume", "--topic", name, "--records", "10", "--json"))["records"] == 10
    # A topic that is there is used as it is, and not silently with other partitions than were asked for.
    millrace("bench", "produce", "--topic", name, "--partitions", "4", "--records", "1", status=1)
    summary = millrace("bench", "produce", "--topic", name, "--records", "5", "--acks", "1", "--compression", "lz4").decode()
    assert summary.startswith("5 records") and "p99" in summary


def test_bench_sends_values_of_a_file_at_the_rate_it_was_told(millrace, tmp_path):
    name = unique("bench")
    (tmp_path / "text").write_bytes(b"abcdefgh" * 3)
    result = json.loads(millrace("bench", "produce", "--topic", name, "--records", "60", "--rate", "60", "--size", "8", "--payload-file", str(tmp_path / "text"), "--json"))
    assert (result["records"], result["failed"]) == (60, 0)
    # The last of 60 records is due 59/60 s after the start; a broker can only make that longer.
    assert result["milliseconds"] >= 980
    assert set(millrace("consume", name, "--from", "beginning", "--until-end").split()) == {b"abcdefgh"}
    (tmp_path / "short").write_bytes(b"abc")
    millrace("bench", "produce", "--topic", name, "--size", "8", "--payload-file", str(tmp_path / "short"), status=1)


def test_bench_says_when_nobody_is_there(millrace):
    millrace("bench", "produce", "--bootstrap", "127.0.0.1:1", "--timeout", "1", "--records", "1", status=UNREACHABLE)
    millrace("bench", "ingest", "--http", "127.0.0.1:1", "--records", "1", status=UNREACHABLE)
    millrace("bench", "ingest", "--events", "5", status=WRONG_USAGE)


def test_bench_ingests_single_events_batches_and_lines(millrace, broker, tmp_path):
    if not broker.http:
        pytest.skip("this node has no gateway")
    name = unique("bench")
    for mode, words in (("single", []), ("batch", ["--events", "20"]), ("ndjson", ["--events", "50"])):
        result = json.loads(millrace("bench", "ingest", "--http", broker.http, "--topic", name, "--mode", mode, *words, "--records", "200", "--connections", "3", "--json"))
        assert (result["records"], result["failed"], result["errors"]) == (200, 0, []), mode
    assert result["requests"] == 4
    events = millrace("consume", name, "--from", "beginning", "--until-end").splitlines()
    assert len(events) == 600 and all(json.loads(event)["event_id"] for event in events)
    # What the gateway refuses is counted and told.
    (tmp_path / "bad").write_text("{not json\n")
    result = json.loads(millrace("bench", "ingest", "--http", broker.http, "--topic", name, "--payload-file", str(tmp_path / "bad"), "--records", "3", "--json", status=1))
    assert (result["records"], result["failed"]) == (0, 3) and result["errors"][0]["reason"].startswith("HTTP status 4")
