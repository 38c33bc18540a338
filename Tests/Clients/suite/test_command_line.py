"""Our own commands against the broker under test, whichever it is: they speak the protocol like any other client."""

import contextlib
import http.client
import json
import os
import pathlib
import pty
import re
import resource
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest

from conftest import create_topic
from harness import wire
from harness.broker import environment_without_ours, free_port
from harness.clients.drivers import DRIVERS
from harness.clients.records import Record, differences

WRONG_USAGE, UNREACHABLE, WRONG_CONFIGURATION, HUNG_UP, INTERRUPTED, TERMINATED = 2, 3, 4, 129, 130, 143
LIMIT = 60


@pytest.fixture
def millrace(pytestconfig, broker):
    """Runs a command against the node; `status` is what it must end with."""
    binary = pytestconfig.getoption("--binary")
    if not os.access(binary, os.X_OK):
        pytest.skip(f"{binary} is not there")

    def run(*arguments: str, stdin: bytes = b"", status: int = 0) -> bytes:
        environment = {**environment_without_ours(), "MILLRACE_BOOTSTRAP": broker.bootstrap}
        done = subprocess.run([binary, *arguments], input=stdin, capture_output=True, timeout=60, env=environment)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout[-1000:]!r}\n{done.stderr[-1000:]!r}"
        run.errors = done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture
def begun(pytestconfig, broker):
    """Begins a command and gives the process; it is ended with the test."""
    with contextlib.ExitStack() as stack:
        def begin(*arguments: str, bootstrap: str | None = None, **options) -> subprocess.Popen:
            environment = {**environment_without_ours(), "MILLRACE_BOOTSTRAP": bootstrap or broker.bootstrap}
            process = subprocess.Popen([pytestconfig.getoption("--binary"), *arguments], **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options})
            stack.callback(lambda: (process.kill(), process.wait()))
            return process

        yield begin


