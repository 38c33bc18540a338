"""SASL of the Kafka edge, by the clients as their users use them: right and wrong passwords, with TLS and without, renewed sessions."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
import time
import urllib.request

import pytest

from harness.broker import Broker, free_port
from harness.certificates import Certificates
from harness.clients import through

pytestmark = pytest.mark.control

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PROTOCOLS = ["SASL_PLAINTEXT", "SASL_SSL"]
USER, PASSWORD = "alice", "pencil with blanks, commas = signs and Zoë"
VALUES = [b"%d" % n for n in range(100)] + [b"x" * 200_000]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    found = Certificates(tmp_path_factory.mktemp("certificates"))
    found.sign("server")
    return found


class SaslBroker(Broker):
    """Beside the plain listener, over which users are made, one of SASL_PLAINTEXT and one of SASL_SSL."""

    def __init__(self, program: str, certificates: Certificates, settings: dict[str, str]):
        super().__init__("millrace", program, settings)
        self.certificates, self.program = certificates, program
        self.ports = {name: free_port() for name in PROTOCOLS}
        self.settings.update({"ssl.keystore.location": certificates.path("server.both.pem"), "sasl.enabled.mechanisms": ",".join(MECHANISMS), "authorizer.enable": "false", **settings})

    def addresses(self) -> list[str]:
        names = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},{names}", "--http", f"127.0.0.1:{self.http_port}"]

    def secure(self, protocol: str) -> str:
        return f"127.0.0.1:{self.ports[protocol]}"

    def user(self, verb: str, name: str, *words: str, password: str = PASSWORD) -> None:
        files = [] if verb == "delete" else ["--password-file", "-"]
        ran = subprocess.run([self.program, "user", verb, name, *words, *files, "-b", self.bootstrap], input=password, text=True, capture_output=True, timeout=30)
        assert ran.returncode == 0, ran.stderr


@pytest.fixture
def sasl_broker(pytestconfig, certificates):
    nodes = []

    def make(**settings) -> SaslBroker:
        node = SaslBroker(pytestconfig.getoption("--binary"), certificates, {key.replace("_", "."): str(value) for key, value in settings.items()})
        nodes.append(node)
        node.start()
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            node.user("create", USER, "--mechanism", mechanism)
            node.user("create", "bob", "--mechanism", mechanism, password="pencil")
        return node

    yield make
    for node in nodes:
        node.check_alive()
        node.remove()


# MARK: Clients


def librdkafka(node, protocol, mechanism, user=USER, password=PASSWORD, **more) -> dict:
    return {"bootstrap.servers": node.secure(protocol), "security.protocol": protocol, "sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password,
            "ssl.ca.location": node.certificates.path("authority.pem"), "error_cb": lambda error: None, "log_level": 0, **more}


def through_confluent(node, protocol, mechanism, topic):
    return through.confluent(librdkafka(node, protocol, mechanism), topic, VALUES)


def python_options(node, protocol, mechanism, user=USER, password=PASSWORD) -> dict:
    return {"bootstrap_servers": node.secure(protocol), "security_protocol": protocol, "sasl_mechanism": mechanism, "sasl_plain_username": user, "sasl_plain_password": password}


def kafka_python_options(node, protocol, mechanism, *login) -> dict:
    options = python_options(node, protocol, mechanism, *login)
    if protocol == "SASL_SSL":
        options["ssl_cafile"] = node.certificates.path("authority.pem")
    return options


def through_kafka_python(node, protocol, mechanism, topic):
    return through.kafka_python(kafka_python_options(node, protocol, mechanism), topic, VALUES)


def aiokafka_options(node, protocol, mechanism, **more):
    from aiokafka.helpers import create_ssl_context

    options = python_options(node, protocol, mechanism, **more)
    if protocol == "SASL_SSL":
        options["ssl_context"] = create_ssl_context(cafile=node.certificates.path("authority.pem"))
    return options


def through_aiokafka(node, protocol, mechanism, topic):
    return through.aiokafka(lambda: aiokafka_options(node, protocol, mechanism), topic, VALUES)


def through_kcat(node, protocol, mechanism, topic):
    words = ["kcat", "-b", node.secure(protocol), "-t", topic]
    # Debian's kcat has a librdkafka of its own, 2.0.2, which writes commas and equals signs of a password otherwise for SCRAM.
    for key, value in librdkafka(node, protocol, mechanism, "bob", "pencil").items():
        if key != "bootstrap.servers" and isinstance(value, str):
            words += ["-X", f"{key}={value}"]
    subprocess.run([*words, "-P"], input=b"\n".join(VALUES), check=True, timeout=30)
    read = subprocess.run([*words, "-C", "-e", "-q", "-o", "beginning"], capture_output=True, check=True, timeout=30).stdout
    return read.splitlines()


CLIENTS = {"confluent-kafka": through_confluent, "kafka-python": through_kafka_python, "aiokafka": through_aiokafka, "kcat": through_kcat}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_in(sasl_broker, client):
    node = sasl_broker()
    for protocol in PROTOCOLS:
        for mechanism in MECHANISMS:
            assert CLIENTS[client](node, protocol, mechanism, f"{protocol}.{mechanism}") == VALUES, (protocol, mechanism)


# MARK: Wrong ones


def refusals_of_confluent(node, protocol, mechanism, user, password, caplog=None) -> bool:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

    seen = []
    client = AdminClient(librdkafka(node, protocol, mechanism, user, password, error_cb=lambda error: seen.append(error.code())))
    deadline = time.monotonic() + 10
    while KafkaError._AUTHENTICATION not in seen and time.monotonic() < deadline:
        client.poll(0.1)
    return KafkaError._AUTHENTICATION in seen


def refusals_of_kafka_python(node, protocol, mechanism, user, password, caplog) -> bool:
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    options = kafka_python_options(node, protocol, mechanism, user, password)
    caplog.clear()
    # It tries again until its time is over, and tells then of that alone. A reply that came together with the end of its connection it
    # would overlook, and speak of a socket that is disconnected.
    with pytest.raises(KafkaError):
        KafkaAdminClient(bootstrap_timeout_ms=1500, **options).list_topics()
    return "SaslAuthenticationFailedError" in caplog.text and "socket disconnected" not in caplog.text


def refusals_of_aiokafka(node, protocol, mechanism, user, password, caplog) -> bool:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    async def run():
        producer = AIOKafkaProducer(**aiokafka_options(node, protocol, mechanism, user=user, password=password))
        try:
            with pytest.raises(KafkaError) as refused:
                await producer.start()
        finally:
            await producer.stop()
        return f"{refused.value!r} {caplog.text}"

    caplog.clear()
    # That it cannot connect is told of a broker that is gone, too.
    return "AuthenticationFailed" in asyncio.run(run())


REFUSALS = {"confluent-kafka": refusals_of_confluent, "kafka-python": refusals_of_kafka_python, "aiokafka": refusals_of_aiokafka}


@pytest.mark.parametrize("client", REFUSALS)
def test_every_client_is_told_no(sasl_broker, client, caplog):
    node = sasl_broker()
    for protocol in PROTOCOLS:
        for mechanism in MECHANISMS:
            for user, password in [(USER, "pen"), ("nobody", PASSWORD)]:
                assert REFUSALS[client](node, protocol, mechanism, user, password, caplog), (protocol, mechanism, user)


@pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no tools of Apache Kafka")
def test_the_java_client_by_each_mechanism(sasl_broker, tmp_path):
    node = sasl_broker()
    modules = {"PLAIN": "plain.PlainLoginModule", "SCRAM-SHA-256": "scram.ScramLoginModule", "SCRAM-SHA-512": "scram.ScramLoginModule"}

    def topics(mechanism: str, password: str) -> subprocess.CompletedProcess:
        login = f'org.apache.kafka.common.security.{modules[mechanism]} required username="{USER}" password="{password}";'
        file = tmp_path / f"{mechanism}.properties"
        file.write_text(f"security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={node.certificates.path('authority.pem')}\n"
                        f"sasl.mechanism={mechanism}\nsasl.jaas.config={login}\n", encoding="latin-1")
        command = [os.environ["MILLRACE_KAFKA"], "topics", "--bootstrap-server", node.secure("SASL_SSL"), "--command-config", str(file), "--list"]
        return subprocess.run(command, capture_output=True, text=True, timeout=90)

    for mechanism in MECHANISMS:
        right = topics(mechanism, PASSWORD)
        assert right.returncode == 0 and "__consumer_offsets" in right.stdout, right.stderr
        wrong = topics(mechanism, "pen")
        assert wrong.returncode != 0 and "Authentication failed: invalid credentials" in wrong.stdout + wrong.stderr


def memory(pid: int) -> bytes:
    """What a process has in its writable memory, freed or not."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as pages:
        for line in maps:
            span, mode = line.split()[:2]
            if mode.startswith("rw"):
                start, end = (int(bound, 16) for bound in span.split("-"))
                try:
                    pages.seek(start)
                    found.append(pages.read(end - start))
                except (OSError, ValueError, OverflowError):
                    continue
    return b"\n".join(found)


