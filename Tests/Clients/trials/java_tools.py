"""Runs Apache Kafka's own command-line tools on Apache Kafka and on Millrace and prints where they differ.

MILLRACE_KAFKA names the launcher of a Kafka distribution: `LAUNCHER start DIR PORT [key=value ...]`, `LAUNCHER TOOL ARGS`.
Both nodes are started here on empty folders, each step runs on one and then on the other, and what cannot be the same
(ids, ports, times, rates) is replaced by a word before comparing. The last table has one row a step. Exits 1 when a tool
ended with another status than on Apache Kafka; other differences are for a reader to judge."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable

from harness.broker import Broker
from trials.command import SKIPPED, kafka_launcher, parser, remove_on_sigterm, say

LINES = "".join(f"key-{n % 5}:value {n}\n" for n in range(20))
# What differs from one run of Apache Kafka to the next, in the order of replacement.
REPLACED = [
    (r"127\.0\.0\.1:\d+", "HOST:PORT"),
    (r"localhost:\d+", "HOST:PORT"),
    (r"\[::1\]:\d+", "HOST:PORT"),
    (r"127\.0\.0\.1 \d{4,5}\b", "HOST PORT"),
    (r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] ", ""),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[:.,]\d{3}", "TIME"),
    (r"TopicId: \S+", "TopicId: ID"),
    (r"(?<=Cluster ID: )\S+", "ID"),
    (r"(-|\b)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", r"\1UUID"),
    (r"/(127\.0\.0\.1|0:0:0:0:0:0:0:1)\b", "/ADDRESS"),
    (r"(/tmp|/var/tmp)/[^\s\",]*", "FOLDER"),
    (r"CreateTime:\d{13}", "CreateTime:MS"),
    (r'"size":\d+', '"size":N'),
    (r"\b1[5-9]\d{11}\b", "MS"),
    (r"console-consumer-\d+", "console-consumer-N"),
]
RATES = [(r"[\d.]+(?= (records/sec|MB/sec|ms\b))", "N"), (r"(?<== )\d+", "N"), (r"-?\d+\.\d+(E-?\d+)?", "N"), (r"(?<=, )\d+", "N")]

# Why the lines of some steps are others. One that is not here and differs is for a reader to look at.
MINIMUM = "Apache Kafka sets min.insync.replicas for the whole cluster by itself, for its eligible leader replicas"
ORDER = "the same in another order, which in Apache Kafka is that of a hash table"
HOURS = "the default is told among the synonyms, which Apache Kafka leaves out where it has it in hours"
DIFFERENCES = {
    "topics: list": "the topic of committed offsets is there from the start on, in Apache Kafka with the first group",
    "topics: describe": MINIMUM,
    "topics: with overrides": f"{MINIMUM}; and the topic of committed offsets is there from the start on",
    "topics: describe after alter": MINIMUM,
    "configs: describe a topic": HOURS,
    "configs: describe all of a topic": f"{HOURS} or not at all; {MINIMUM}",
    "configs: describe after alter": HOURS,
    "configs: the broker's": MINIMUM,
    "access: describe the user": ORDER,
    "access: describe all users": ORDER,
    "access: describe what is left": ORDER,
    "one node: features": "features of controllers among themselves and of streams groups are not there",
    "one node: the quorum": "ids, epochs and offsets of each one's own metadata",
    "one node: the quorum's replicas": "offsets of each one's own metadata",
    "share groups: describe": "where a group stands is told at once, and not with the next write of its state",
    "broker-api-versions": "Kafka 4.4's versions are told, and two APIs of Millrace's own; what streams groups and brokers among themselves ask is not served",
}


class Step:
    """One call of one tool. `{b}` is the node's address; `rates` marks what measures."""

    def __init__(self, name: str, arguments: str, stdin: str | None = None, rates: bool = False, unordered: bool = False):
        self.name, self.arguments, self.stdin = name, arguments, stdin
        self.rates, self.unordered = rates, unordered


