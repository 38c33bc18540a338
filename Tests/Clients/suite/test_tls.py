"""TLS of both edges, by the clients as their users use them: right and wrong certificates, large records, files, reloads."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import httpx
import pytest

from conftest import create_topic, program
from harness import wire
from harness.broker import Broker, environment_without_ours
from harness.certificates import Certificates
from harness.clients import through
from harness.tls_broker import TLSBroker

pytestmark = [pytest.mark.gateway, pytest.mark.control]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    found = Certificates(tmp_path_factory.mktemp("certificates"))
    found.sign("server")
    found.sign("client", "/O=Example/CN=alice")
    found.sign("rsa", algorithm="RSA")
    found.sign_itself("stranger")
    return found


@pytest.fixture
def tls_broker(pytestconfig, certificates):
    nodes = []

    def make(**settings) -> TLSBroker:
        node = TLSBroker(program(pytestconfig), certificates, {key.replace("_", "."): str(value) for key, value in settings.items()})
        nodes.append(node)
        return node.start()

    yield make
    for node in nodes:
        node.check_alive()
        node.remove()


# MARK: Clients


def librdkafka(certificates: Certificates, bootstrap: str, name: str | None = None, **more) -> dict:
    found = {"bootstrap.servers": bootstrap, "security.protocol": "ssl", "ssl.ca.location": certificates.path("authority.pem"), **more}
    if name:
        found |= {"ssl.certificate.location": certificates.path(f"{name}.pem"), "ssl.key.location": certificates.path(f"{name}.key")}
    return found


def through_confluent(certificates, bootstrap, topic, values, name=None):
    return through.confluent(librdkafka(certificates, bootstrap, name), topic, values)


def through_kafka_python(certificates, bootstrap, topic, values, name=None):
    options = {"bootstrap_servers": bootstrap, "security_protocol": "SSL", "ssl_cafile": certificates.path("authority.pem")}
    if name:
        options |= {"ssl_certfile": certificates.path(f"{name}.pem"), "ssl_keyfile": certificates.path(f"{name}.key")}
    return through.kafka_python(options, topic, values)


def through_aiokafka(certificates, bootstrap, topic, values, name=None):
    from aiokafka.helpers import create_ssl_context

    files = {"certfile": certificates.path(f"{name}.pem"), "keyfile": certificates.path(f"{name}.key")} if name else {}
    cafile = certificates.path("authority.pem")
    return through.aiokafka(lambda: {"bootstrap_servers": bootstrap, "security_protocol": "SSL", "ssl_context": create_ssl_context(cafile=cafile, **files)}, topic, values)


def through_kcat(certificates, bootstrap, topic, values, name=None):
    words = ["kcat", "-b", bootstrap, "-t", topic]
    for key, value in librdkafka(certificates, bootstrap, name).items():
        if key != "bootstrap.servers":
            words += ["-X", f"{key}={value}"]
    subprocess.run([*words, "-P", "-X", "message.max.bytes=5000000"], input=b"\n".join(values), check=True, timeout=30)
    read = subprocess.run([*words, "-C", "-e", "-q", "-o", "beginning"], capture_output=True, check=True, timeout=30).stdout
    return read.splitlines()


CLIENTS = {"confluent-kafka": through_confluent, "kafka-python": through_kafka_python, "aiokafka": through_aiokafka, "kcat": through_kcat}
VALUES = [b"one", b"x" * 20_000, *(b"%d" % n for n in range(200)), b"y" * 900_000]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_writes_and_reads(tls_broker, certificates, client):
    node = tls_broker()
    assert CLIENTS[client](certificates, node.secure, "rides", VALUES) == VALUES


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_shows_its_certificate(tls_broker, certificates, client):
    node = tls_broker(ssl_client_auth="required", ssl_truststore_location=certificates.path("authority.pem"))
    assert CLIENTS[client](certificates, node.secure, "rides", VALUES[:2], "client") == VALUES[:2]


@pytest.mark.parametrize("algorithm, lowest, highest", [("rsa", "TLSv1_2", "TLSv1_2"), ("server", "TLSv1_2", "TLSv1_2"), ("server", "TLSv1_3", "TLSv1_3"), ("rsa", "TLSv1_3", "TLSv1_3")])
def test_versions_and_kinds_of_keys(tls_broker, certificates, algorithm, lowest, highest):
    node = tls_broker(ssl_keystore_location=certificates.path(f"{algorithm}.both.pem"))
    context = ssl.create_default_context(cafile=certificates.path("authority.pem"))
    context.minimum_version, context.maximum_version = ssl.TLSVersion[lowest], ssl.TLSVersion[highest]
    with socket.create_connection(("127.0.0.1", node.ssl_port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as stream:
        assert stream.version() == lowest.replace("_", ".")
        assert any(word in stream.cipher()[0] for word in ("GCM", "CHACHA20"))
        request = wire.int16(18) + wire.int16(0) + wire.int32(77) + wire.int16(-1)
        stream.sendall(wire.int32(len(request)) + request)
        assert stream.recv(8)[4:8] == wire.int32(77)


def test_wrong_certificates_are_refused(tls_broker, certificates):
    from confluent_kafka.admin import AdminClient

    node = tls_broker(ssl_client_auth="required", ssl_truststore_location=certificates.path("authority.pem"))
    for name in (None, "stranger"):
        with pytest.raises(Exception):
            AdminClient(librdkafka(certificates, node.secure, name)).list_topics(timeout=3)
    assert AdminClient(librdkafka(certificates, node.secure, "client")).list_topics(timeout=10).brokers
    # Whoever looks for a client that cannot connect finds it, and why.
    assert re.search(rf"connection ended by its transform .*peer=127.0.0.1:\d+ port={node.ssl_port} reason=", node.log_tail())


def test_each_listener_advertises_itself(tls_broker, certificates):
    from confluent_kafka.admin import AdminClient

    node = tls_broker()
    (secure,) = AdminClient(librdkafka(certificates, node.secure)).list_topics(timeout=10).brokers.values()
    (plain,) = AdminClient({"bootstrap.servers": node.bootstrap}).list_topics(timeout=10).brokers.values()
    assert (secure.port, plain.port) == (node.ssl_port, node.kafka_port)


def test_advertised_listeners_go_by_name(pytestconfig, certificates):
    from confluent_kafka.admin import AdminClient

    node = TLSBroker(program(pytestconfig), certificates, {})
    node.settings["advertised.listeners"] = f"PLAINTEXT://localhost:{node.kafka_port},SSL://localhost:{node.ssl_port}"
    try:
        node.start()
        (secure,) = AdminClient(librdkafka(certificates, node.secure)).list_topics(timeout=10).brokers.values()
        (plain,) = AdminClient({"bootstrap.servers": node.bootstrap}).list_topics(timeout=10).brokers.values()
        assert (secure.host, secure.port) == ("localhost", node.ssl_port)
        assert (plain.host, plain.port) == ("localhost", node.kafka_port)
    finally:
        node.remove()


# MARK: The gateway


def https(node, certificates, path, body=None, context=None, **headers):
    context = context or ssl.create_default_context(cafile=certificates.path("authority.pem"))
    request = urllib.request.Request(f"https://localhost:{node.https_port}{path}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10, context=context) as reply:
        return reply.status, reply.read()


def test_events_by_https(tls_broker, certificates):
    node = tls_broker()
    event = b'{"vehicle":"CAR-001"}'
    assert https(node, certificates, "/v1/topics/rides/events", event, **{"Content-Type": "application/json"})[0] == 201
    big = b"[" + b",".join(b'{"n":%d,"pad":"%s"}' % (n, b"z" * 500) for n in range(5_000)) + b"]"
    assert https(node, certificates, "/v1/topics/rides/events", big, **{"Content-Type": "application/json"})[0] in (200, 201)
    status, page = https(node, certificates, "/metrics")
    assert status == 200 and b'millrace_tls_handshakes_total{listener="https",result="full"}' in page


def test_protocols_and_sessions_of_https(tls_broker, certificates):
    node = tls_broker()
    for offered, chosen in ((["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context(cafile=certificates.path("authority.pem"))
        if offered:
            context.set_alpn_protocols(offered)
        with socket.create_connection(("127.0.0.1", node.https_port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as stream:
            assert stream.selected_alpn_protocol() == chosen
    output = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{node.https_port}", "-reconnect", "-tls1_2", "-CAfile", certificates.path("authority.pem")],
                            input=b"", capture_output=True, timeout=30).stdout.decode()
    assert output.count("Reused, ") == 5


def test_https_speaks_http2(tls_broker, certificates):
    node = tls_broker()
    context = ssl.create_default_context(cafile=certificates.path("authority.pem"))
    with httpx.Client(http2=True, verify=context, base_url=f"https://localhost:{node.https_port}") as client:
        for number in range(20):
            reply = client.post("/v1/topics/rides/events", json={"n": number})
            assert (reply.http_version, reply.status_code) == ("HTTP/2", 201), reply.text
        lines = b"\n".join(b'{"n":%d,"pad":"%s"}' % (n, b"z" * 500) for n in range(5_000))
        assert client.post("/v1/topics/rides/events?results=none", content=lines, headers={"Content-Type": "application/x-ndjson"}).json()["accepted"] == 5_000
        assert client.post("/events", content=b"{", headers={"Content-Type": "application/json"}).json()["code"] == "invalid_json"
    off = tls_broker(http2_enable="false")
    with httpx.Client(http2=True, verify=context, base_url=f"https://localhost:{off.https_port}") as client:
        assert client.get("/healthz").http_version == "HTTP/1.1"


def test_words_on_a_port_of_https_are_answered_in_words(tls_broker):
    node = tls_broker()
    with socket.create_connection(("127.0.0.1", node.https_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = b""
        while piece := connection.recv(1000):
            reply += piece
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"This port speaks https." in reply


def test_the_wrong_protocol_ends_and_is_told(tls_broker, certificates):
    node = tls_broker()
    with socket.create_connection(("127.0.0.1", node.ssl_port), timeout=10) as connection:
        connection.sendall(wire.int32(20) + bytes(20))
        assert connection.recv(100) == b""
    with pytest.raises((ssl.SSLError, OSError)), socket.create_connection(("127.0.0.1", node.kafka_port), timeout=10) as plain:
        ssl.create_default_context(cafile=certificates.path("authority.pem")).wrap_socket(plain, server_hostname="localhost")
    log = node.log_tail()
    assert "speaks plain text to a listener of TLS" in log and "speaks TLS to a listener of plain text" in log


# MARK: Reloads


def served_name(node) -> str:
    output = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{node.ssl_port}"], input=b"", capture_output=True, timeout=20).stdout.decode()
    return re.search(r"subject= ?CN ?= ?(\w+)", output)[1]


def test_certificates_are_read_again_without_a_dropped_connection(tls_broker, certificates):
    from confluent_kafka import Producer

    for name in ("first", "second"):
        certificates.sign(name)
    path = certificates.join("first", "live.pem")
    node = tls_broker(ssl_keystore_location=path)
    failures = []
    producer = Producer(librdkafka(certificates, node.secure, **{"error_cb": lambda error: failures.append(str(error)), "linger.ms": "1"}))
    for number in range(20):
        name = ("second", "first")[number % 2]
        certificates.join(name, "live.pem")
        os.kill(node.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while served_name(node) != name and time.monotonic() < deadline:
            time.sleep(0.05)
        assert served_name(node) == name
        producer.produce("rides", b"%d" % number)
        producer.poll(0)
    (certificates.folder / "live.pem").write_text("half a fi")
    os.kill(node.process.pid, signal.SIGHUP)
    producer.produce("rides", b"last")
    assert producer.flush(20) == 0
    assert failures == []
    assert served_name(node) == "first"
    assert "those from before stay in force" in node.log_tail()


def test_a_hundred_reloads_under_load_drop_no_connection(tls_broker, certificates):
    """Two that write and two that read, over connections that are there all the time; what ends is told by the node itself."""
    from confluent_kafka import Consumer, Producer

    for name in ("first", "second"):
        certificates.sign(name)
    path = certificates.join("first", "load.pem")
    node = tls_broker(ssl_keystore_location=path)
    failures, written, isOver = [], [0, 0], threading.Event()

    def options(**more):
        return librdkafka(certificates, node.secure, **{"error_cb": lambda error: failures.append(str(error)), **more})

    def write(place):
        producer = Producer(options(**{"linger.ms": "1"}))
        while not isOver.is_set():
            producer.produce(f"load-{place}", b"%d" % written[place], on_delivery=lambda error, _: failures.append(str(error)) if error else None)
            written[place] += 1
            producer.poll(0.001)
        if producer.flush(20):
            failures.append("not all was written")

    found = [[], []]

    def read(place):
        consumer = Consumer(options(**{"group.id": f"g-{place}", "auto.offset.reset": "earliest"}))
        consumer.subscribe([f"load-{place}"])
        end = None
        while end is None or (len(found[place]) < written[place] and time.monotonic() < end):
            found[place] += [message.value() for message in consumer.consume(1000, 0.1) if not message.error()]
            if isOver.is_set() and end is None:
                end = time.monotonic() + 30
        consumer.close()

    def number(name, **labels):
        text = urllib.request.urlopen(f"http://{node.http}/metrics", timeout=5).read().decode()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{") and all(label in line for label in wanted))

    for place in (0, 1):
        create_topic(node.bootstrap, f"load-{place}")
    threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1) for work in (write, read)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while not (found[0] and found[1]) and time.monotonic() < deadline:
        time.sleep(0.05)
    handshakes = number("millrace_tls_handshakes_total", result="full")
    for count in range(1, 101):
        certificates.join(("second", "first")[count % 2], "load.pem")
        os.kill(node.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while number("millrace_tls_reloads_total", result="done") < count and time.monotonic() < deadline:
            time.sleep(0.005)
    reloads, again = number("millrace_tls_reloads_total", result="done"), number("millrace_tls_handshakes_total", result="full")
    isOver.set()
    for thread in threads:
        thread.join(60)
    assert reloads >= 100 and again == handshakes  # nobody had to connect again
    assert failures == []
    for place in (0, 1):
        assert written[place] > 100 and found[place] == [b"%d" % n for n in range(written[place])]


# MARK: Starts that fail


@pytest.mark.parametrize("settings, words", [
    ({"listeners": "SASL_SSL://127.0.0.1:0", "authorizer.enable": "false"}, "ssl.keystore.certificate.chain: listener SASL_SSL speaks TLS and has no certificate"),
    ({"listeners": "SSL://127.0.0.1:0"}, "ssl.keystore.certificate.chain: listener SSL speaks TLS and has no certificate"),
    ({"listeners": "SSL://127.0.0.1:0", "ssl.keystore.location": "/nowhere.pem"}, "ssl.keystore.location: /nowhere.pem: No such file"),
    ({"listeners": "SSL://127.0.0.1:0", "ssl.keystore.type": "JKS"}, "ssl.keystore.type=JKS"),
])
def test_a_start_that_cannot_be_says_why(pytestconfig, tmp_path, settings, words):
    command = [program(pytestconfig), "serve", "--data-dir", str(tmp_path), "--http", "off"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    ended = subprocess.run(command, capture_output=True, timeout=20, env=environment_without_ours())
    assert ended.returncode != 0
    assert words in ended.stderr.decode()


def test_what_is_most_likely_not_meant_is_told(pytestconfig, tls_broker, certificates):
    certificates.sign("named", hosts="DNS:localhost")
    assert "advertised.listeners=SSL://HOST:PORT" in tls_broker(ssl_keystore_location=certificates.path("named.both.pem")).log_tail()
    assert "advertised.listeners" not in tls_broker().log_tail()
    plain = Broker("millrace", pytestconfig.getoption("--binary"), {"ssl.client.auth": "required", "ssl.keystore.location": certificates.path("server.both.pem")})
    try:
        log = plain.start().log_tail()
        assert "no client is asked for a certificate" in log and "ssl.keystore.* is not used" in log
    finally:
        plain.remove()


def test_secrets_are_shown_nowhere(tls_broker, certificates, tmp_path):
    from confluent_kafka.admin import AdminClient, ConfigResource

    canary = "canary-of-a-password"
    subprocess.run(["openssl", "pkcs8", "-topk8", "-in", certificates.path("server.key"), "-passout", f"pass:{canary}", "-out", str(tmp_path / "key")], check=True)
    path = tmp_path / "both.pem"
    path.write_text((tmp_path / "key").read_text() + (certificates.folder / "server.pem").read_text())
    node = tls_broker(ssl_keystore_location=path, ssl_key_password=canary)
    admin = AdminClient(librdkafka(certificates, node.secure))
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    (values,) = [future.result(10) for future in admin.describe_configs([resource]).values()]
    assert values["ssl.key.password"].value is None and values["ssl.key.password"].is_sensitive
    assert not any(canary in (entry.value or "") for entry in values.values())
    checked = subprocess.run([node.program, "config", "check", "--set", f"ssl.key.password={canary}"], capture_output=True, timeout=20, env=environment_without_ours())
    assert b"(hidden)" in checked.stdout
    assert canary.encode() not in checked.stdout + checked.stderr
    assert canary not in node.log_tail(100_000)


# MARK: Memory

IDLE_CONNECTIONS = 600
IDLE_BYTES = 20_000


def test_an_idle_connection_holds_little(tls_broker, certificates):
    node = tls_broker()
    context = ssl.create_default_context(cafile=certificates.path("authority.pem"))

    def connect():
        stream = context.wrap_socket(socket.create_connection(("127.0.0.1", node.ssl_port)), server_hostname="localhost")
        request = wire.int16(18) + wire.int16(0) + wire.int32(1) + wire.int16(-1)
        stream.sendall(wire.int32(len(request)) + request)
        assert stream.recv(4) != b""
        return stream

    # What the first ones need for all is there before anything is counted.
    held = [connect() for _ in range(50)]
    before = node.resident_bytes()
    held += [connect() for _ in range(IDLE_CONNECTIONS)]
    time.sleep(1)
    each = (node.resident_bytes() - before) / IDLE_CONNECTIONS
    print(f"an idle connection holds {each:.0f} bytes")
    assert each < IDLE_BYTES
    for stream in held:
        stream.close()
