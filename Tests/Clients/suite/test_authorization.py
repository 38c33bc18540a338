"""Which errors a user meets who may little, API by API: the same as of Apache Kafka with the same ACLs."""

from __future__ import annotations

import json
import pathlib

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.protocol import admin, consumer, metadata, producer

from conftest import program
from harness.broker import Broker, free_port
from harness.clients.group import wait_until
from harness.sasl import Session

# Where Millrace tells more: Apache Kafka leaves the names of the users out.
DIFFERENT = {"DescribeUserScramCredentials": [" error_code=31", "/a error_code=31", "/b error_code=31"]}
EXPECTED = pathlib.Path(__file__).parent / "authorization.json"
PASSWORD = "pencil"


class GuardedBroker(Broker):
    """Beside the plain listener, where everybody may do what no ACL is on, one where users show who they are."""

    def __init__(self, kind: str, program: str):
        super().__init__(kind, program)
        self.sasl_port = free_port()
        self.settings.update({"super.users": "User:admin", "allow.everyone.if.no.acl.found": "true", "auto.create.topics.enable": "false"})
        if kind == "millrace":
            self.settings["authorizer.enable"] = "true"
            return
        # By that name its own broker speaks to its controller.
        self.settings["super.users"] = "User:admin;User:ANONYMOUS"
        plain, sasl = f"PLAINTEXT://127.0.0.1:{self.kafka_port}", f"SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}"
        self.settings.update({
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "listeners": f"{plain},{sasl},CONTROLLER://127.0.0.1:{self.kafka_port + 1}", "advertised.listeners": f"{plain},{sasl}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        })

    def addresses(self) -> list[str]:
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}", "--http", f"127.0.0.1:{self.http_port}"]

    @property
    def guarded(self) -> str:
        return f"127.0.0.1:{self.sasl_port}"


@pytest.fixture(scope="module")
def node(pytestconfig):
    broker = GuardedBroker(pytestconfig.getoption("--broker"), program(pytestconfig))
    broker.start()
    prepare(broker)
    yield broker
    broker.remove()


def prepare(broker) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in client.create_topics([NewTopic(name, 1, 1) for name in ("seen", "hidden")]).values():
        future.result(20)
    for user in ("admin", "alice"):
        client.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), PASSWORD.encode())])[user].result(20)
    # The first ACL on all of a type locks everybody out who is not named; the cluster comes last.
    every = [(ResourceType.TOPIC, "*"), (ResourceType.GROUP, "*"), (ResourceType.TRANSACTIONAL_ID, "*"), (ResourceType.BROKER, "kafka-cluster")]
    acls = [AclBinding(kind, name, ResourcePatternType.LITERAL, "User:admin", "*", AclOperation.ALL, AclPermissionType.ALLOW) for kind, name in every]
    allowed = [(ResourceType.TOPIC, "seen", AclOperation.DESCRIBE), (ResourceType.GROUP, "mine", AclOperation.READ), (ResourceType.TOPIC, "made", AclOperation.CREATE)]
    acls = [AclBinding(kind, name, ResourcePatternType.LITERAL, "User:alice", "*", operation, AclPermissionType.ALLOW) for kind, name, operation in allowed] + acls
    for future in client.create_acls(acls).values():
        future.result(20)
    # Apache Kafka's broker may be a moment behind its controller.
    with_admin = AdminClient({"bootstrap.servers": broker.guarded, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "admin", "sasl.password": PASSWORD})
    from confluent_kafka.admin import AclBindingFilter

    every_acl = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    wait_until(lambda: len(with_admin.describe_acls(every_acl).result(20)) == len(acls), 20)
    with Session(broker.guarded, "admin", PASSWORD) as session:
        wait_until(lambda: session.call(consumer.HeartbeatRequest(group_id="mine", generation_id=1, member_id="m"), 2).error_code == 25
                   or session.call(metadata.FindCoordinatorRequest(key="mine", key_type=0), 2) is None, 30)


TOPICS = ("seen", "hidden", "missing")


