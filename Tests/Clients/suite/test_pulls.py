"""Pulls from `millrace mock-api`, which fails now and then, up to a Kafka client that reads what has arrived."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time

import pytest

from harness.broker import Broker, end_with_parent
from harness.http import Connection

pytestmark = pytest.mark.control

EXAMPLE = pathlib.Path(__file__).parents[3] / "tools" / "examples" / "u1-ingestion.yaml"
PAGES, ROWS = 40, 5
KINDS = {"page": "{by: page}", "offset": "{by: offset}", "cursor": "{by: cursor, pointer: /next_cursor}", "next": "{by: next, pointer: /next}", "link": "{by: link}"}


@pytest.fixture
def items(pytestconfig):
    """The address of a server of items, a fifth of whose answers are failures."""
    command = [pytestconfig.getoption("--binary"), "mock-api", "--port", "0", "--pages", str(PAGES), "--rows", str(ROWS), "--fail-rate", "0.2"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent)
    line = server.stderr.readline()
    yield re.search(r"http://\S+", line).group()
    server.terminate()
    assert server.wait(timeout=30) == 143


@pytest.fixture
def node(pytestconfig, items):
    made = Broker("millrace", pytestconfig.getoption("--binary"))
    made.configuration = EXAMPLE.read_text().replace("retry: {", "retry: {retry_after: 50ms, ").replace("base: 500ms", "base: 20ms").replace("every: ${ITEMS_EVERY:-5m}", "")
    made.environment = {"ITEMS_URL": items}
    yield made
    made.stop()
    made.remove()


def ask(node: Broker, method: str, path: str, body: str = "") -> tuple[int, dict]:
    with Connection(node.http) as connection:
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        reply = connection.receive()
    return reply.status, reply.json


def begin(node: Broker) -> str:
    until = time.monotonic() + 60
    while True:
        status, reply = ask(node, "POST", "/v1/pulls/items:run", "{}")
        if status == 202:
            return reply["job_id"]
        assert status == 503 and time.monotonic() < until, reply
        time.sleep(0.1)


def ended(node: Broker, job: str) -> dict:
    until = time.monotonic() + 120
    while True:
        found = ask(node, "GET", f"/v1/jobs/{job}")[1]
        if found["state"] != "running":
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def read(node: Broker) -> list[int]:
    """The ids of all items of the topic, in the order of their places."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "reader", "enable.partition.eof": False})
    found = []
    for partition in consumer.list_topics("items", timeout=30).topics["items"].partitions:
        end = consumer.get_watermark_offsets(TopicPartition("items", partition), timeout=30)[1]
        consumer.assign([TopicPartition("items", partition, 0)])
        count = 0
        while count < end:
            message = consumer.poll(10)
            assert message is not None and not message.error()
            found.append(json.loads(message.value())["id"])
            count += 1
    consumer.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_all_pages_arrive_once_whatever_fails(node, kind):
    node.configuration = node.configuration.replace("{by: page, parameter: page, first: 1}", KINDS[kind])
    node.start()
    job = ended(node, begin(node))
    assert (job["state"], job["accepted"], job["rejected"]) == ("finished", PAGES * ROWS, 0), job
    assert sorted(read(node)) == list(range(1, PAGES * ROWS + 1))


def test_a_run_goes_on_though_the_broker_is_killed(node):
    node.start()
    job, in_the_middle = begin(node), 0
    for _ in range(6):
        time.sleep(0.15)
        found = ask(node, "GET", f"/v1/jobs/{job}")[1]
        in_the_middle += found["state"] == "running" and found["pages"] > 0
        node.kill()
        node.start()
    assert in_the_middle > 0
    found = ended(node, job)
    assert (found["state"], found["accepted"]) == ("finished", PAGES * ROWS), found
    assert sorted(read(node)) == list(range(1, PAGES * ROWS + 1))