def until(condition, what: str):
    """The first value of `condition` that is true."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {LIMIT} s")


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def test_help_on_every_level_and_a_word_for_slips(millrace):
    for words in ([], ["serve"], ["cluster", "info"], ["topic", "trim"], ["topic"], ["topic", "create"], ["produce"], ["consume"], ["group"], ["group", "reset-offsets"], ["log"], ["log", "verify"]):
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
    told = json.loads(millrace("produce", topic, "--key-separator", "\\t", "--codec", codec, "--header", "h=v", "--report", "json", stdin=b"\n".join(lines) + b"\n"))
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


# MARK: Producing


def whole(record: dict) -> tuple:
    """What must survive a copy: not the topic, and not the offset."""
    return tuple(json.dumps(record.get(name)) for name in ("partition", "timestamp", "key", "key_base64", "value", "value_base64", "headers")) + tuple(name in record for name in ("key", "value"))


def test_consume_json_into_produce_json_gives_the_same_records(millrace, broker):
    source, target = (create_topic(broker.bootstrap, unique(name), 3) for name in ("json-from", "json-to"))
    records = [
        Record(0, b"key", b"value", (("h", b"x"), ("h", None), ("empty", b"")), 1_700_000_000_123), Record(0, None, b"no key", (), 1), Record(1, b"", b"", (), 86_400_000),
        Record(1, b"tombstone", None, (), 1_700_000_000_000), Record(2, b"\xff\x00\xfe", bytes(range(256)), (("bytes", b"\x80"),), 1_600_000_000_000),
        Record(2, "žluťoučký 🐎".encode(), b'{"json": [1, "\\u0041"]}\n\t\r\x00\x7f"\\', (("ž", "ů".encode()),), 1_600_000_000_001)]
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, source, records)
    lines = millrace("consume", source, "--until-end", "--json")
    report = json.loads(millrace("produce", target, "--json", stdin=lines))
    assert (report["records"], report["failed"], report["perhaps"]) == (6, 0, 0)
    copied = millrace("consume", target, "--until-end", "--json")
    sort = lambda text: sorted(whole(json.loads(line)) for line in text.splitlines())
    assert sort(copied) == sort(lines) and len(sort(copied)) == 6
    assert differences(records, DRIVERS["confluent-kafka"].consume(broker.bootstrap, target, 3)) == []
    # The partition may be left out, told once for all, or passed over.
    single = create_topic(broker.bootstrap, unique("json-single"), 1)
    millrace("produce", single, "--json", stdin=lines, status=1)
    assert "partition" in millrace.errors
    assert json.loads(millrace("produce", single, "--json", "--ignore-partitions", stdin=lines))["records"] == 6
    assert json.loads(millrace("produce", single, "--json", "--partition", "0", stdin=b'{"value": {"a" : 1}}\n\n{"key":null,"value":null}\n'))["records"] == 2
    last = [json.loads(line) for line in millrace("consume", single, "--from", "-2", "-e", "--json").splitlines()]
    assert [(r["key"], r["value"]) for r in last] == [(None, '{"a" : 1}'), (None, None)]


def test_what_was_read_before_an_error_is_written_and_told(millrace, broker):
    topic = create_topic(broker.bootstrap, unique("cut"), 1)
    millrace("produce", topic, "-k", ":", stdin=b"a:1\nb:2\nwithout\nc:3\n", status=1)
    assert "line 3" in millrace.errors and "2 records written" in millrace.errors
    assert millrace("consume", topic, "-e").split() == [b"1", b"2"]
    report = json.loads(millrace("produce", topic, "--json", stdin=b'{"value":"3"}\n{"vlaue":"4"}\n', status=1))
    assert "line 2" in millrace.errors and "vlaue" in millrace.errors
    assert (report["records"], report["failed"], report["perhaps"]) == (1, 0, 0)
    # An error of the broker: what it refused is told, what it took is counted.
    small = create_topic(broker.bootstrap, unique("small"), 1, max_message_bytes=2000)
    report = json.loads(millrace("produce", small, "--report", "json", "--batch-bytes", "1", stdin=b"fits\n" + b"x" * 5000 + b"\nfits too\n", status=1))
    assert (report["records"], report["failed"]) == (2, 1)
    assert millrace("consume", small, "-e").split(b"\n")[:-1] == [b"fits", b"fits too"]


@pytest.mark.parametrize("number,status", [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED), (signal.SIGHUP, HUNG_UP)])
def test_a_signal_ends_the_input_and_not_what_was_read(begun, millrace, broker, number, status):
    topic = create_topic(broker.bootstrap, unique("signal"), 1)
    process = begun("produce", topic)
    process.stdin.write(b"one\ntwo\n")
    process.stdin.flush()
    until(lambda: millrace("consume", topic, "-e").split() == [b"one", b"two"], "what is typed is sent")
    process.send_signal(number)
    assert process.wait(LIMIT) == status
    assert b"2 records written" in process.stderr.read()


def test_a_signal_in_the_middle_of_a_line_leaves_no_part_of_it(begun, millrace, broker):
    topic = create_topic(broker.bootstrap, unique("partial"), 1)
    process = begun("produce", topic)
    process.stdin.write(b"whole\nhalf of a li")
    process.stdin.flush()
    until(lambda: millrace("consume", topic, "-e").split() == [b"whole"], "what is typed is sent")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == INTERRUPTED
    said = process.stderr.read()
    assert b"1 records written" in said and b"not" not in said
    assert millrace("consume", topic, "-e") == b"whole\n"
    # The end of the input is the end of its last line.
    millrace("produce", topic, stdin=b"last line")
    assert millrace("consume", topic, "-e") == b"whole\nlast line\n"


def test_a_record_that_the_producer_does_not_take_is_counted(millrace, broker):
    topic = create_topic(broker.bootstrap, unique("counted"), 2)
    report = json.loads(millrace("produce", topic, "--json", stdin=b'{"value":"1","partition":1}\n{"value":"2","partition":7}\n{"value":"3"}\n', status=1))
    assert "partition 7" in millrace.errors
    assert (report["records"], report["failed"], report["perhaps"]) == (1, 1, 0)


def test_files_are_lines_or_whole_records(millrace, broker, tmp_path):
    topic = create_topic(broker.bootstrap, unique("files"), 1)
    (tmp_path / "a").write_bytes(b"line 1\nline 2")
    (tmp_path / "b").write_bytes(bytes(range(256)) * 500)
    (tmp_path / "empty").write_bytes(b"")
    names = [str(tmp_path / name) for name in ("a", "b", "empty")]
    millrace("produce", topic, "-f", names[0], "-f", names[0])
    millrace("produce", topic, "--whole", "--key", "k", *(word for name in names for word in ("-f", name)))
    millrace("produce", topic, "--whole", stdin=b"from\na pipe")
    read = DRIVERS["confluent-kafka"].consume(broker.bootstrap, topic, 1)
    files = [(tmp_path / name).read_bytes() for name in ("a", "b", "empty")]
    assert [(r.key, r.value) for r in read] == [(None, b"line 1"), (None, b"line 2")] * 2 + [(b"k", f) for f in files] + [(None, b"from\na pipe")]
    millrace("produce", topic, "-f", names[0], "-f", str(tmp_path / "missing"), status=1)
    assert len(DRIVERS["confluent-kafka"].consume(broker.bootstrap, topic, 1)) == len(read)
    for words in (["--whole", "--json"], ["-k", ":", "--key", "x"], ["--json", "--null", "x"], ["--ignore-partitions"]):
        millrace("produce", topic, *words, status=WRONG_USAGE)


# MARK: Ranges


def test_ranges_of_offsets_and_times(millrace, broker):
    topic = create_topic(broker.bootstrap, unique("range"), 1)
    now = int(time.time() * 1000)
    hours = (50, 30, 3, 2, 0)
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, topic, [Record(0, None, b"%d" % n, (), now - h * 3_600_000) for n, h in enumerate(hours)])

    def read(*words: str) -> list[int]:
        return [int(line) for line in millrace("consume", topic, *words).split()]

    assert read("-e") == read("--until-end", "--from", "beginning") == [0, 1, 2, 3, 4]
    assert read("--from", "1", "--to", "3") == [1, 2]
    assert read("--to", "2") == [0, 1]
    assert read("--to", "-2") == [0, 1, 2] and read("--from", "-2", "--to", "end") == [3, 4]
    assert read("--from", "-1d", "-e") == [2, 3, 4] and read("--from", "-2d", "--to", "-150m") == [1, 2]
    day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 - 40 * 3600))
    assert read("--from", day, "--to", f"@{now - 9_000_000}") == [1, 2]
    # Behind the end that there is, an end is waited for.
    assert read("--from", "1", "--to", "9", "-e") == [1, 2, 3, 4] and read("--from", "4", "--to", "2") == []
    millrace("consume", topic, "--to", "2", "--group", "g", status=WRONG_USAGE)
    millrace("consume", topic, "--from", "-1y", status=WRONG_USAGE)


# MARK: Administration


def test_trimming_deletes_the_oldest_records(millrace, broker):
    topic = create_topic(broker.bootstrap, unique("trim"), 2)
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, topic, [Record(n % 2, None, b"%d" % n) for n in range(20)])
    would = json.loads(millrace("topic", "trim", topic, "--before", "-3", "--dry-run", "--json"))
    assert not would["executed"] and [(p["first_offset"], p["end_offset"]) for p in would["partitions"]] == [(7, 10)] * 2
    assert len(millrace("consume", topic, "-e").split()) == 20
    millrace("topic", "trim", topic, "--before", "4", "--partition", "1")
    assert sorted(map(int, millrace("consume", topic, "-e").split())) == sorted([*range(0, 20, 2), *range(9, 20, 2)])
    done = json.loads(millrace("topic", "trim", topic, "--before", "-3", "--json"))
    assert done["executed"] and [(p["previous_first_offset"], p["first_offset"]) for p in done["partitions"]] == [(0, 7), (4, 7)]
    millrace("topic", "trim", topic, "--before", "99")
    assert "behind the end" in millrace.errors and millrace("consume", topic, "-e") == b""
    millrace("topic", "trim", topic, status=WRONG_USAGE)


def test_units_names_and_json_of_administration(millrace, broker):
    name, group = unique("admin"), unique("admin-group")
    millrace("topic", "create", name, "--set", "retention.ms=7d", "--set", "segment.bytes=2MiB")
    own = {s["name"]: s["value"] for s in json.loads(millrace("topic", "describe", name, "--json"))[0]["settings"]}
    assert (own["retention.ms"], own["segment.bytes"]) == ("604800000", "2097152")
    altered = json.loads(millrace("topic", "alter", name, "--set", "retention.ms=12h", "--json"))
    assert altered["altered"] and altered["settings"] == [{"name": "retention.ms", "value": "43200000"}]
    assert name in millrace("topic", "ls").decode().split()
    info = json.loads(millrace("cluster", "info", "--json"))
    assert info["cluster_id"] and info["topics"] >= 1 and [f"{b['host']}:{b['port']}" for b in info["brokers"]] == [broker.bootstrap]
    assert info["cluster_id"] in millrace("cluster", "info").decode()
    millrace("produce", name, stdin=b"x\n")
    millrace("consume", name, "-g", group, "-e")
    assert json.loads(millrace("group", "delete", group, "--json")) == [{"name": group, "deleted": True}]
    assert json.loads(millrace("topic", "delete", name, "--json")) == [{"name": name, "deleted": True}]
    assert json.loads(millrace("topic", "delete", name, "--if-exists", "--json")) == [{"name": name, "deleted": False}]


def test_what_is_altered_together_is_altered_together_or_not_at_all(millrace, broker):
    name = create_topic(broker.bootstrap, unique("together"), 3, retention_ms=86_400_000)
    millrace("topic", "alter", name, "--set", "retention.ms=1h", "--partitions", "2", status=1)

    def own() -> dict[str, str]:
        return {s["name"]: s["value"] for s in json.loads(millrace("topic", "describe", name, "--json"))[0]["settings"]}

    assert own()["retention.ms"] == "86400000"
    millrace("topic", "alter", name, "--set", "retention.ms=1h", "--partitions", "4")
    assert own()["retention.ms"] == "3600000"


class Relay:
    """Passes bytes on between clients and a node, up to a client's nth request of a kind: then it is gone for good."""

    def __init__(self, port: int, target: str, api: int, passed: int):
        self.target, self.api, self.passed = target, api, passed
        self.sockets = [socket.create_server(("127.0.0.1", port))]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.sockets[0].accept()
                node = socket.create_connection(self.target.rsplit(":", 1))
                self.sockets += [client, node]
                for source, sink, reads in ((client, node, self.requests), (node, client, self.bytes)):
                    threading.Thread(target=self.copy, args=(source, sink, reads), daemon=True).start()

    def copy(self, source, sink, reads):
        with contextlib.suppress(OSError):
            for piece in reads(source):
                sink.sendall(piece)
        source.close()
        sink.close()

    def bytes(self, source):
        while piece := source.recv(1 << 16):
            yield piece

    def requests(self, source):
        whole = source.makefile("rb")
        while len(prefix := whole.read(4)) == 4:
            frame = whole.read(int.from_bytes(prefix, "big"))
            if int.from_bytes(frame[:2], "big") == self.api:
                self.passed -= 1
                if self.passed < 0:
                    return self.close()
            yield prefix + frame

    def close(self):
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.control
def test_what_was_done_before_the_broker_went_away_is_told(millrace, new_broker):
    port = free_port()
    node = new_broker(advertised_listeners=f"127.0.0.1:{port}")

    def run(api: int, *words: str):
        relay = Relay(port, node.bootstrap, api, passed=1)
        try:
            return json.loads(millrace(*words, "--json", "--bootstrap", f"127.0.0.1:{port}", "--timeout", "5", status=UNREACHABLE))
        finally:
            relay.close()

    create, delete, describe_configs, describe_groups, delete_groups = 19, 20, 32, 15, 42
    assert [topic["name"] for topic in run(create, "topic", "create", "one", "two")] == ["one"]
    for name in ("two", "three"):
        assert wire.Connection(node.bootstrap).create_topic(name, 1) == 0
    for group in ("g1", "g2"):
        assert wire.Connection(node.bootstrap).produce("one", 0, wire.Batch([b"x"]).encode()).error == 0
        relay = Relay(port, node.bootstrap, -1, passed=0)
        millrace("consume", "one", "--group", group, "--until-end", "--bootstrap", f"127.0.0.1:{port}")
        relay.close()
    assert [topic["name"] for topic in run(describe_configs, "topic", "describe", "two", "three")] == ["two"]
    assert [group["group"] for group in run(describe_groups, "group", "describe", "g1", "g2")] == ["g1"]
    assert run(delete_groups, "group", "delete", "g1", "g2") == [{"name": "g1", "deleted": True}]
    assert run(delete, "topic", "delete", "two", "three") == [{"name": "two", "deleted": True}]


