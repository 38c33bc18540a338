"""Share groups (KIP-932): Apache Kafka's own share consumers read together, and its tools see, move and delete their group."""

import os
import subprocess
import uuid

import pytest

from conftest import create_topic

RECORDS = 400

pytestmark = pytest.mark.skipif("MILLRACE_KAFKA" not in os.environ, reason="MILLRACE_KAFKA is not set: no clients of Apache Kafka")


def start(*words: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [os.environ["MILLRACE_KAFKA"], *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "KAFKA_LOG": "error"}, **options)


def run(*words: str, given: str | None = None) -> str:
    tool = start(*words)
    out, err = tool.communicate(given, timeout=120)
    assert tool.returncode == 0, out + err
    return out


def test_share_consumers_read_together_and_tools_see_them(new_broker):
    node = new_broker()
    at = ("--bootstrap-server", node.bootstrap)
    group, topic = f"sharers-{uuid.uuid4().hex[:8]}", f"shared-{uuid.uuid4().hex[:8]}"
    create_topic(node.bootstrap, topic, 2)
    run("configs", *at, "--alter", "--entity-type", "groups", "--entity-name", group, "--add-config", "share.auto.offset.reset=earliest")
    run("console-producer", *at, "--topic", topic, given="".join(f"value {number}\n" for number in range(RECORDS)))

    # Two of them, until nothing has come for a while: each record to one, whichever it is.
    members = [start("console-share-consumer", *at, "--topic", topic, "--group", group, "--timeout-ms", "15000") for _ in range(2)]
    read = [line for member in members for line in member.communicate(timeout=120)[0].splitlines()]
    assert sorted(read) == sorted(f"value {number}" for number in range(RECORDS))

    described = run("share-groups", *at, "--describe", "--group", group)
    rows = [line.split() for line in described.splitlines() if topic in line]
    assert len(rows) == 2 and sum(int(row[3]) for row in rows) == RECORDS and all(row[4] == "0" for row in rows), described
    assert "Empty" in run("share-groups", *at, "--describe", "--group", group, "--state")
    assert group in run("share-groups", *at, "--list")
    run("share-groups", *at, "--group", group, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")
    again = run("console-share-consumer", *at, "--topic", topic, "--group", group, "--max-messages", str(RECORDS), "--timeout-ms", "60000")
    assert len(again.splitlines()) == RECORDS
    run("share-groups", *at, "--group", group, "--delete")
    assert group not in run("share-groups", *at, "--list")
