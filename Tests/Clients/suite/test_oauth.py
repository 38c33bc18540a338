"""SASL OAUTHBEARER by the clients as their users use them: right, wrong and expired tokens, keys that change, sessions that are renewed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import threading
import time
import urllib.request

import pytest

from harness.broker import Broker, BrokerFailure, free_port
from harness.certificates import Certificates
from harness.clients import through
from harness.issuer import Issuer, encode

pytestmark = pytest.mark.control

VALUES = [b"%d" % n for n in range(100)]
ALGORITHMS = ["RS256", "ES256", "EdDSA"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    found = Certificates(tmp_path_factory.mktemp("certificates"))
    found.sign("server")
    return found


@pytest.fixture
def issuer(tmp_path):
    made = Issuer(tmp_path)
    made.key("first")
    yield made
    made.stop()


class TokenBroker(Broker):
    """Beside the plain listener one of SASL_PLAINTEXT and one of SASL_SSL, both with OAUTHBEARER."""

    def __init__(self, program: str, certificates: Certificates, issuer: Issuer, settings: dict[str, str]):
        super().__init__("millrace", program)
        self.certificates = certificates
        self.ports = {name: free_port() for name in ("SASL_PLAINTEXT", "SASL_SSL")}
        self.settings.update({"ssl.keystore.location": certificates.path("server.both.pem"), "sasl.enabled.mechanisms": "OAUTHBEARER",
                              "sasl.oauthbearer.expected.issuer": issuer.name, "sasl.oauthbearer.expected.audience": "orders,payments",
                              "sasl.oauthbearer.jwks.endpoint.url": f"{issuer.name}/keys", "sasl.oauthbearer.clock.skew.seconds": "0", "authorizer.enable": "false", **settings})
        self.settings = {key: value for key, value in self.settings.items() if value is not None}

    def addresses(self) -> list[str]:
        names = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},{names}", "--http", f"127.0.0.1:{self.http_port}"]

    def secure(self, protocol: str) -> str:
        return f"127.0.0.1:{self.ports[protocol]}"

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as reply:
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in reply.read().decode().splitlines() if line and line[0] != "#"}


@pytest.fixture
def token_broker(pytestconfig, certificates, issuer):
    nodes = []

    def make(settings: dict | None = None) -> TokenBroker:
        node = TokenBroker(pytestconfig.getoption("--binary"), certificates, issuer, settings or {})
        try:
            node.start()
        except BrokerFailure:
            node.remove()
            raise
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.check_alive()
        node.remove()


# MARK: Clients. `source` gives the token that is to be shown next.


def librdkafka(node, protocol, source, **more) -> dict:
    def refresh(_):
        token = source()
        claims = token.split(".")[1]
        return token, json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]

    return {"bootstrap.servers": node.secure(protocol), "security.protocol": protocol, "sasl.mechanism": "OAUTHBEARER", "oauth_cb": refresh,
            "ssl.ca.location": node.certificates.path("authority.pem"), "log_level": 0, **more}


def through_confluent(node, protocol, source, topic):
    return through.confluent(librdkafka(node, protocol, source), topic, VALUES)


def kafka_python_options(node, protocol, source) -> dict:
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Provider(AbstractTokenProvider):
        def token(self):
            return source()

    options = {"bootstrap_servers": node.secure(protocol), "security_protocol": protocol, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Provider()}
    if protocol == "SASL_SSL":
        options["ssl_cafile"] = node.certificates.path("authority.pem")
    return options


def through_kafka_python(node, protocol, source, topic):
    return through.kafka_python(kafka_python_options(node, protocol, source), topic, VALUES)


def aiokafka_options(node, protocol, source) -> dict:
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.helpers import create_ssl_context

    class Provider(AbstractTokenProvider):
        async def token(self):
            return source()

    options = {"bootstrap_servers": node.secure(protocol), "security_protocol": protocol, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Provider()}
    if protocol == "SASL_SSL":
        options["ssl_context"] = create_ssl_context(cafile=node.certificates.path("authority.pem"))
    return options


def through_aiokafka(node, protocol, source, topic):
    return through.aiokafka(lambda: aiokafka_options(node, protocol, source), topic, VALUES)


CLIENTS = {"confluent-kafka": through_confluent, "kafka-python": through_kafka_python, "aiokafka": through_aiokafka}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_in(token_broker, issuer, client):
    node = token_broker()
    for algorithm, protocol in zip(ALGORITHMS, ["SASL_PLAINTEXT", "SASL_SSL", "SASL_SSL"]):
        key = issuer.keys[0] if algorithm == "RS256" else issuer.key(algorithm, algorithm)
        # A token of a key that was not there at the start: the keys are fetched again, which half a minute after a fetch is not done.
        if algorithm != "RS256":
            node.stop()
            node.start()
        token = issuer.token(key)
        assert CLIENTS[client](node, protocol, lambda: token, f"{client}.{algorithm}") == VALUES, (protocol, algorithm)


def refusals_of_confluent(node, protocol, source, caplog=None) -> bool:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

    seen = []
    client = AdminClient(librdkafka(node, protocol, source, error_cb=lambda error: seen.append(error.code())))
    deadline = time.monotonic() + 10
    while KafkaError._AUTHENTICATION not in seen and time.monotonic() < deadline:
        client.poll(0.1)
    return KafkaError._AUTHENTICATION in seen


def refusals_of_kafka_python(node, protocol, source, caplog) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    caplog.clear()
    # It tries again until its time is over, and tells then of that alone.
    with pytest.raises(KafkaError):
        KafkaAdminClient(bootstrap_timeout_ms=1500, **kafka_python_options(node, protocol, source)).list_topics()
    return "SaslAuthenticationFailedError" in caplog.text or "socket disconnected" in caplog.text


def refusals_of_aiokafka(node, protocol, source, caplog=None) -> bool:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    async def run():
        producer = AIOKafkaProducer(**aiokafka_options(node, protocol, source))
        try:
            with pytest.raises(KafkaError):
                await producer.start()
        finally:
            await producer.stop()
        return True

    return asyncio.run(run())


REFUSALS = {"confluent-kafka": refusals_of_confluent, "kafka-python": refusals_of_kafka_python, "aiokafka": refusals_of_aiokafka}


@pytest.mark.parametrize("client", REFUSALS)
def test_every_client_is_told_no(token_broker, issuer, tmp_path, client, caplog):
    node = token_broker()
    stranger = Issuer(tmp_path / "..")
    other = type(issuer.keys[0])(tmp_path, "other")
    other.name = "first"
    unsigned = issuer.token().split(".")
    bad = {"another's signature": issuer.token(other), "for somebody else": issuer.token(aud="others"), "of another issuer": issuer.token(iss=stranger.name),
           "not yet": issuer.token(nbf=int(time.time()) + 600), "nobody's": issuer.token(sub=None),
           "unsigned": f"{encode({'alg': 'none'})}.{unsigned[1]}."}
    if client != "confluent-kafka":  # librdkafka shows none whose time is over
        bad["expired"] = issuer.token(lifetime=-10)
    for what, token in bad.items():
        # librdkafka looks at the form itself.
        if client == "confluent-kafka" and what == "unsigned":
            continue
        assert REFUSALS[client](node, "SASL_PLAINTEXT", lambda token=token: token, caplog), what
    stranger.stop()
    checks = {name.split('"')[1]: value for name, value in node.metrics().items() if name.startswith("millrace_token_checks_total")}
    assert checks["accepted"] == 0 and checks["wrongSignature"] > 0 and checks["audience"] > 0 and checks["unknownIssuer"] > 0 and checks["notYet"] > 0


# MARK: By hand


def exchange(node, *tokens: bytes) -> list:
    """SaslHandshake, then SaslAuthenticate with each; the last reply."""
    from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

    from harness.sasl import Session

    class Bare(Session):
        def log_in(self, user, password):
            assert self.call(SaslHandshakeRequest(mechanism="OAUTHBEARER"), 1).error_code == 0

    with Bare(node.secure("SASL_PLAINTEXT"), "", "") as session:
        return [session.call(SaslAuthenticateRequest(auth_bytes=token), 2) for token in tokens]


def test_a_refusal_says_so_in_two_rounds_and_the_session_ends_with_the_token(token_broker, issuer):
    node = token_broker()
    good = b"n,,\1auth=Bearer " + issuer.token(lifetime=100).encode() + b"\1\1"
    (reply,) = exchange(node, good)
    assert reply.error_code == 0 and 90_000 < reply.session_lifetime_ms <= 100_000 and reply.auth_bytes == b""
    bad = b"n,,\1auth=Bearer " + issuer.token(aud="others").encode() + b"\1\1"
    challenge, failure = exchange(node, bad, b"\1")
    assert challenge.error_code == 0 and json.loads(challenge.auth_bytes) == {"status": "invalid_token"}
    assert failure.error_code == 58 and json.loads(failure.error_message) == {"status": "invalid_token"}


def test_a_token_is_shown_nowhere(token_broker, issuer):
    node = token_broker({"log.level": "debug"})
    for token in (issuer.token(), issuer.token(aud="others")):
        exchange(node, b"n,,\1auth=Bearer " + token.encode() + b"\1\1")
        for part in token.split("."):
            assert part not in node.log_tail(1_000_000)


def test_groups_and_scopes_are_names_for_acls(token_broker, issuer):
    from confluent_kafka import KafkaError, Producer

    node = token_broker({"authorizer.enable": "true", "allow.everyone.if.no.acl.found": "true", "sasl.oauthbearer.groups.claim.name": "groups"})

    def allow(principal: str, topic: str) -> None:
        for operation in ("write", "create"):
            ran = subprocess.run([node.program, "acl", "add", "--principal", principal, "--operation", operation, "--topic", topic, "-b", node.bootstrap],
                                 capture_output=True, text=True, timeout=30)
            assert ran.returncode == 0, ran.stderr

    # No topic is without an ACL from here on, and so nobody's but of whom they name.
    allow("User:nobody", "*")
    allow("User:alice", "hers")
    allow("Group:drivers", "drivers")
    allow("Scope:rides/write", "rides")
    token = issuer.token(groups=["drivers", "others"], scope="rides/read rides/write")
    told = {}
    producer = Producer(librdkafka(node, "SASL_PLAINTEXT", lambda: token, **{"message.timeout.ms": 10_000}))
    for topic in ("hers", "drivers", "rides", "others"):
        producer.produce(topic, b"x", on_delivery=lambda error, message, topic=topic: told.update({topic: error and error.code()}))
    producer.flush(20)
    assert told == {"hers": None, "drivers": None, "rides": None, "others": KafkaError.TOPIC_AUTHORIZATION_FAILED}


# MARK: Keys


def test_keys_come_by_https_and_discovery(token_broker, certificates, tmp_path):
    secure = Issuer(tmp_path, certificates.path("server.both.pem"))
    secure.key("tls")
    node = token_broker({"sasl.oauthbearer.expected.issuer": secure.name, "sasl.oauthbearer.jwks.endpoint.url": None,
                         "token.issuers.ca.location": certificates.path("authority.pem")})
    token = secure.token()
    assert through_aiokafka(node, "SASL_SSL", lambda: token, "discovered") == VALUES
    assert secure.asked == ["/.well-known/openid-configuration", "/keys"]
    secure.stop()


def test_an_issuer_whose_certificate_nobody_signed_is_none(token_broker, certificates, tmp_path):
    certificates.sign_itself("stranger")
    certificates.join("stranger")
    secure = Issuer(tmp_path, certificates.path("stranger.both.pem"))
    secure.key("tls")
    node = token_broker({"sasl.oauthbearer.expected.issuer": secure.name, "sasl.oauthbearer.jwks.endpoint.url": f"{secure.name}/keys",
                         "token.issuers.ca.location": certificates.path("authority.pem")})
    # Nobody can tell whether it is right: the connection ends without an answer, and the client tries again.
    from harness.wire import Closed

    with pytest.raises(Closed):
        exchange(node, b"n,,\1auth=Bearer " + secure.token().encode() + b"\1\1")
    assert secure.asked == [] and "an issuer's keys cannot be fetched" in node.log_tail()
    secure.stop()


def test_keys_out_of_a_file_change_without_a_restart(token_broker, issuer, tmp_path):
    file = tmp_path / "keys.json"
    file.write_bytes(issuer.reply("/keys")[1])
    node = token_broker({"sasl.oauthbearer.jwks.endpoint.url": f"file://{file}"})
    assert exchange(node, b"n,,\1auth=Bearer " + issuer.token().encode() + b"\1\1")[0].auth_bytes == b""
    second = issuer.key("second", "ES256")
    file.write_bytes(issuer.reply("/keys")[1])
    token = b"n,,\1auth=Bearer " + issuer.token(second).encode() + b"\1\1"
    deadline = time.monotonic() + 20
    while exchange(node, token)[0].auth_bytes != b"" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert exchange(node, token)[0].auth_bytes == b""


def test_several_issuers_have_names_of_their_own(token_broker, issuer, tmp_path):
    second = Issuer(tmp_path)
    second.key("second", "EdDSA")
    file = tmp_path / "issuers.json"
    file.write_text(json.dumps({"issuers": [
        {"issuer": issuer.name, "audience": "orders", "jwks": f"{issuer.name}/keys", "prefix": "one/"},
        {"issuer": second.name, "audience": "orders", "prefix": "two/"},
    ]}))
    node = token_broker({"sasl.oauthbearer.expected.issuer": None, "sasl.oauthbearer.jwks.endpoint.url": None, "token.issuers.file": str(file),
                         "authorizer.enable": "true", "super.users": "User:one/alice"})
    for made, is_allowed in ((issuer, True), (second, False)):
        from kafka import KafkaAdminClient

        token = made.token()
        admin = KafkaAdminClient(**kafka_python_options(node, "SASL_PLAINTEXT", lambda token=token: token))
        from kafka.admin import NewTopic
        from kafka.errors import KafkaError

        try:
            admin.create_topics([NewTopic("made", 1, 1)])
            assert is_allowed
        except KafkaError:
            assert not is_allowed
        admin.close()
    second.stop()


@pytest.mark.parametrize("settings, told", [
    ({"sasl.oauthbearer.expected.issuer": None}, "nobody's tokens are expected"),
    ({"sasl.oauthbearer.expected.audience": None}, "tokens for anybody would be taken"),
    ({"sasl.oauthbearer.jwks.endpoint.url": "http://example.com/keys"}, "no address that keys are fetched from"),
    ({"sasl.oauthbearer.expected.issuer": "name", "sasl.oauthbearer.jwks.endpoint.url": None}, "cannot be found by discovery"),
    ({"token.issuers.file": "/nowhere"}, "cannot be set together"),
])
def test_settings_that_cannot_be_meant_are_refused_at_the_start(token_broker, settings, told):
    with pytest.raises(BrokerFailure) as failure:
        token_broker(settings)
    assert told in str(failure.value)


# MARK: Sessions


def test_sessions_are_renewed_in_the_middle_of_produce_and_consume(token_broker, issuer):
    from confluent_kafka import Consumer, Producer

    node = token_broker()
    errors, delivered, shown = [], [], []

    def source():
        # Not shorter: librdkafka asks for the next one when a fifth of the time is left, and a client that has lost a processor for so
        # long shows one that has ended (seen with 12 s on a machine that did four times what it can).
        shown.append(issuer.token(lifetime=24))
        return shown[-1]

    watch = {"error_cb": lambda error: errors.append(str(error))}
    producer = Producer(librdkafka(node, "SASL_PLAINTEXT", source, **watch))
    consumer = Consumer(librdkafka(node, "SASL_PLAINTEXT", source, **watch, **{"group.id": "g", "auto.offset.reset": "earliest"}))
    consumer.subscribe(["renewed"])
    found, all_sent = [], threading.Event()
    ends = time.monotonic() + 42

    def read():
        while time.monotonic() < ends + 20 and not (all_sent.is_set() and len(found) >= number):
            message = consumer.poll(0.2)
            if message is not None and not message.error():
                found.append(message.value())

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    while time.monotonic() < ends:
        producer.produce("renewed", b"%d" % number, on_delivery=lambda error, message: delivered.append(error))
        number += 1
        producer.poll(0.02)
    assert producer.flush(20) == 0
    all_sent.set()
    reader.join()
    consumer.close()
    assert delivered == [None] * number and found == [b"%d" % n for n in range(number)]
    assert errors == [] and len(shown) >= 6
    assert node.metrics()["millrace_kafka_protocol_errors_total"] == 0


@pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no tools of Apache Kafka")
def test_the_java_client_with_a_token_out_of_a_file(token_broker, issuer, tmp_path):
    node = token_broker()

    def topics(token: str) -> subprocess.CompletedProcess:
        (tmp_path / "token").write_text(token)
        file = tmp_path / "client.properties"
        file.write_text(f"security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={node.certificates.path('authority.pem')}\n"
                        "sasl.mechanism=OAUTHBEARER\nsasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n"
                        "sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"
                        f"sasl.oauthbearer.token.endpoint.url=file://{tmp_path / 'token'}\n")
        environment = {**os.environ, "JDK_JAVA_OPTIONS": f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{tmp_path / 'token'} "
                                                          f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={tmp_path / 'token'}"}
        command = [os.environ["MILLRACE_KAFKA"], "topics", "--bootstrap-server", node.secure("SASL_SSL"), "--command-config", str(file), "--list"]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)

    right = topics(issuer.token(scope="x"))
    assert right.returncode == 0 and "__consumer_offsets" in right.stdout, right.stderr
    wrong = topics(issuer.token(scope="x", aud="others"))
    assert wrong.returncode != 0 and "invalid_token" in wrong.stdout + wrong.stderr