def steps(folder: pathlib.Path) -> list[Step]:
    records = folder / "records.json"
    records.write_text('{"partitions":[{"topic":"talk","partition":0,"offset":2}],"version":1}')
    b = "--bootstrap-server {b}"
    listed = [
        Step("topics: create", f"topics {b} --create --topic talk --partitions 3 --replication-factor 1 --config retention.ms=86400000"),
        Step("topics: create with defaults", f"topics {b} --create --topic plain"),
        Step("topics: create what is there", f"topics {b} --create --topic talk"),
        Step("topics: create, if not there", f"topics {b} --create --if-not-exists --topic talk"),
        Step("topics: create, bad name", f"topics {b} --create --topic bad*name"),
        Step("topics: create, bad setting", f"topics {b} --create --topic worse --config retention.ms=soon"),
        Step("topics: create, too many replicas", f"topics {b} --create --topic worse --replication-factor 3"),
        Step("topics: list", f"topics {b} --list"),
        Step("topics: describe", f"topics {b} --describe --topic talk"),
        Step("topics: describe one not there", f"topics {b} --describe --topic absent"),
        Step("topics: with overrides", f"topics {b} --describe --topics-with-overrides"),
        Step("topics: more partitions", f"topics {b} --alter --topic plain --partitions 4"),
        Step("topics: fewer partitions", f"topics {b} --alter --topic plain --partitions 2"),
        Step("topics: describe after alter", f"topics {b} --describe --topic plain"),
    ]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        listed += [
            Step(f"topics: create for {codec}", f"topics {b} --create --topic codec-{codec}"),
            Step(f"console-producer: {codec}", f"console-producer {b} --topic codec-{codec} --compression-codec {codec} --reader-property parse.key=true --reader-property key.separator=:", LINES),
            Step(f"console-consumer: {codec}", f"console-consumer {b} --topic codec-{codec} --from-beginning --max-messages 20 --timeout-ms 15000 --formatter-property print.key=true --formatter-property print.offset=true --formatter-property print.partition=true --formatter-property print.headers=true"),
        ]
    listed += [
        Step("console-producer: acks=0", f"console-producer {b} --topic talk --producer-property acks=0 --producer-property enable.idempotence=false --reader-property parse.key=true --reader-property key.separator=:", "a:one\nb:two\n"),
        Step("console-producer: acks=all", f"console-producer {b} --topic talk --reader-property parse.key=true --reader-property key.separator=:", LINES),
        Step("console-producer: makes a topic", f"console-producer {b} --topic by-use", "first\n"),
        Step("console-consumer: a group", f"console-consumer {b} --topic talk --group readers --from-beginning --max-messages 22 --timeout-ms 15000", unordered=True),
        Step("console-consumer: the group again", f"console-consumer {b} --topic talk --group readers --timeout-ms 4000"),
        Step("console-consumer: one partition from an offset", f"console-consumer {b} --topic codec-lz4 --partition 0 --offset 15 --max-messages 5 --timeout-ms 15000"),
        Step("console-consumer: read committed", f"console-consumer {b} --topic codec-zstd --from-beginning --isolation-level read_committed --max-messages 20 --timeout-ms 15000"),
        Step("consumer-groups: list", f"consumer-groups {b} --list", unordered=True),
        Step("consumer-groups: list with state", f"consumer-groups {b} --list --state", unordered=True),
        Step("consumer-groups: describe", f"consumer-groups {b} --describe --group readers", unordered=True),
        Step("consumer-groups: state", f"consumer-groups {b} --describe --group readers --state"),
        Step("consumer-groups: members", f"consumer-groups {b} --describe --group readers --members"),
        Step("consumer-groups: all groups", f"consumer-groups {b} --describe --all-groups", unordered=True),
        Step("consumer-groups: one not there", f"consumer-groups {b} --describe --group absent"),
        Step("consumer-groups: reset, dry run", f"consumer-groups {b} --group readers --topic talk --reset-offsets --to-earliest --dry-run", unordered=True),
        Step("consumer-groups: reset", f"consumer-groups {b} --group readers --topic talk --reset-offsets --shift-by -1 --execute", unordered=True),
        Step("consumer-groups: reset by time", f"consumer-groups {b} --group readers --topic talk --reset-offsets --to-datetime 2020-01-01T00:00:00.000 --execute", unordered=True),
        Step("consumer-groups: delete offsets", f"consumer-groups {b} --group readers --topic talk:0 --delete-offsets"),
        Step("consumer-groups: delete", f"consumer-groups {b} --group readers --delete"),
        Step("consumer-groups: delete again", f"consumer-groups {b} --group readers --delete"),
        Step("get-offsets: latest", f"get-offsets {b} --topic codec-lz4"),
        Step("get-offsets: earliest", f"get-offsets {b} --topic talk --time earliest"),
        Step("get-offsets: by time", f"get-offsets {b} --topic codec-lz4 --time 0"),
        Step("get-offsets: largest time", f"get-offsets {b} --topic by-use --time max-timestamp"),
        Step("get-offsets: with internal topics", f"get-offsets {b} --topic-partitions codec-lz4:0,codec-gzip:0"),
        Step("configs: describe a topic", f"configs {b} --describe --entity-type topics --entity-name talk"),
        Step("configs: describe all of a topic", f"configs {b} --describe --all --entity-type topics --entity-name talk", unordered=True),
        Step("configs: alter", f"configs {b} --alter --entity-type topics --entity-name talk --add-config retention.ms=1000000,segment.bytes=1048576"),
        Step("configs: describe after alter", f"configs {b} --describe --entity-type topics --entity-name talk", unordered=True),
        Step("configs: take back", f"configs {b} --alter --entity-type topics --entity-name talk --delete-config retention.ms"),
        Step("configs: bad value", f"configs {b} --alter --entity-type topics --entity-name talk --add-config retention.ms=soon"),
        Step("configs: unknown setting", f"configs {b} --alter --entity-type topics --entity-name talk --add-config no.such.setting=1"),
        Step("configs: the broker's", f"configs {b} --describe --entity-type brokers --entity-default"),
        *access(b),
        *one_node(b, folder),
        *share_groups(b),
        Step("delete-records", f"delete-records {b} --offset-json-file {records}"),
        Step("get-offsets: after delete-records", f"get-offsets {b} --topic talk --time earliest"),
        Step("log-dirs", f"log-dirs {b} --describe --topic-list codec-lz4"),
        Step("producer-perf-test", "producer-perf-test --bootstrap-server {b} --topic plain --num-records 20000 --record-size 100 --throughput -1 --command-property acks=all", rates=True),
        Step("producer-perf-test: lz4", "producer-perf-test --bootstrap-server {b} --topic plain --num-records 20000 --record-size 1000 --throughput -1 --command-property acks=all --command-property compression.type=lz4", rates=True),
        Step("consumer-perf-test", "consumer-perf-test --bootstrap-server {b} --topic plain --num-records 40000 --timeout 20000", rates=True),
        Step("verifiable-producer", "verifiable-producer --bootstrap-server {b} --topic verified --max-messages 50", rates=True, unordered=True),
        Step("verifiable-consumer", "verifiable-consumer --bootstrap-server {b} --topic verified --group-id verifiers --reset-policy earliest --max-messages 50", rates=True),
        Step("e2e-latency", "e2e-latency --bootstrap-server {b} --topic plain --num-records 50 --producer-acks all --record-size 100", rates=True),
        Step("topics: delete", f"topics {b} --delete --topic plain"),
        Step("topics: delete one not there", f"topics {b} --delete --topic absent"),
        Step("topics: list at the end", f"topics {b} --list"),
        Step("cluster: id", f"cluster cluster-id {b}"),
        Step("broker-api-versions", f"broker-api-versions {b}"),
    ]
    return listed