def requests():
    """Name, request, version."""
    T = producer.ProduceRequest.TopicProduceData
    yield "Produce", producer.ProduceRequest(transactional_id=None, acks=-1, timeout_ms=5000, topic_data=[T(name=name, partition_data=[T.PartitionProduceData(index=0, records=b"")]) for name in ("hidden", "missing")]), 7
    F = consumer.FetchRequest
    yield "Fetch", F(replica_id=-1, max_wait_ms=0, min_bytes=1, max_bytes=1000, isolation_level=0, session_id=0, session_epoch=-1, rack_id="",
                     topics=[F.FetchTopic(topic=name, partitions=[F.FetchTopic.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)]) for name in TOPICS], forgotten_topics_data=[]), 11
    L = consumer.ListOffsetsRequest
    yield "ListOffsets", L(replica_id=-1, isolation_level=0, topics=[L.ListOffsetsTopic(name=name, partitions=[L.ListOffsetsTopic.ListOffsetsPartition(partition_index=0, timestamp=-1)]) for name in TOPICS]), 5
    M = metadata.MetadataRequest
    yield "Metadata, named", M(topics=[M.MetadataRequestTopic(name=name) for name in TOPICS], allow_auto_topic_creation=False, include_topic_authorized_operations=True, include_cluster_authorized_operations=True), 8
    yield "Metadata, all", M(topics=None, allow_auto_topic_creation=False), 8
    for group in ("mine", "theirs"):
        O = consumer.OffsetCommitRequest
        yield f"OffsetCommit, {group}", O(group_id=group, generation_id_or_member_epoch=-1, member_id="", group_instance_id=None, topics=[O.OffsetCommitRequestTopic(name=name, partitions=[O.OffsetCommitRequestTopic.OffsetCommitRequestPartition(partition_index=0, committed_offset=1)]) for name in TOPICS]), 7
        G = consumer.OffsetFetchRequest
        yield f"OffsetFetch 5, {group}", G(group_id=group, topics=[G.OffsetFetchRequestTopic(name=name, partition_indexes=[0]) for name in TOPICS]), 5
        yield f"OffsetFetch 1, {group}", G(group_id=group, topics=[G.OffsetFetchRequestTopic(name=name, partition_indexes=[0]) for name in TOPICS]), 1
        yield f"OffsetFetch 8, {group}", G(groups=[G.OffsetFetchRequestGroup(group_id=group, topics=[G.OffsetFetchRequestGroup.OffsetFetchRequestTopics(name=name, partition_indexes=[0]) for name in TOPICS])]), 8
        yield f"FindCoordinator, {group}", metadata.FindCoordinatorRequest(key=group, key_type=0), 2
        yield f"Heartbeat, {group}", consumer.HeartbeatRequest(group_id=group, generation_id=1, member_id="m"), 2
        yield f"LeaveGroup, {group}", consumer.LeaveGroupRequest(group_id=group, member_id="m"), 2
        yield f"SyncGroup, {group}", consumer.SyncGroupRequest(group_id=group, generation_id=1, member_id="m", group_instance_id=None, assignments=[]), 3
        D = consumer.OffsetDeleteRequest
        yield f"OffsetDelete, {group}", D(group_id=group, topics=[D.OffsetDeleteRequestTopic(name=name, partitions=[D.OffsetDeleteRequestTopic.OffsetDeleteRequestPartition(partition_index=0)]) for name in TOPICS]), 0
    yield "JoinGroup, theirs", consumer.JoinGroupRequest(group_id="theirs", session_timeout_ms=10000, rebalance_timeout_ms=10000, member_id="", group_instance_id=None, protocol_type="consumer", protocols=[]), 5
    yield "FindCoordinator, transaction", metadata.FindCoordinatorRequest(key="t", key_type=1), 2
    yield "DescribeGroups", admin.DescribeGroupsRequest(groups=["mine", "theirs"], include_authorized_operations=True), 4
    yield "ListGroups", admin.ListGroupsRequest(), 2
    yield "DeleteGroups", admin.DeleteGroupsRequest(groups_names=["mine", "theirs"]), 1
    C = admin.CreateTopicsRequest
    yield "CreateTopics", C(topics=[C.CreatableTopic(name=name, num_partitions=1, replication_factor=1, assignments=[], configs=[]) for name in ("made", "unmade", "hidden")], timeout_ms=5000, validate_only=True), 5
    yield "DeleteTopics", admin.DeleteTopicsRequest(topic_names=list(TOPICS), timeout_ms=5000), 4
    R = admin.DeleteRecordsRequest
    yield "DeleteRecords", R(topics=[R.DeleteRecordsTopic(name=name, partitions=[R.DeleteRecordsTopic.DeleteRecordsPartition(partition_index=0, offset=0)]) for name in TOPICS], timeout_ms=5000), 1
    yield "InitProducerId", producer.InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000), 1
    yield "InitProducerId, transaction", producer.InitProducerIdRequest(transactional_id="t", transaction_timeout_ms=1000), 1
    E = consumer.OffsetForLeaderEpochRequest
    yield "OffsetForLeaderEpoch", E(replica_id=-2, topics=[E.OffsetForLeaderTopic(topic=name, partitions=[E.OffsetForLeaderTopic.OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=0)]) for name in TOPICS]), 3
    yield "DescribeAcls", admin.DescribeAclsRequest(resource_type_filter=1, resource_name_filter=None, pattern_type_filter=1, principal_filter=None, host_filter=None, operation=1, permission_type=1), 1
    A = admin.CreateAclsRequest
    yield "CreateAcls", A(creations=[A.AclCreation(resource_type=2, resource_name=name, resource_pattern_type=3, principal="User:alice", host="*", operation=3, permission_type=3) for name in ("a", "b")]), 1
    X = admin.DeleteAclsRequest
    yield "DeleteAcls", X(filters=[X.DeleteAclsFilter(resource_type_filter=1, resource_name_filter=None, pattern_type_filter=1, principal_filter=None, host_filter=None, operation=1, permission_type=1)]), 1
    resources = [(2, "seen"), (2, "hidden"), (2, "missing"), (4, "1")]
    I = admin.DescribeConfigsRequest
    yield "DescribeConfigs", I(resources=[I.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=["retention.ms"]) for kind, name in resources]), 1
    J = admin.AlterConfigsRequest
    yield "AlterConfigs", J(resources=[J.AlterConfigsResource(resource_type=kind, resource_name=name, configs=[]) for kind, name in resources], validate_only=True), 1
    K = admin.IncrementalAlterConfigsRequest
    yield "IncrementalAlterConfigs", K(resources=[K.AlterConfigsResource(resource_type=kind, resource_name=name, configs=[]) for kind, name in resources], validate_only=True), 0
    yield "DescribeLogDirs", admin.DescribeLogDirsRequest(topics=None), 3
    N = admin.CreatePartitionsRequest
    yield "CreatePartitions", N(topics=[N.CreatePartitionsTopic(name=name, count=3, assignments=None) for name in TOPICS], timeout_ms=5000, validate_only=True), 1
    yield "DescribeClientQuotas", admin.DescribeClientQuotasRequest(components=[], strict=False), 0
    Q = admin.AlterClientQuotasRequest
    yield "AlterClientQuotas", Q(entries=[Q.EntryData(entity=[Q.EntryData.EntityData(entity_type="user", entity_name=name)], ops=[Q.EntryData.OpData(key="producer_byte_rate", value=1.0, remove=False)]) for name in ("a", "b")], validate_only=True), 0
    # With all users (null), Apache Kafka 4.3.1 does not answer who may not ask.
    V = admin.DescribeUserScramCredentialsRequest
    yield "DescribeUserScramCredentials", V(users=[V.UserName(name=name) for name in ("a", "b")]), 0
    S = admin.AlterUserScramCredentialsRequest
    yield "AlterUserScramCredentials", S(deletions=[S.ScramCredentialDeletion(name=name, mechanism=1) for name in ("a", "b")], upsertions=[]), 0
    yield "DescribeCluster", admin.DescribeClusterRequest(include_cluster_authorized_operations=True), 0
    P = admin.DescribeTopicPartitionsRequest
    yield "DescribeTopicPartitions, named", P(topics=[P.TopicRequest(name=name) for name in TOPICS], response_partition_limit=100, cursor=None), 0
    yield "DescribeTopicPartitions, all", P(topics=[], response_partition_limit=100, cursor=None), 0


