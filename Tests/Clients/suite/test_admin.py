"""Topics, settings, records, groups and offsets by the admin clients of confluent-kafka and kafka-python."""

import time
import uuid
import warnings

import pytest

warnings.filterwarnings("ignore", category=DeprecationWarning)

from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions, NewTopic, OffsetSpec, ResourceType  # noqa: E402

from harness.clients.group import Group, wait_until  # noqa: E402
from harness.wire import Batch, Connection  # noqa: E402


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap})


@pytest.fixture
def python_admin(broker):
    from kafka import KafkaAdminClient

    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def fill(bootstrap: str, topic: str, count: int, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for n in range(count):
        producer.produce(topic, b"%d" % n, partition=partition)
    assert producer.flush(20) == 0


def code_of(future) -> int:
    with pytest.raises(KafkaException) as caught:
        future.result(20)
    return caught.value.args[0].code()


def names_of_topics(admin) -> set[str]:
    return set(admin.list_topics(timeout=10).topics)


# MARK: Topics


def test_topics_are_created_described_and_deleted(admin):
    name = unique("made")
    admin.create_topics([NewTopic(name, 3, 1, config={"retention.ms": "86400000"})])[name].result(20)
    assert name in names_of_topics(admin)
    found = admin.list_topics(name, timeout=10).topics[name]
    assert sorted(found.partitions) == [0, 1, 2]
    assert all(p.leader >= 0 and p.replicas == p.isrs == [p.leader] for p in found.partitions.values())
    admin.delete_topics([name])[name].result(20)
    wait_until(lambda: name not in names_of_topics(admin), 10)


def test_a_topic_made_again_is_another_topic(broker, python_admin, admin):
    name = unique("again")
    ids = []
    for _ in range(2):
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
        fill(broker.bootstrap, name, 3)
        ids.append(python_admin.describe_topics([name])[0]["topic_id"])
        with Connection(broker.bootstrap) as connection:
            assert connection.list_offset(name, 0, -1)[2] == 3, "the new topic begins empty"
        admin.delete_topics([name])[name].result(20)
        wait_until(lambda: name not in names_of_topics(admin), 10)
    assert ids[0] != ids[1]


def test_refusals_of_topic_creation(admin, new_topic):
    existing = new_topic()
    for name, new, code in [
        (existing, NewTopic(existing, 1, 1), KafkaError.TOPIC_ALREADY_EXISTS),
        ("bad name!", NewTopic("bad name!", 1, 1), KafkaError.TOPIC_EXCEPTION),
        ("none", NewTopic("none", 0, 1), KafkaError.INVALID_PARTITIONS),
        ("many", NewTopic("many", 1, 5), KafkaError.INVALID_REPLICATION_FACTOR),
        ("odd", NewTopic("odd", 1, 1, config={"no.such.setting": "1"}), KafkaError.INVALID_CONFIG),
        ("wrong", NewTopic("wrong", 1, 1, config={"retention.ms": "soon"}), KafkaError.INVALID_CONFIG),
    ]:
        assert code_of(admin.create_topics([new])[name]) == code, name
    assert not {"bad name!", "none", "many", "odd", "wrong"} & names_of_topics(admin)


def test_validate_only_changes_nothing(admin):
    name = unique("only")
    admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)[name].result(20)
    assert name not in names_of_topics(admin)