@pytest.mark.gateway
def test_the_port_of_the_gateway_is_named(millrace, broker):
    millrace("topic", "list", "--bootstrap", broker.http, status=1)
    assert "answers by HTTP" in millrace.errors


# MARK: Following


@pytest.mark.control
@pytest.mark.parametrize("words", [[], ["--group", "follower"]])
def test_following_goes_on_when_the_broker_comes_back(begun, millrace, new_broker, tmp_path, words):
    node = new_broker()
    topic = create_topic(node.bootstrap, unique("follow"), 1)
    said = tmp_path / "said"
    with open(said, "wb") as errors:
        process = begun("consume", topic, "--from", "beginning", *words, bootstrap=node.bootstrap, stderr=errors)
    for value in (b"before", b"after"):
        millrace("produce", topic, "--bootstrap", node.bootstrap, stdin=value + b"\n")
        assert process.stdout.readline() == value + b"\n"
        if value == b"before":
            node.kill()
            # Long enough for every attempt of a single request to be over.
            time.sleep(3)
            assert process.poll() is None, said.read_bytes()
            node.start()
    until(lambda: b"is back" in said.read_bytes(), "that it is back is told")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == TERMINATED
    assert said.read_bytes().count(b"trying again") == 1


@pytest.mark.control
def test_a_member_that_is_stopped_while_it_joins_leaves(begun, millrace, new_broker):
    # The first member waits a minute for others: it is stopped in the middle of joining.
    node = new_broker(group_initial_rebalance_delay_ms=60_000)
    topic = create_topic(node.bootstrap, unique("join"), 1)
    process = begun("consume", topic, "--group", "joiners", bootstrap=node.bootstrap)

    def state() -> tuple[str, int]:
        groups = json.loads(millrace("group", "list", "--bootstrap", node.bootstrap, "--json"))
        if not any(g["group"] == "joiners" and g["state"] == "PreparingRebalance" for g in groups):
            return ("", 0)
        group = json.loads(millrace("group", "describe", "joiners", "--bootstrap", node.bootstrap, "--json"))[0]
        return (group["state"], len(group["members"]))

    until(lambda: state() == ("PreparingRebalance", 1), "the member is on its way in")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == INTERRUPTED
    # No session timeout (30 s) is waited for: the group has no member any more, or is gone.
    assert state()[1] == 0