NAMES = ("name", "topic", "group_id", "resource_name", "user", "entity_name", "partition_index", "index", "partition")
TELLING = ("error_code", "topic_config_error_code", "committed_offset", "num_partitions", "authorized_operations", "topic_authorized_operations", "cluster_authorized_operations", "node_id", "coordinator_id")


def summary(value, path: str = "") -> list[str]:
    """What of a reply is told of permissions: where it stands, and the value."""
    if isinstance(value, list):
        return sorted(line for item in value for line in summary(item, path))
    if not isinstance(value, dict):
        return []
    own = "/".join(str(value[name]) for name in NAMES if isinstance(value.get(name), (str, int)))
    path = f"{path}/{own}" if own else path
    lines = [f"{path} {name}={value[name]}" for name in TELLING if name in value and name != "node_id"]
    for key, item in value.items():
        if key not in ("brokers", "api_keys"):
            lines += summary(item, path)
    return sorted(lines)


def found(node) -> dict[str, list[str]]:
    told = {}
    with Session(node.guarded, "alice", PASSWORD) as session:
        for name, request, version in requests():
            try:
                told[name] = summary(session.call(request, version).to_dict())
            except Exception as error:
                raise AssertionError(f"{name}: {error!r}") from error
    return told


def test_refusals_are_those_of_apache_kafka(node, pytestconfig):
    told = found(node)
    if pytestconfig.getoption("--broker") == "kafka" and not EXPECTED.exists():
        EXPECTED.write_text(json.dumps(told, indent=1) + "\n")
    expected = json.loads(EXPECTED.read_text()) | (DIFFERENT if node.kind == "millrace" else {})
    different = {name: (told[name], expected[name]) for name in expected if told[name] != expected[name]}
    assert different == {}
    assert set(told) == set(expected)
