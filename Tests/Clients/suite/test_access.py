"""Users, ACLs and quotas by the admin clients of confluent-kafka and kafka-python, by our own commands, and by Kafka's tools."""

import os
import re
import subprocess

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from harness.clients.group import wait_until

# A client that is nobody is a super user of Apache Kafka's, if it says so; here he never is, but may what no ACL is on.
AUTHORIZERS = {
    "millrace": {"authorizer_enable": "true", "allow_everyone_if_no_acl_found": "true"},
    "kafka": {"authorizer_class_name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super_users": "User:ANONYMOUS"},
}

ANY = (ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)


@pytest.fixture
def node(new_broker, pytestconfig):
    return new_broker(**AUTHORIZERS[pytestconfig.getoption("--broker")])


@pytest.fixture
def admin(node):
    return AdminClient({"bootstrap.servers": node.bootstrap})


def acl(topic, principal="User:alice", pattern=ResourcePatternType.LITERAL, operation=AclOperation.READ, permission=AclPermissionType.ALLOW, host="*"):
    return AclBinding(ResourceType.TOPIC, topic, pattern, principal, host, operation, permission)


def create(admin, *acls) -> None:
    for future in admin.create_acls(list(acls)).values():
        future.result(20)


def found(admin, **fields) -> list[AclBinding]:
    names = ["restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type"]
    return admin.describe_acls(AclBindingFilter(*(fields.get(name, any_) for name, any_ in zip(names, ANY)))).result(20)


def code_of(future) -> int:
    with pytest.raises(KafkaException) as caught:
        future.result(20)
    return caught.value.args[0].code()


# MARK: ACLs


def test_acls_by_librdkafka(node, admin):
    all_acls = [acl("orders"), acl("ord", "User:bob", ResourcePatternType.PREFIXED), acl("*", operation=AclOperation.WRITE, permission=AclPermissionType.DENY, host="10.0.0.1")]
    create(admin, *all_acls)
    create(admin, all_acls[0])  # there already: no failure
    # Apache Kafka's reply may come a moment before its own broker shows the change.
    wait_until(lambda: sorted(map(repr, found(admin))) == sorted(map(repr, all_acls)), 10)
    assert found(admin, name="orders", restype=ResourceType.TOPIC) == [all_acls[0]]
    matching = found(admin, name="orders", restype=ResourceType.TOPIC, resource_pattern_type=ResourcePatternType.MATCH)
    assert sorted(map(repr, matching)) == sorted(map(repr, all_acls))
    assert found(admin, principal="User:bob") == [all_acls[1]]
    assert found(admin, permission_type=AclPermissionType.DENY) == [all_acls[2]]
    assert found(admin, host="10.0.0.2") == []
    filters = [AclBindingFilter(ResourceType.TOPIC, "ord", ResourcePatternType.PREFIXED, None, None, AclOperation.ANY, AclPermissionType.ANY), AclBindingFilter(ResourceType.GROUP, "g", ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)]
    deleted = admin.delete_acls(filters)
    assert deleted[filters[0]].result(20) == [all_acls[1]] and deleted[filters[1]].result(20) == []
    wait_until(lambda: len(found(admin)) == 2, 10)


def test_bad_acls_stop_no_others(admin):
    bad = AclBinding(ResourceType.BROKER, "somewhere", ResourcePatternType.LITERAL, "User:a", "*", AclOperation.ALTER, AclPermissionType.ALLOW)
    good = acl("fine")
    results = admin.create_acls([bad, good])
    assert code_of(results[bad]) == KafkaError.INVALID_REQUEST
    results[good].result(20)
    wait_until(lambda: found(admin) == [good], 10)


def test_acls_by_kafka_python(node):
    from kafka import KafkaAdminClient
    from kafka.admin import ACL, ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourcePatternFilter
    from kafka.admin import ResourceType as Type

    client = KafkaAdminClient(bootstrap_servers=node.bootstrap)
    try:
        one = ACL("User:alice", "*", ACLOperation.READ, ACLPermissionType.ALLOW, ResourcePattern(Type.TOPIC, "orders"))
        two = ACL("User:bob", "*", ACLOperation.DESCRIBE, ACLPermissionType.DENY, ResourcePattern(Type.GROUP, "g", ACLResourcePatternType.PREFIXED))
        made = client.create_acls([one, two])
        assert made["succeeded"] == [one, two] and made["failed"] == []
        every = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(Type.ANY, None, ACLResourcePatternType.ANY))
        wait_until(lambda: {str(a) for a in client.describe_acls(every)[0]} == {str(one), str(two)}, 10)
        bobs = ACLFilter("User:bob", None, ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(Type.ANY, None, ACLResourcePatternType.ANY))
        ((_, deleted, error),) = client.delete_acls([bobs])
        assert [str(a) for a in deleted] == [str(two)] and error.errno == 0
    finally:
        client.close()


