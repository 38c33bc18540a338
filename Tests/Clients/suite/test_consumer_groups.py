"""Consumer groups of the consumer protocol (KIP-848): the broker assigns; members share, join, leave and crash, and groups go from one
protocol to the other while they read. Nothing is lost, and a record comes twice only behind the last commit of a crashed member."""

import os
import subprocess
import time
import uuid

import pytest

from conftest import create_topic
from harness.clients.feed import Feed
from harness.clients.group import Group, wait_until

PARTITIONS = 4
CONSUMER = ("--protocol", "consumer")


@pytest.fixture
def node(new_broker, pytestconfig):
    """Short times, so that nobody waits for a session of 45 s."""
    settings = {"group_consumer_session_timeout_ms": 6000, "group_consumer_heartbeat_interval_ms": 500, "group_initial_rebalance_delay_ms": 0}
    if pytestconfig.getoption("--broker") == "kafka":
        settings |= {"group_consumer_min_session_timeout_ms": 6000, "group_consumer_min_heartbeat_interval_ms": 500}
    return new_broker(**settings)


@pytest.fixture
def make_group(node):
    groups = []

    def make(partitions: int = PARTITIONS, name: str | None = None) -> Group:
        name = name or f"group-{uuid.uuid4().hex[:8]}"
        topic = create_topic(node.bootstrap, f"topic-{name}", partitions)
        groups.append(Group(node.bootstrap, name, topic, partitions))
        return groups[-1]

    yield make
    for group in groups:
        group.close()


def join(group: Group, *extra: str):
    return group.join("confluent-kafka", *CONSUMER, *extra)


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_members_share_join_and_leave(make_group, assignor):
    """Everybody commits before giving a partition up, so every record is seen exactly once."""
    group = make_group()
    feed = Feed(group.bootstrap, group.topic, PARTITIONS)
    one = join(group, "--assignor", assignor)
    group.wait_shared(one)
    two = join(group, "--assignor", assignor)
    group.wait_shared(one, two)
    three = join(group, "--assignor", assignor)
    group.wait_shared(one, two, three)
    two.leave()
    group.wait_shared(one, three)
    one.leave()
    group.wait_shared(three)
    group.wait_consumed(feed.stop())
    three.leave()
    group.check_order()
    assert not group.duplicates()


def test_what_stays_with_a_member_is_not_taken_away(make_group):
    group = make_group()
    one = join(group)
    group.wait_shared(one)
    two = join(group)
    group.wait_shared(one, two)
    given_up = {p for event in one.of("revoked") for p in event[1]}
    assert len(given_up) == 2
    assert set(one.assignment()) == set(range(PARTITIONS)) - given_up


def test_a_crash_loses_nothing_and_repeats_only_what_was_not_committed(make_group):
    group = make_group()
    feed = Feed(group.bootstrap, group.topic, PARTITIONS)
    one, two = join(group), join(group)
    group.wait_shared(one, two)
    wait_until(lambda: len(one.records()) > 20 and len(two.records()) > 20, 20)
    two.crash()
    group.wait_shared(one, seconds=30)
    group.wait_consumed(feed.stop())
    one.leave()
    group.check_order()
    committed = two.committed()
    for partition, offset in group.duplicates():
        assert offset >= committed.get(partition, 0), f"partition {partition}: {offset} came again though {committed} was committed"


def test_a_static_member_returns_to_what_it_had(make_group):
    group = make_group(2)
    stay = join(group, "--instance", "stays")
    leaver = join(group, "--instance", "returns")
    group.wait_shared(stay, leaver)
    held, revocations = leaver.assignment(), len(stay.of("revoked"))
    leaver.leave()
    returned = join(group, "--instance", "returns")
    wait_until(lambda: returned.assignment() is not None, 15, returned.errors)
    assert returned.assignment() == held
    time.sleep(1)
    assert len(stay.of("revoked")) == revocations


def test_a_pattern_finds_topics_that_come_later(make_group, node):
    group = make_group(1, name=f"logs-{uuid.uuid4().hex[:6]}")
    reader = join(group, "--pattern", f"^{group.topic}(\\..*)?$")
    group.wait_shared(reader)
    create_topic(node.bootstrap, f"{group.topic}.more", 1)
    wait_until(lambda: len(reader.of("assigned")) > 1, 40, reader.history)