def test_deleting_what_is_not_there(admin):
    assert code_of(admin.delete_topics(["not-there"])["not-there"]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_defaults_for_partitions_and_replicas(python_admin, admin):
    name = unique("defaults")
    python_admin.create_topics([name])
    assert len(admin.list_topics(name, timeout=10).topics[name].partitions) == 1


def test_a_topic_can_be_used_at_once(broker, admin):
    for _ in range(5):
        name = unique("at-once")
        admin.create_topics([NewTopic(name, 4, 1)])[name].result(20)
        with Connection(broker.bootstrap) as connection:
            for partition in range(4):
                error = connection.produce(name, partition, Batch([b"x"]).encode()).error
                # Apache Kafka's reply comes a moment before the partition has its leader.
                assert error == 0 or (broker.kind, error) in {("kafka", 3), ("kafka", 6)}


def test_partitions_are_added(broker, admin, new_topic):
    topic = new_topic(1)
    fill(broker.bootstrap, topic, 5)
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(20)
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3
    fill(broker.bootstrap, topic, 2, partition=2)
    assert code_of(admin.create_partitions([NewPartitions(topic, 2)])[topic]) == KafkaError.INVALID_PARTITIONS
    assert code_of(admin.create_partitions([NewPartitions("not-there", 2)])["not-there"]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_topics_by_name_and_by_id(python_admin, new_topic):
    import uuid as uuids

    topic = new_topic(2)
    by_name = python_admin.describe_topics([topic])[0]
    by_id = python_admin.describe_topics([uuids.UUID(str(by_name["topic_id"]))])[0]
    assert by_id["name"] == topic and len(by_id["partitions"]) == 2
    fine = python_admin.describe_topic_partitions([topic])["topics"][0]
    assert fine["name"] == topic and [p["partition_index"] for p in fine["partitions"]] == [0, 1]


def test_topic_partitions_come_in_pages(python_admin, new_topic):
    topic = new_topic(5)
    seen, cursor = [], None
    for _ in range(5):
        page = python_admin.describe_topic_partitions([topic], response_partition_limit=2, cursor=cursor)
        seen += [p["partition_index"] for t in page["topics"] for p in t["partitions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [0, 1, 2, 3, 4]


def test_the_cluster_describes_itself(admin, python_admin, broker):
    described = admin.describe_cluster().result(20)
    assert len(described.nodes) == 1 and described.controller is not None and described.cluster_id
    host, port = broker.bootstrap.split(":")
    assert described.nodes[0].port == int(port)
    assert python_admin.describe_cluster()["cluster_id"] == described.cluster_id


# MARK: Settings


def settings_of(admin, topic: str):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return admin.describe_configs([resource])[resource].result(20)


def test_settings_are_described_with_defaults_and_synonyms(admin, new_topic):
    found = settings_of(admin, new_topic(retention_ms=86_400_000))
    assert found["retention.ms"].value == "86400000"
    assert not found["retention.ms"].is_default
    assert found["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    for name, value in [("cleanup.policy", "delete"), ("segment.bytes", "1073741824"), ("compression.type", "producer"), ("max.message.bytes", "1048588"), ("message.timestamp.type", "CreateTime")]:
        assert found[name].value == value
        assert found[name].is_default and not found[name].is_read_only and not found[name].is_sensitive


def test_settings_change_one_by_one_and_return_to_their_default(admin, new_topic):
    topic = new_topic(retention_ms=1000)

    def change(name, value, operation):
        entry = ConfigEntry(name, value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(20)

    change("segment.bytes", "2097152", AlterConfigOpType.SET)
    found = settings_of(admin, topic)
    assert (found["segment.bytes"].value, found["retention.ms"].value) == ("2097152", "1000")
    change("retention.ms", None, AlterConfigOpType.DELETE)
    assert settings_of(admin, topic)["retention.ms"].value == "604800000"
    try:
        change("cleanup.policy", "compact", AlterConfigOpType.APPEND)
    except KafkaException as error:
        # A broker without compaction must say so, rather than take the setting and do nothing.
        assert error.args[0].code() == KafkaError.INVALID_CONFIG
        assert settings_of(admin, topic)["cleanup.policy"].value == "delete"
        return
    assert sorted(settings_of(admin, topic)["cleanup.policy"].value.split(",")) == ["compact", "delete"]
    change("cleanup.policy", "delete", AlterConfigOpType.SUBTRACT)
    assert settings_of(admin, topic)["cleanup.policy"].value == "compact"


def test_the_old_way_of_altering_replaces_all_settings(admin, new_topic):
    topic = new_topic(retention_ms=1000)
    resource = ConfigResource(ResourceType.TOPIC, topic, set_config={"segment.bytes": "2097152"})
    admin.alter_configs([resource])[resource].result(20)
    found = settings_of(admin, topic)
    assert (found["segment.bytes"].value, found["retention.ms"].value) == ("2097152", "604800000")


@pytest.mark.parametrize(("name", "value"), [("retention.ms", "soon"), ("no.such.setting", "1"), ("segment.bytes", "-5"), ("cleanup.policy", "shred")])
def test_impossible_settings_are_refused_and_change_nothing(admin, new_topic, name, value):
    topic = new_topic(retention_ms=1000)
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    assert code_of(admin.incremental_alter_configs([resource])[resource]) == KafkaError.INVALID_CONFIG
    assert settings_of(admin, topic)["retention.ms"].value == "1000"


def test_broker_settings_can_be_read(admin, broker):
    node = str(next(iter(admin.list_topics(timeout=10).brokers)))
    resource = ConfigResource(ResourceType.BROKER, node)
    found = admin.describe_configs([resource])[resource].result(20)
    assert found["num.partitions"].value == "1"


def test_settings_of_a_topic_that_is_not_there(admin):
    resource = ConfigResource(ResourceType.TOPIC, "not-there")
    assert code_of(admin.describe_configs([resource])[resource]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_changed_limit_on_batch_size_holds_at_once(broker, admin, new_topic):
    topic = new_topic()
    entry = ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(20)
    with Connection(broker.bootstrap) as connection:
        wait_until(lambda: connection.produce(topic, 0, Batch([b"x" * 2000]).encode()).error == 10, 5)


# MARK: Records and offsets


def test_records_are_deleted_up_to_an_offset(broker, admin, new_topic):
    topic = new_topic()
    fill(broker.bootstrap, topic, 10)
    partition = TopicPartition(topic, 0, 4)
    assert admin.delete_records([partition])[partition].result(20).low_watermark == 4
    with Connection(broker.bootstrap) as connection:
        assert connection.list_offset(topic, 0, -2)[2] == 4
        assert connection.list_offset(topic, 0, -1)[2] == 10
        assert connection.fetch(topic, 0, 3)[0] == 1, "OFFSET_OUT_OF_RANGE below the new start"
        assert connection.fetch(topic, 0, 4)[0] == 0
    everything = TopicPartition(topic, 0, -1)
    assert admin.delete_records([everything])[everything].result(20).low_watermark == 10
    too_far = TopicPartition(topic, 0, 99)
    assert code_of(admin.delete_records([too_far])[too_far]) == KafkaError.OFFSET_OUT_OF_RANGE
    fill(broker.bootstrap, topic, 1)
    with Connection(broker.bootstrap) as connection:
        assert connection.list_offset(topic, 0, -1)[2] == 11


def test_offsets_by_time(broker, admin, python_admin, new_topic):
    from kafka import TopicPartition as PythonTopicPartition

    topic = new_topic()
    base = int(time.time() * 1000) - 100_000
    with Connection(broker.bootstrap) as connection:
        for n in range(5):
            assert connection.produce(topic, 0, Batch([b"x"], timestamp=base + 1000 * n).encode()).error == 0
        for asked, (timestamp, offset) in {0: (base, 0), base: (base, 0), base + 1: (base + 1000, 1), base + 4000: (base + 4000, 4), base + 4001: (-1, -1)}.items():
            assert connection.list_offset(topic, 0, asked) == (0, timestamp, offset)
        assert connection.list_offset(topic, 0, -2) == (0, -1, 0)
        assert connection.list_offset(topic, 0, -1) == (0, -1, 5)
    partition = TopicPartition(topic, 0)
    for spec, offset in [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 5), (OffsetSpec.for_timestamp(base + 1500), 2), (OffsetSpec.max_timestamp(), 4)]:
        assert admin.list_offsets({partition: spec})[partition].result(20).offset == offset
    tp = PythonTopicPartition(topic, 0)
    assert python_admin.list_partition_offsets({tp: base + 2500})[tp].offset == 3
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "times"})
    assert consumer.offsets_for_times([TopicPartition(topic, 0, base + 2999)], timeout=10)[0].offset == 3
    consumer.close()


def test_offsets_by_time_inside_a_batch(broker, new_topic):
    """The records of one batch have times of their own: the answer is the record, not the batch."""
    topic = new_topic()
    base = int(time.time() * 1000) - 100_000
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 200, "compression.type": "lz4"})
    for n in range(10):
        producer.produce(topic, b"%d" % n, partition=0, timestamp=base + 10 * n)
    assert producer.flush(20) == 0
    with Connection(broker.bootstrap) as connection:
        assert connection.list_offset(topic, 0, base + 35) == (0, base + 40, 4)
        assert connection.list_offset(topic, 0, base + 90) == (0, base + 90, 9)


def test_log_folders_say_how_much_there_is(broker, python_admin, new_topic):
    topic = new_topic(2)
    fill(broker.bootstrap, topic, 100)
    found = {p["partition_index"]: p["partition_size"] for node in python_admin.describe_log_dirs({topic: [0, 1]}) for folder in node["log_dirs"] for t in folder["topics"] if t["name"] == topic for p in t["partitions"]}
    assert set(found) == {0, 1}
    assert found[0] > 100 and found[1] == 0


# MARK: Groups


def test_groups_are_listed_described_and_deleted(broker, admin, python_admin, new_topic):
    topic = new_topic(2)
    fill(broker.bootstrap, topic, 5)
    group = Group(broker.bootstrap, unique("described"), topic, 2)
    try:
        member = group.join("confluent-kafka", "--instance", "inst-1")
        group.wait_shared(member)
        wait_until(lambda: member.committed().get(0) == 5, 20)
        listed = {g.group_id: g for g in admin.list_consumer_groups().result(20).valid}
        assert listed[group.name].state == ConsumerGroupState.STABLE and not listed[group.name].is_simple_consumer_group
        described = admin.describe_consumer_groups([group.name])[group.name].result(20)
        assert described.state == ConsumerGroupState.STABLE
        assert described.partition_assignor == "range"
        assert [m.group_instance_id for m in described.members] == ["inst-1"]
        assert sorted((p.topic, p.partition) for p in described.members[0].assignment.topic_partitions) == [(topic, 0), (topic, 1)]
        assert described.members[0].client_id and described.members[0].host
        other = python_admin.describe_groups([group.name])[group.name]
        assert other["group_state"] == "Stable" and other["protocol_type"] == "consumer" and other["protocol_data"] == "range"
        assert any(g["group_id"] == group.name for g in python_admin.list_groups())
        assert code_of(admin.delete_consumer_groups([group.name])[group.name]) == KafkaError.NON_EMPTY_GROUP
        member.leave()
        # A static member does not leave the group with its process.
        from kafka.admin import MemberToRemove

        python_admin.remove_group_members(group.name, [MemberToRemove(group_instance_id="inst-1")])
        wait_until(lambda: admin.describe_consumer_groups([group.name])[group.name].result(20).state == ConsumerGroupState.EMPTY, 10)
        admin.delete_consumer_groups([group.name])[group.name].result(20)
        assert group.name not in {g.group_id for g in admin.list_consumer_groups().result(20).valid}
        assert code_of(admin.delete_consumer_groups([group.name])[group.name]) == KafkaError.GROUP_ID_NOT_FOUND
    finally:
        group.close()


def test_groups_are_listed_by_state(admin, broker, new_topic):
    name = unique("empty")
    topic = new_topic()
    commit(broker.bootstrap, name, topic, {0: 3})
    listed = {g.group_id: g.state for g in admin.list_consumer_groups(states={ConsumerGroupState.EMPTY}).result(20).valid}
    assert listed[name] == ConsumerGroupState.EMPTY
    assert name not in {g.group_id for g in admin.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(20).valid}


def commit(bootstrap: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()], asynchronous=False)
    consumer.close()


def test_offsets_of_a_group_are_listed_altered_and_deleted(broker, admin, python_admin, new_topic):
    from kafka import TopicPartition as PythonTopicPartition

    topic, name = new_topic(2), unique("altered")
    fill(broker.bootstrap, topic, 10)
    commit(broker.bootstrap, name, topic, {0: 3, 1: 0})

    def listed() -> dict[int, int]:
        found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)])[name].result(20)
        return {p.partition: p.offset for p in found.topic_partitions}

    assert listed() == {0: 3, 1: 0}
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 0, 8)])])[name].result(20)
    assert listed() == {0: 8, 1: 0}
    offsets = python_admin.list_group_offsets({name: None})[name]
    assert offsets[PythonTopicPartition(topic, 0)].offset == 8
    python_admin.delete_group_offsets(name, [PythonTopicPartition(topic, 1)])
    assert listed() == {0: 8}