def share_groups(b: str) -> list[Step]:
    """Groups' settings, and share groups (KIP-932)."""
    group = "--entity-type groups --entity-name sharers"
    return [
        Step("share groups: settings", f"configs {b} --alter {group} --add-config share.auto.offset.reset=earliest,share.session.timeout.ms=50000"),
        Step("share groups: describe settings", f"configs {b} --describe {group}", unordered=True),
        Step("share groups: a bad setting", f"configs {b} --alter {group} --add-config share.session.timeout.ms=1"),
        Step("share groups: an unknown setting", f"configs {b} --alter {group} --add-config no.such.setting=1"),
        Step("share groups: a topic", f"topics {b} --create --topic shared --partitions 2"),
        Step("share groups: records", f"console-producer {b} --topic shared --reader-property parse.key=true --reader-property key.separator=:", LINES),
        Step("share groups: consume", f"console-share-consumer {b} --topic shared --group sharers --max-messages 20 --timeout-ms 20000", unordered=True),
        Step("share groups: list", f"share-groups {b} --list --state", unordered=True),
        Step("share groups: describe", f"share-groups {b} --describe --group sharers", unordered=True),
        Step("share groups: state", f"share-groups {b} --describe --group sharers --state"),
        Step("share groups: members", f"share-groups {b} --describe --group sharers --members"),
        Step("share groups: one not there", f"share-groups {b} --describe --group absent"),
        Step("share groups: reset", f"share-groups {b} --group sharers --topic shared --reset-offsets --to-earliest --execute", unordered=True),
        Step("share groups: describe after reset", f"share-groups {b} --describe --group sharers", unordered=True),
        Step("share groups: delete offsets", f"share-groups {b} --group sharers --topic shared --delete-offsets"),
        Step("share groups: delete", f"share-groups {b} --group sharers --delete"),
        Step("share groups: delete again", f"share-groups {b} --group sharers --delete"),
    ]