def test_a_password_is_shown_nowhere(sasl_broker):
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    node = sasl_broker(log_level="debug")
    canary = "canary-4711-of-a-password"
    # Each time at once, before others write where it was.
    found = b""
    for mechanism in MECHANISMS:
        assert refusals_of_confluent(node, "SASL_PLAINTEXT", mechanism, USER, canary)
        found += memory(node.process.pid)
    node.user("create", "carol", password=canary)
    AdminClient(librdkafka(node, "SASL_SSL", "PLAIN", "carol", canary)).list_topics(timeout=10)
    found += memory(node.process.pid)
    resource = ConfigResource(ResourceType.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    described = admin.describe_configs([resource])[resource].result(20)
    with urllib.request.urlopen(f"http://{node.http}/metrics", timeout=10) as reply:
        metrics = reply.read()
    shown = {"log": node.log_tail(1_000_000).encode(), "metrics": metrics, "configs": repr({k: v.value for k, v in described.items()}).encode()}
    shown |= {str(path): path.read_bytes() for path in (node.folder / "data").rglob("*") if path.is_file()}
    shown["memory"] = found
    # What is looked through tells of it.
    assert b"carol" in found
    assert b"authentication refused" in shown["log"] and b"User:carol" in shown[str(node.folder / "data/audit.log")]
    raw = canary.encode()
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        # Base64 of it behind so many bytes, without the characters that others have a part in.
        encoded = base64.b64encode(b"\0" * shift + raw)
        forms.add(encoded[-(-shift * 8 // 6):(shift + len(raw)) * 8 // 6])
    for name, content in shown.items():
        assert not [form for form in forms if form in content], name


# MARK: Sessions


def test_sessions_are_renewed_in_the_middle_of_produce_and_consume(sasl_broker):
    from confluent_kafka import Consumer, Producer

    node = sasl_broker(connections_max_reauth_ms=2000)
    errors, delivered = [], []
    producer = Producer(librdkafka(node, "SASL_PLAINTEXT", "SCRAM-SHA-256", error_cb=lambda error: errors.append(str(error))))
    consumer = Consumer(librdkafka(node, "SASL_PLAINTEXT", "SCRAM-SHA-512", **{"group.id": "g", "auto.offset.reset": "earliest", "error_cb": lambda error: errors.append(str(error))}))
    consumer.subscribe(["renewed"])
    found, all_sent = [], threading.Event()
    ends = time.monotonic() + 7

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
        producer.poll(0.01)
    assert producer.flush(20) == 0
    all_sent.set()
    reader.join()
    consumer.close()
    assert delivered == [None] * number and found == [b"%d" % n for n in range(number)]
    assert errors == []
    # A session that had not been renewed in time would have been cut, which is counted here.
    with urllib.request.urlopen(f"http://{node.http}/metrics", timeout=10) as reply:
        assert '\nmillrace_kafka_authentications_total{result="expired"} 0\n' in reply.read().decode()


def test_a_deleted_user_is_let_go(sasl_broker):
    from confluent_kafka import KafkaError, Producer

    node = sasl_broker()
    seen = []
    producer = Producer(librdkafka(node, "SASL_SSL", "SCRAM-SHA-256", error_cb=lambda error: seen.append(error.code())))
    producer.produce("orders", b"1")
    assert producer.flush(20) == 0
    node.user("delete", USER)
    deadline = time.monotonic() + 20
    while KafkaError._AUTHENTICATION not in seen and time.monotonic() < deadline:
        producer.poll(0.1)
    assert KafkaError._AUTHENTICATION in seen