def test_the_offsets_topic_is_internal(python_admin, broker, new_topic):
    commit(broker.bootstrap, unique("internal"), new_topic(), {0: 1})
    found = python_admin.describe_topics(["__consumer_offsets"])[0]
    assert found["is_internal"] and found["error_code"] == 0
    with Connection(broker.bootstrap) as connection:
        error, high_watermark, stored = connection.fetch("__consumer_offsets", 0, 0)
        assert error == 0


# MARK: Topics made by use


def test_producing_makes_a_topic_where_that_is_allowed(broker):
    name = unique("by-use")
    fill(broker.bootstrap, name, 3, partition=0)
    with Connection(broker.bootstrap) as connection:
        assert connection.list_offset(name, 0, -1)[2] == 3


@pytest.mark.control
def test_topics_are_not_made_where_that_is_forbidden(new_broker):
    node = new_broker(auto_create_topics_enable="false")
    with Connection(node.bootstrap) as connection:
        assert connection.metadata(["not-made"]).topics["not-made"][0] == 3
        assert connection.produce("not-made", 0, Batch([b"x"]).encode()).error == 3


@pytest.mark.control
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_topics_settings_and_records_survive_a_restart(new_broker, end):
    from conftest import create_topic

    node = new_broker()
    create_topic(node.bootstrap, "kept", 3, retention_ms=123456)
    create_topic(node.bootstrap, "dropped")
    fill(node.bootstrap, "kept", 10, partition=1)
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    cluster = admin.describe_cluster().result(20).cluster_id
    admin.delete_topics(["dropped"])["dropped"].result(20)
    cut = TopicPartition("kept", 1, 4)
    admin.delete_records([cut])[cut].result(20)
    node.stop() if end == "stop" else node.kill()
    node.start()
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    assert "dropped" not in names_of_topics(admin)
    assert len(admin.list_topics(timeout=10).topics["kept"].partitions) == 3
    assert settings_of(admin, "kept")["retention.ms"].value == "123456"
    assert admin.describe_cluster().result(20).cluster_id == cluster
    with Connection(node.bootstrap) as connection:
        assert connection.list_offset("kept", 1, -1)[2] == 10
        # Apache Kafka writes the start of the log down once a minute: after a kill it may be the old one.
        start = connection.list_offset("kept", 1, -2)[2]
        assert start == 4 or (end, node.kind, start) == ("kill", "kafka", 0)