def test_without_an_authorizer_there_are_no_acls(new_broker):
    from kafka import KafkaAdminClient
    from kafka.admin import ACLFilter, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePatternFilter
    from kafka.admin import ResourceType as Type
    from kafka.errors import SecurityDisabledError

    node = new_broker()
    client = KafkaAdminClient(bootstrap_servers=node.bootstrap)
    # librdkafka takes the error for an empty list, of Apache Kafka as well.
    with pytest.raises(SecurityDisabledError):
        client.describe_acls(ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(Type.ANY, None, ACLResourcePatternType.ANY)))
    client.close()
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    assert code_of(next(iter(admin.create_acls([acl("t")]).values()))) == KafkaError.SECURITY_DISABLED
    assert code_of(next(iter(admin.delete_acls([AclBindingFilter(*ANY)]).values()))) == KafkaError.SECURITY_DISABLED


# MARK: Users


def upsertion(user, mechanism=ScramMechanism.SCRAM_SHA_256, iterations=4096):
    return UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, iterations), b"pencil")


def mechanisms(admin, user) -> list[tuple[ScramMechanism, int]]:
    infos = admin.describe_user_scram_credentials([user])[user].result(20).scram_credential_infos
    return sorted(((info.mechanism, info.iterations) for info in infos), key=lambda one: one[1])


def test_users_by_librdkafka(admin):
    for future in admin.alter_user_scram_credentials([upsertion("alice"), upsertion("bob", ScramMechanism.SCRAM_SHA_512, 8192)]).values():
        future.result(20)
    admin.alter_user_scram_credentials([upsertion("alice", ScramMechanism.SCRAM_SHA_512, 5000)])["alice"].result(20)
    wait_until(lambda: mechanisms(admin, "alice") == [(ScramMechanism.SCRAM_SHA_256, 4096), (ScramMechanism.SCRAM_SHA_512, 5000)], 10)
    assert set(admin.describe_user_scram_credentials().result(20)) == {"alice", "bob"}
    assert code_of(admin.describe_user_scram_credentials(["eve"])["eve"]) == KafkaError.RESOURCE_NOT_FOUND
    admin.alter_user_scram_credentials([UserScramCredentialDeletion("bob", ScramMechanism.SCRAM_SHA_512)])["bob"].result(20)
    wait_until(lambda: set(admin.describe_user_scram_credentials().result(20)) == {"alice"}, 10)


def test_refusals_of_users(admin):
    for alterations, code in [
        ([UserScramCredentialDeletion("eve", ScramMechanism.SCRAM_SHA_256)], KafkaError.RESOURCE_NOT_FOUND),
        ([upsertion("eve", iterations=4095)], KafkaError.UNACCEPTABLE_CREDENTIAL),
        ([upsertion("eve", iterations=16385)], KafkaError.UNACCEPTABLE_CREDENTIAL),
        ([upsertion("eve"), upsertion("eve", ScramMechanism.SCRAM_SHA_512)], KafkaError.DUPLICATE_RESOURCE),
    ]:
        assert code_of(admin.alter_user_scram_credentials(alterations)["eve"]) == code
    assert admin.describe_user_scram_credentials().result(20) == {}


def test_users_by_kafka_python(node):
    from kafka import KafkaAdminClient
    from kafka.admin import UserScramCredentialUpsertion as Upsertion

    client = KafkaAdminClient(bootstrap_servers=node.bootstrap)
    try:
        assert client.alter_user_scram_credentials([Upsertion("carol", "SCRAM-SHA-256", "pencil")]) == {"carol": None}
        wait_until(lambda: "carol" in client.describe_user_scram_credentials(), 10)
        described = client.describe_user_scram_credentials(["carol", "eve"])
        assert described["carol"]["error"] is None and len(described["carol"]["credential_infos"]) == 1
        assert described["eve"]["error"]
    finally:
        client.close()


