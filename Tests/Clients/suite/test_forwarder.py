"""A queue's forwarder to another cluster, of ours and of Apache Kafka, where either side is killed: each message is there once."""

from __future__ import annotations

import json
import os
import random
import time

import pytest

from harness.broker import Broker, free_port
from harness.certificates import Certificates
from harness.http import call
from harness.tls_broker import TLSBroker

pytestmark = pytest.mark.control

PARTITIONS = 3
TURNS, MESSAGES = 30, 100  # of a turn


def forwarding(cluster: str) -> str:
    return f"""
queues: {{jobs: {{partitions: 2, dead_letter_queue: dead}}, dead: {{}}}}
forwarders:
  jobs: {{from: jobs, to: arrivals, cluster: {{{cluster}}}, batch: {{records: 50, window: 20ms}}}}
"""


def kafka() -> str:
    if "MILLRACE_KAFKA" not in os.environ:
        pytest.skip("MILLRACE_KAFKA is not set: no Apache Kafka")
    return os.environ["MILLRACE_KAFKA"]


@pytest.fixture(params=["millrace", "kafka"])
def pair(pytestconfig, request):
    binary = pytestconfig.getoption("--binary")
    there = Broker(request.param, binary if request.param == "millrace" else kafka())
    here = Broker("millrace", binary)
    here.configuration = forwarding(f'bootstrap: "{there.bootstrap}"')
    there.start()
    create(there)
    here.start()
    yield here, there
    for node in (here, there):
        node.stop()
        node.remove()


@pytest.fixture(params=["millrace", "kafka"])
def secure_pair(pytestconfig, request, tmp_path):
    """The other side's listener of TLS asks for a certificate; what the forwarder trusts is not there yet."""
    certificates = Certificates(tmp_path / "certificates")
    certificates.sign("server")
    certificates.sign("forwarder")
    binary = pytestconfig.getoption("--binary")
    terms = {"ssl.client.auth": "required", "ssl.truststore.location": certificates.path("authority.pem")}
    if request.param == "millrace":
        there = TLSBroker(binary, certificates, terms)
        port = there.ssl_port
    else:
        port = free_port()
        there = Broker("kafka", kafka())
        both = f"PLAINTEXT://127.0.0.1:{there.kafka_port},SSL://127.0.0.1:{port}"
        there.settings.update({
            "listeners": f"{both},CONTROLLER://127.0.0.1:{there.kafka_port + 1}", "advertised.listeners": both,
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL", "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates.path("server.both.pem"), "ssl.truststore.type": "PEM", **terms})
    here = Broker("millrace", binary)
    tls = f'ca: {tmp_path / "trusted.pem"}, certificate: {certificates.path("forwarder.pem")}, key: {certificates.path("forwarder.key")}'
    here.configuration = forwarding(f'bootstrap: "127.0.0.1:{port}", tls: {{{tls}}}')
    there.start()
    create(there)
    here.start()
    yield here, there, certificates, tmp_path / "trusted.pem"
    for node in (here, there):
        node.stop()
        node.remove()


def create(node: Broker) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.create_topics([NewTopic("arrivals", PARTITIONS, 1)])["arrivals"].result(timeout=30)


def status(node: Broker) -> dict:
    return call(node.http, "GET", "/stats", b"").json["forwarders"]["jobs"]


def lag(node: Broker) -> int:
    return status(node)["lag"]


def send(node: Broker, texts: list[str]) -> None:
    reply = call(node.http, "POST", "/v1/queues/jobs/messages", ("[" + ",".join(texts) + "]").encode(), "application/json")
    assert reply.status == 201, reply.body


def wait(is_so, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.2)


def read(node: Broker) -> list[str]:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    found = []
    for index in range(PARTITIONS):
        place = TopicPartition("arrivals", index, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        until = time.monotonic() + 60
        at = 0
        while at < end and time.monotonic() < until:
            message = consumer.poll(0.5)
            if message is not None and not message.error():
                found.append(message.value().decode())
                at = message.offset() + 1
    consumer.close()
    return found


def test_each_message_arrives_once_whichever_side_is_killed(pair):
    here, there = pair
    chance = random.Random(7)
    sent = []
    for turn in range(TURNS):
        texts = [json.dumps({"number": turn * MESSAGES + n}) for n in range(MESSAGES)]
        send(here, texts)
        sent += texts
        time.sleep(chance.random() * 0.15)
        if turn % 5 == 4:
            # Each of them, in turns, so that neither is left out.
            node = pair[turn // 5 % 2]
            node.kill()
            if node is there:
                time.sleep(0.3)
            node.start()
    wait(lambda: lag(here) == 0 and len(read(there)) >= len(sent))
    assert sorted(read(there)) == sorted(sent)


def test_a_cluster_is_reached_by_tls_as_soon_as_it_can_be_trusted(secure_pair):
    here, there, certificates, trusted = secure_pair
    texts = [json.dumps({"number": number}) for number in range(200)]
    send(here, texts)
    wait(lambda: "trusted.pem" in (status(here)["trouble"] or ""))
    certificates.sign_itself("stranger")
    trusted.write_text((certificates.folder / "stranger.pem").read_text())
    wait(lambda: "certificate is not taken" in (status(here)["trouble"] or ""))
    assert read(there) == [] and lag(here) == len(texts)
    trusted.write_text((certificates.folder / "authority.pem").read_text())
    wait(lambda: lag(here) == 0)
    assert sorted(read(there)) == sorted(texts)
    # Killed, it is reached by TLS again.
    there.kill()
    send(here, ['"later"'])
    there.start()
    wait(lambda: lag(here) == 0)
    assert sorted(read(there)) == sorted([*texts, '"later"'])