def test_a_member_that_its_group_gave_up_still_reads_to_the_end(begun, millrace, broker):
    topic, group = create_topic(broker.bootstrap, unique("lost"), 1), unique("lost-group")
    # More than a pipe, and more than one fetch.
    values = [b"%06d" % n + b"x" * 9_993 for n in range(400)]
    DRIVERS["confluent-kafka"].produce(broker.bootstrap, topic, [Record(0, None, v) for v in values])
    process = begun("consume", topic, "--group", group, "--from", "beginning", "--until-end")
    first = process.stdout.read(1000)

    # It writes to a pipe that nobody reads from, longer than its session lasts; here somebody sends it off instead.
    def members() -> list[str]:
        return [m["member_id"] for m in json.loads(millrace("group", "describe", group, "--json"))[0]["members"]]

    [member] = until(members, "it is a member")
    leave_group = 13
    with wire.Connection(broker.bootstrap) as connection:
        reply = connection.call(leave_group, 1, wire.string(group) + wire.string(member))
        assert (reply.int32(), reply.int16()) == (0, 0)
    rest, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said
    # Everything, and what was not committed twice.
    read = (first + rest).split(b"\n")[:-1]
    assert len(read) > len(values) and read[-len(values) :] == values
    assert b"without this member" in said
    [row] = json.loads(millrace("group", "describe", group, "--json"))[0]["partitions"]
    assert row["lag"] == 0