def one_node(b: str, folder: pathlib.Path) -> list[Step]:
    """What several nodes would move or agree on."""
    move, far = folder / "move.json", folder / "far.json"
    move.write_text('{"version":1,"partitions":[{"topic":"talk","partition":0,"replicas":[1]}]}')
    far.write_text('{"version":1,"partitions":[{"topic":"talk","partition":0,"replicas":[2]}]}')
    elect, reassign = f"leader-election {b} --election-type", f"reassign-partitions {b}"
    return [
        Step("one node: preferred leaders of all", f"{elect} preferred --all-topic-partitions"),
        Step("one node: a preferred leader", f"{elect} preferred --topic talk --partition 0"),
        Step("one node: a preferred leader of a partition not there", f"{elect} preferred --topic talk --partition 7"),
        Step("one node: an unclean leader of a topic not there", f"{elect} unclean --topic absent --partition 0"),
        Step("one node: a reassignment", f"{reassign} --reassignment-json-file {move} --execute"),
        Step("one node: is it done", f"{reassign} --reassignment-json-file {move} --verify"),
        Step("one node: cancel it", f"{reassign} --reassignment-json-file {move} --cancel"),
        Step("one node: a reassignment to another", f"{reassign} --reassignment-json-file {far} --execute"),
        Step("one node: reassignments under way", f"{reassign} --list"),
        Step("one node: features", f"features {b} describe"),
        Step("one node: a feature that is not there", f"features {b} upgrade --feature foo=3"),
        Step("one node: a level that is not there", f"features {b} upgrade --feature transaction.version=9"),
        Step("one node: the quorum", f"metadata-quorum {b} describe --status"),
        Step("one node: the quorum's replicas", f"metadata-quorum {b} describe --replication"),
        Step("one node: settings of groups", f"configs {b} --describe --entity-type groups"),
        Step("one node: settings of client metrics", f"configs {b} --describe --entity-type client-metrics"),
        Step("one node: client metrics", f"client-metrics {b} --list"),
        Step("one node: endpoints", f"cluster list-endpoints {b}"),
    ]


def access(b: str) -> list[Step]:
    """Users, quotas, and the ACLs that there are not without an authorizer."""
    alter, describe = f"configs {b} --alter", f"configs {b} --describe"
    alice, clients = "--entity-type users --entity-name alice", "--entity-type users --entity-default --entity-type clients --entity-name app"
    return [
        Step("access: a password", f"{alter} {alice} --add-config SCRAM-SHA-256=[iterations=8192,password=pencil]"),
        Step("access: another mechanism", f"{alter} {alice} --add-config SCRAM-SHA-512=[password=pencil]"),
        Step("access: too few iterations", f"{alter} {alice} --add-config SCRAM-SHA-512=[iterations=100,password=pencil]"),
        Step("access: quotas of a user", f"{alter} {alice} --add-config producer_byte_rate=1024,request_percentage=50"),
        Step("access: quotas of a client of everybody's", f"{alter} {clients} --add-config consumer_byte_rate=9"),
        Step("access: a rate of connections", f"{alter} --entity-type ips --entity-name 10.0.0.1 --add-config connection_creation_rate=7"),
        Step("access: a negative quota", f"{alter} {alice} --add-config producer_byte_rate=-1"),
        Step("access: a broken quota", f"{alter} {alice} --add-config producer_byte_rate=1.5"),
        Step("access: describe the user", f"{describe} {alice}", unordered=True),
        Step("access: describe the client", f"{describe} {clients}"),
        Step("access: describe all users", f"{describe} --entity-type users", unordered=True),
        Step("access: describe the addresses", f"{describe} --entity-type ips", unordered=True),
        Step("access: take a password back", f"{alter} {alice} --delete-config SCRAM-SHA-512"),
        Step("access: take one back that is not there", f"{alter} {alice} --delete-config SCRAM-SHA-512"),
        Step("access: describe what is left", f"{describe} {alice}", unordered=True),
        Step("access: add an ACL", f"acls {b} --add --allow-principal User:alice --operation Read --topic talk"),
        Step("access: list ACLs", f"acls {b} --list"),
    ]