@pytest.mark.control
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_members_survive_a_restart_of_the_node(make_group, node, end):
    group = make_group()
    feed = Feed(node.bootstrap, group.topic, PARTITIONS)
    one, two = join(group), join(group)
    group.wait_shared(one, two)
    wait_until(lambda: len(one.records()) > 20 and len(two.records()) > 20, 20)
    node.stop() if end == "stop" else node.kill()
    node.start()
    seen = len(one.records()), len(two.records())
    wait_until(lambda: len(one.records()) > seen[0] + 5 and len(two.records()) > seen[1] + 5, 40)
    group.wait_consumed(feed.stop(), seconds=60)
    group.wait_shared(one, two)
    for member in (one, two):
        member.leave()
    for partition, offset in group.duplicates(node_was_away=True):
        earlier = [m.committed().get(partition, 0) for m in (one, two)]
        assert offset < max(earlier)


def test_an_assignor_with_data_of_its_own_keeps_its_group_classic(make_group):
    """librdkafka's sticky assignor writes to its next self, which no broker could do: such a group is not taken over."""
    group = make_group()
    sticky = ("--strategy", "cooperative-sticky", "--session-ms", "6000")
    old = [group.join("confluent-kafka", *sticky)]
    group.wait_shared(*old)
    # Who had an assignment writes of it when it joins again; in a group's first generation nobody has any.
    old.append(group.join("confluent-kafka", *sticky))
    group.wait_shared(*old)
    new = join(group)
    wait_until(lambda: new.of("error"), 20, new.history)
    assert "group id does not exist" in new.of("error")[0][1]
    group.wait_shared(*old)


@pytest.mark.parametrize("strategy", ["range", "roundrobin"])
def test_clients_are_exchanged_while_they_read(make_group, strategy):
    """Classic members go and members of the consumer protocol come, one after the other, and back."""
    group = make_group()
    classic = ("--strategy", strategy, "--session-ms", "6000")
    feed = Feed(group.bootstrap, group.topic, PARTITIONS)
    old = [group.join("confluent-kafka", *classic) for _ in range(2)]
    group.wait_shared(*old)
    one = join(group)
    group.wait_shared(*old, one)
    old[0].leave()
    two = join(group)
    group.wait_shared(old[1], one, two)
    old[1].leave()
    group.wait_shared(one, two)
    back = group.join("confluent-kafka", *classic)
    group.wait_shared(one, two, back)
    one.leave()
    two.leave()
    group.wait_shared(back)
    group.wait_consumed(feed.stop())
    back.leave()
    group.check_order()
    assert not group.duplicates()


def test_tools_see_the_group(make_group, node):
    from confluent_kafka import ConsumerGroupState, ConsumerGroupType
    from confluent_kafka.admin import AdminClient

    group = make_group(2)
    one = join(group)
    group.wait_shared(one)
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    wait_until(lambda: any(g.group_id == group.name and g.state == ConsumerGroupState.STABLE for g in admin.list_consumer_groups().result(10).valid), 20)
    listed = next(g for g in admin.list_consumer_groups().result(10).valid if g.group_id == group.name)
    assert listed.type == ConsumerGroupType.CONSUMER
    described = admin.describe_consumer_groups([group.name])[group.name].result(10)
    assert described.state == ConsumerGroupState.STABLE
    assert described.partition_assignor == "uniform"
    assert [sorted(p.partition for p in m.assignment.topic_partitions) for m in described.members] == [[0, 1]]
    one.leave()
    wait_until(lambda: admin.describe_consumer_groups([group.name])[group.name].result(10).state == ConsumerGroupState.EMPTY, 20)
    admin.delete_consumer_groups([group.name])[group.name].result(10)


@pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no tools of Apache Kafka")
def test_java_reads_as_a_member(make_group, node):
    group = make_group()
    feed = Feed(group.bootstrap, group.topic, PARTITIONS)
    time.sleep(1)
    count = len(feed.stop())

    def run(*words: str) -> str:
        ran = subprocess.run(
            [os.environ["MILLRACE_KAFKA"], *words], capture_output=True, text=True, timeout=120, env={**os.environ, "KAFKA_LOG": "error"})
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    read = run(
        "console-consumer", "--bootstrap-server", node.bootstrap, "--topic", group.topic, "--group", group.name,
        "--command-property", "group.protocol=consumer", "--command-property", "auto.offset.reset=earliest", "--max-messages", str(count),
        "--timeout-ms", "60000")
    assert len(read.splitlines()) == count
    described = run("consumer-groups", "--bootstrap-server", node.bootstrap, "--describe", "--group", group.name)
    assert all(line.split()[5] == "0" for line in described.splitlines() if group.topic in line), described
    state = run("consumer-groups", "--bootstrap-server", node.bootstrap, "--describe", "--group", group.name, "--state")
    assert "Empty" in state
    listed = run("consumer-groups", "--bootstrap-server", node.bootstrap, "--list", "--type", "consumer")
    assert group.name in listed.split()