# MARK: The server's signals and lines


@pytest.fixture
def server(begun, tmp_path, broker):
    """Begins a broker of its own; gives the process once it is ready."""
    if broker.kind != "millrace":
        pytest.skip("it is the server of ours that is looked at")
    logs = []

    def start(*words: str, kafka: str = "127.0.0.1:0", is_ready: bool = True, **options) -> tuple[subprocess.Popen, pathlib.Path]:
        log = tmp_path / f"log-{len(logs)}"
        logs.append(log)
        with open(log, "wb") as output:
            process = begun("serve", "--data-dir", str(tmp_path / "data"), "--kafka", kafka, "--http", "127.0.0.1:0", *words, **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **options})
        if is_ready:
            until(lambda: "ready" in log.read_text() or process.poll() is not None, "the broker is ready")
        return process, log

    return start


def test_sighup_is_no_end_and_nohup_is_kept(server):
    process, log = server()
    process.send_signal(signal.SIGHUP)
    until(lambda: "nothing to reload" in log.read_text(), "the signal is told")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0 and "SIGTERM" in log.read_text()
    # As nohup starts it: the signal does not even arrive.
    process, log = server(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    # Once: at the start, with what to do instead.
    assert "nothing to reload" not in log.read_text()
    assert log.read_text().count("SIGHUP") == 1 and "SIGHUP is ignored" in log.read_text(), log.read_text()


def test_routes_are_planned_applied_and_reloaded_without_a_dropped_request(server, begun, tmp_path):
    path = tmp_path / "routes.yaml"

    def write(reply: str, rate: str = "1000000") -> None:
        path.write_text(f"routes:\n  - path: /in\n    to: in\n    reply: {{form: shard, message: {reply}}}\n    rate: {{rps: {rate}}}\n")

    def gateway(command: str) -> tuple[int, str]:
        process = begun("gateway", command, "-c", str(path), "--data-dir", str(tmp_path / "data"))
        output, errors = process.communicate(timeout=LIMIT)
        return process.returncode, (output + errors).decode()

    write("first")
    process, log = server("--config", str(path), "--set", "log.format=json")
    port = int(re.search(r'"http":"[^"]*:(\d+)"', log.read_text())[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)

    def said() -> str:
        connection.request("POST", "/in", "{}", {"Content-Type": "application/json"})
        reply = connection.getresponse()
        body = json.loads(reply.read())
        assert reply.status == 202, body
        return body["message"]

    assert said() == "first"
    assert gateway("plan")[0] == 0
    write("second")
    status, text = gateway("plan")
    assert status == 2 and "~ routes[0].reply.message: first -> second" in text
    assert said() == "first"
    status, text = gateway("apply")
    assert status == 0 and "applied" in text, text
    assert said() == "second" and gateway("plan")[0] == 0
    # What is wrong changes nothing, and is told with its line, by the command and by the log.
    write("third", rate="lots")
    assert gateway("apply")[0] == 4
    process.send_signal(signal.SIGHUP)
    until(lambda: "the old routes stay" in log.read_text(), "the refusal is told")
    assert "line 5" in log.read_text() and said() == "second"
    write("third")
    process.send_signal(signal.SIGHUP)
    until(lambda: log.read_text().count("routes reloaded") == 2, "the file is taken")
    assert said() == "third"
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0


def test_a_terminal_that_goes_away_ends_a_broker_in_its_foreground(server):
    leader, follower = pty.openpty()

    def own_terminal():
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    process, log = server(stdin=follower, preexec_fn=own_terminal, pass_fds=[follower])
    os.close(follower)
    os.close(leader)
    assert process.wait(LIMIT) == 0
    assert "terminal is gone" in log.read_text()


def test_every_line_of_a_server_is_json_when_asked_for(server):
    words = ["--set", "log.format=json", "--set", "log.level=debug"]
    process, log = server(*words)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["message"] for line in lines if line["message"] in ("ready", "stopping", "stopped")] == ["ready", "stopping", "stopped"]
    [ready] = [line for line in lines if line["message"] == "ready"]
    assert ready["bootstrap.servers"].startswith("127.0.0.1:") and ready["http"].startswith("http://127.0.0.1:") and ready["level"] == "info"
    # What is wrong before it starts has the same form, also when the wrong thing is the configuration.
    process, log = server(*words, "--set", "num.partitions=0", "--set", "nonsense=1", is_ready=False)
    assert process.wait(LIMIT) == WRONG_CONFIGURATION
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["wrong configuration"] * 2 and "num.partitions=0" in lines[0]["problem"]
    process, log = server(*words, "--insecure", kafka="192.0.2.1:1", is_ready=False)
    assert process.wait(LIMIT) == 1
    assert json.loads(log.read_text().splitlines()[-1])["message"] == "cannot start"


def address(log: pathlib.Path) -> str:
    return re.search(r"bootstrap\.servers=(\S+)", log.read_text())[1]


def limited(kind: int, limit: int):
    return lambda: resource.setrlimit(kind, (limit, limit))


def test_a_limit_of_the_size_of_files_refuses_the_partition_that_meets_it(server):
    # Above the journal's files of 64 MiB, and below a segment's 1 GiB.
    process, log = server(preexec_fn=limited(resource.RLIMIT_FSIZE, 80 << 20))
    large = wire.Batch([b"x" * 1_000_000]).encode()
    storage_error = 56
    with wire.Connection(address(log), timeout=LIMIT) as connection:
        assert connection.create_topic("large", 1) == connection.create_topic("other", 1) == 0
        errors = []
        while not any(errors) and len(errors) < 400:
            errors.append(connection.produce("large", 0, large).error)
        assert process.poll() is None and errors[-1] == storage_error, log.read_text()[-2000:]
        assert connection.produce("other", 0, wire.Batch([b"y"]).encode()).error == 0
        # All that was acknowledged is read.
        taken = len(errors) - 1
        assert taken > 70
        error, _, stored = connection.fetch("large", 0, taken - 1, max_bytes=2 << 20)
        assert error == 0 and [offset for offset, _, _ in wire.stored_records(stored)][0] == taken - 1
    assert "ulimit -f" in log.read_text()
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT)


def test_output_that_meets_a_limit_of_the_size_of_files_is_an_error(millrace, begun, tmp_path):
    with open(tmp_path / "output", "wb") as output:
        process = begun("config", "keys", "--markdown", stdout=output, preexec_fn=limited(resource.RLIMIT_FSIZE, 100))
        assert process.wait(LIMIT) == 1
    assert b"cannot write the output" in process.stderr.read()


@pytest.mark.parametrize("limit,level", [(4096, "INFO"), (1024, "WARNING")])
def test_only_a_low_limit_of_open_files_is_warned_of(server, limit, level):
    process, log = server(preexec_fn=limited(resource.RLIMIT_NOFILE, limit))
    [line] = [line for line in log.read_text().splitlines() if "fewer connections" in line]
    assert f" {level} " in line
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0


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