def run(launcher: str, step: Step, bootstrap: str) -> tuple[int, list[str]]:
    command = [launcher, *step.arguments.replace("{b}", bootstrap).split()]
    try:
        done = subprocess.run(command, input=step.stdin or "", capture_output=True, text=True, timeout=90)
        status, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as expired:
        status, text = 124, ((expired.stdout or b"") + (expired.stderr or b"")).decode(errors="replace") + "\nstopped after 90 s"
    for pattern, word in REPLACED + (RATES if step.rates else []):
        text = re.sub(pattern, word, text)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("at ")]  # stack frames are Java's own affair
    if step.rates:
        # A slow run also reports every five seconds.
        lines = [line for line in lines if not re.match(r"\d+ records sent,.* max latency\.$", line)]
    return status, sorted(lines) if step.unordered else lines


@dataclasses.dataclass
class Compared:
    """How a step went on both nodes."""

    step: Step
    statuses: tuple[int, int]
    changed: list[str]  # lines of a difference, '-' Apache Kafka's, '+' Millrace's

    @property
    def verdict(self) -> str:
        if self.ends_otherwise:
            return "{} lines differ, status {} / {}".format(len(self.changed), *self.statuses)
        return f"{len(self.changed)} lines differ: {DIFFERENCES.get(self.step.name, 'nobody has said why')}" if self.changed else "same"

    @property
    def ends_otherwise(self) -> bool:
        return self.statuses[0] != self.statuses[1]


def compare(launcher: str, other: Callable[[dict[str, str]], Broker], only: str = "", keep: str | None = None) -> list[Compared]:
    """Runs the steps on an Apache Kafka and on the node that `other` makes, both on empty folders, and says what came of each."""
    settings = {"num.partitions": "1"}
    # Groups begin at once on both, and nothing waits for members that never come.
    nodes = [Broker("kafka", launcher, settings), other(settings)]
    rows = []
    try:
        for node in nodes:
            node.start()
        with tempfile.TemporaryDirectory() as name:
            for number, step in enumerate(steps(pathlib.Path(name)), 1):
                if only not in step.name:
                    continue
                outputs = [run(launcher, step, node.bootstrap) for node in nodes]
                if keep:
                    pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
                    for node, (status, lines) in zip(("kafka", "millrace"), outputs):
                        (pathlib.Path(keep) / f"{number:02d}-{node}.txt").write_text("\n".join([step.name, step.arguments, f"status {status}", *lines]) + "\n")
                (kafka_status, kafka_lines), (own_status, own_lines) = outputs
                changed = [line for line in difflib.unified_diff(kafka_lines, own_lines, "Apache Kafka", "Millrace", lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))]
                rows.append(Compared(step, (kafka_status, own_status), changed))
                say(f"[{number}] {step.name}: {rows[-1].verdict}")
                for line in changed:
                    print(f"      {line[:220]}")
            for node in nodes:
                node.check_alive()
    finally:
        for node in nodes:
            node.remove()
    return rows


def main() -> int:
    arguments = parser("compare-java-tools", __doc__)
    arguments.add_argument("--only", default="", help="run only steps whose name contains this")
    arguments.add_argument("--keep", help="write both outputs of every step into this folder")
    arguments.add_argument("--against-itself", action="store_true", help="Apache Kafka in both places, to see what is not replaced yet")
    options = arguments.parse_args()
    remove_on_sigterm()
    launcher = kafka_launcher()
    if not launcher:
        return SKIPPED
    program = ("kafka", launcher) if options.against_itself else ("millrace", options.binary)
    rows = compare(launcher, lambda settings: Broker(*program, settings), options.only, options.keep)
    print("\n| Tool | Beside Apache Kafka |\n|---|---|")
    for row in rows:
        print(f"| {row.step.name} | {row.verdict} |")
    same = sum(row.verdict == "same" for row in rows)
    print(f"\n{same} of {len(rows)} print the same ('-' Apache Kafka alone, '+' Millrace alone).")
    return 1 if any(row.ends_otherwise for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