@pytest.mark.control
def test_all_of_it_survives_a_kill(node, admin):
    if node.kind != "millrace":
        pytest.skip("what Apache Kafka survives is not under test")
    create(admin, acl("orders"))
    admin.alter_user_scram_credentials([upsertion("alice")])["alice"].result(20)
    node.kill()
    node.start()
    assert found(admin) == [acl("orders")] and mechanisms(admin, "alice") == [(ScramMechanism.SCRAM_SHA_256, 4096)]


# MARK: Our commands, and Kafka's tools


def run(*command, text: str = "") -> str:
    ran = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def test_our_commands_and_librdkafka_see_the_same(node, admin, pytestconfig):
    def millrace(*words, text=""):
        return run(pytestconfig.getoption("--binary"), *words, "-b", node.bootstrap, text=text)

    millrace("user", "create", "dave", "--mechanism", "SCRAM-SHA-512", "--password-file", "-", text="pencil\n")
    wait_until(lambda: "dave" in admin.describe_user_scram_credentials().result(20), 10)
    assert mechanisms(admin, "dave") == [(ScramMechanism.SCRAM_SHA_512, 4096)]
    millrace("acl", "add", "--principal", "User:dave", "--operation", "read", "--topic", "or", "--prefixed")
    wait_until(lambda: found(admin, principal="User:dave") == [acl("or", "User:dave", ResourcePatternType.PREFIXED)], 10)
    create(admin, acl("orders"))
    wait_until(lambda: "User:alice" in millrace("acl", "list", "--topic", "orders", "--pattern", "match"), 10)
    millrace("quota", "set", "--user", "dave", "--limit", "producer_byte_rate=1MiB")
    wait_until(lambda: "1048576" in millrace("quota", "list", "--user", "dave"), 10)
    millrace("quota", "delete", "--user", "dave")
    millrace("acl", "delete", "--all")
    wait_until(lambda: found(admin) == [], 10)
    millrace("user", "delete", "dave")
    wait_until(lambda: admin.describe_user_scram_credentials().result(20) == {}, 10)


@pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no tools of Apache Kafka")
def test_kafkas_own_tools(node, admin):
    def tool(name, *words):
        return run(os.environ["MILLRACE_KAFKA"], name, "--bootstrap-server", node.bootstrap, *words)

    tool("acls", "--add", "--allow-principal", "User:alice", "--producer", "--topic", "orders", "--resource-pattern-type", "prefixed")
    wait_until(lambda: len(found(admin, principal="User:alice")) == 3, 10)
    listed = tool("acls", "--list", "--topic", "orders-new", "--resource-pattern-type", "match")
    assert "patternType=PREFIXED" in listed and "operation=WRITE, permissionType=ALLOW" in listed
    tool("acls", "--remove", "--force", "--allow-principal", "User:alice", "--producer", "--topic", "orders", "--resource-pattern-type", "prefixed")
    wait_until(lambda: found(admin) == [], 10)

    user = ["--entity-type", "users", "--entity-name", "alice"]
    tool("configs", "--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=pencil]", *user)
    tool("configs", "--alter", "--add-config", "producer_byte_rate=1024,request_percentage=50", *user)
    wait_until(lambda: "SCRAM-SHA-256=iterations=8192" in tool("configs", "--describe", *user), 10)
    described = tool("configs", "--describe", *user)
    assert "producer_byte_rate=1024.0" in described and "request_percentage=50.0" in described and "pencil" not in described
    tool("configs", "--alter", "--delete-config", "SCRAM-SHA-256", *user)
    tool("configs", "--alter", "--delete-config", "producer_byte_rate,request_percentage", *user)
    wait_until(lambda: not {"SCRAM", "rate", "percentage"} & set(re.findall("SCRAM|rate|percentage", tool("configs", "--describe", *user))), 10)
    tool("configs", "--alter", "--add-config", "connection_creation_rate=7", "--entity-type", "ips", "--entity-default")
    wait_until(lambda: "connection_creation_rate=7.0" in tool("configs", "--describe", "--entity-type", "ips"), 10)
    tool("configs", "--alter", "--add-config", "consumer_byte_rate=9", "--entity-type", "users", "--entity-default", "--entity-type", "clients", "--entity-name", "app")
    wait_until(lambda: "consumer_byte_rate=9.0" in tool("configs", "--describe", "--entity-type", "users", "--entity-default", "--entity-type", "clients"), 10)
