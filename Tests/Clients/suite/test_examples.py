"""An example configuration, by the lines of those in whose place it comes, up to a Kafka client that reads what has arrived."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time

import pytest

from harness.broker import Broker
from harness.issuer import Issuer

pytestmark = pytest.mark.control

EXAMPLES = pathlib.Path(__file__).parents[3] / "tools" / "examples"
EVENT = '{"type":"car","action":"status-update","vehicleId":"CAR-001","status":"available"}'
# As the fleet's own users have it.
LINE = """curl -X POST $URL/dev/api -H "Authorization: $ID_TOKEN" -H "Content-Type: application/json" -d '%s'"""


@pytest.fixture
def issuer(tmp_path):
    made = Issuer(tmp_path)
    made.key("first")
    yield made
    made.stop()


@pytest.fixture
def fleet(pytestconfig, issuer):
    node = Broker("millrace", pytestconfig.getoption("--binary"))
    node.configuration = (EXAMPLES / "u0-fleet.yaml").read_text()
    node.environment = {"OIDC_ISSUER": issuer.name, "OIDC_AUDIENCE": "fleet", "FLEET_BATCH_WINDOW": "100ms"}
    node.start()
    yield node
    node.stop()
    node.remove()


def post(node: Broker, token: str, event: str = EVENT) -> int:
    line = (LINE % event).replace("curl ", "curl -sS -o /dev/null -w '%{http_code}' ", 1)
    found = subprocess.run(["/bin/sh", "-c", line], env={"URL": f"http://{node.http}", "ID_TOKEN": token, "PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True)
    return int(found.stdout)


def read(node: Broker, count: int, seconds: float = 60) -> list:
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe(["fleet-events"])
    found, until = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        message = consumer.poll(0.5)
        if message is not None and not message.error():
            found.append(message)
    # A repeat would come behind the others.
    late = consumer.poll(1.0)
    if late is not None and not late.error():
        found.append(late)
    consumer.close()
    return found


def test_an_event_with_a_token_arrives_in_the_topic(fleet, issuer):
    assert post(fleet, issuer.token(aud="fleet")) == 202
    found = read(fleet, 1)
    assert [message.value().decode() for message in found] == [EVENT]
    assert found[0].key() == b"CAR-001"
    names = [name for name, _ in found[0].headers()]
    assert "event_id" in names and not [name for name in names if name.startswith("queue.")]


def test_events_arrive_once_though_the_broker_is_killed(fleet, issuer):
    token = issuer.token(aud="fleet")
    sent = []
    for number in range(60):
        event = json.dumps({"vehicleId": f"CAR-{number % 7:03}", "number": number})
        assert post(fleet, token, event) == 202
        sent.append(event)
        if number % 20 == 10:
            fleet.kill()
            fleet.start()
    found = [message.value().decode() for message in read(fleet, len(sent))]
    assert sorted(found) == sorted(sent)


def test_without_a_token_nothing_is_taken(fleet, issuer):
    assert post(fleet, "nonsense") == 401
    assert post(fleet, issuer.token(aud="somebody-else")) == 401
    assert post(fleet, issuer.token(aud="fleet", lifetime=-600)) == 401
    assert post(fleet, issuer.token(aud="fleet"), "not json") == 400
