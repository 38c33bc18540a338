"""A disk that hiccups holds up nobody who does not need it. The limits are far from what an idle machine shows, and as far
from what waiting for the disk would take; tools/slow-disk-test measures."""

import threading
import time

import pytest

from conftest import program
from harness import wire
from harness.disks.slow_disk import SlowNode
from harness.loads.probes import Member, probes
from harness.native import NoCompiler

HICCUP_MS = 5000
LIMIT = 2.5


@pytest.fixture
def node(pytestconfig):
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("runs on millrace alone")
    try:
        node = SlowNode(program(pytestconfig))
    except NoCompiler as reason:
        pytest.skip(str(reason))
    yield node.start()
    node.remove()


def fill(node, topic: str, count: int, size: int) -> int:
    with wire.Connection(node.bootstrap) as connection:
        assert connection.create_topic(topic, 1) == 0
        for _ in range(count):
            produced = connection.produce(topic, 0, wire.Batch([bytes(size)]).encode())
            assert produced.error == 0
    return produced.base_offset


def expect_short_waits(running) -> None:
    for probe in running:
        probe.end()
    for probe in running:
        assert probe.failure is None, f"{probe.name}: {probe.failure!r}"
        assert probe.count > 0 and probe.longest < LIMIT, f"{probe.name} waited {probe.longest:.2f} s"


@pytest.mark.control
def test_a_slow_sync_holds_up_only_who_waits_for_it(node):
    last = fill(node, "seen", 20, 100)
    running = probes(node, "seen", last, "watchers")
    for probe in running:
        probe.start()
    node.slow_syncs(HICCUP_MS, every=3_600_000)
    began = time.monotonic()
    with wire.Connection(node.bootstrap, timeout=30) as connection:
        assert connection.produce("seen", 0, wire.Batch([b"slow"]).encode()).error == 0
    assert node.count("slow_syncs") == 1
    # One that did not wait was acknowledged before it was durable.
    assert time.monotonic() - began > HICCUP_MS / 1000 - 0.5
    expect_short_waits(running)


@pytest.mark.control
def test_a_slow_read_holds_up_only_who_waits_for_it(node):
    fill(node, "old", 50, 60_000)
    last = fill(node, "seen", 20, 100)
    running = probes(node, "seen", last, "watchers")
    for probe in running:
        probe.start()
    time.sleep(2.5)  # "old" is written behind and leaves memory
    node.slow_reads(HICCUP_MS)
    found = []

    def read():
        with wire.Connection(node.bootstrap, timeout=60) as connection:
            found.append(connection.fetch("old", 0, 0, max_bytes=100_000, max_wait_ms=0))

    reader = threading.Thread(target=read)
    reader.start()
    while not node.count("slow_reads"):
        assert reader.is_alive() or node.count("slow_reads"), "the records were in memory"
        time.sleep(0.01)
    time.sleep(3)
    expect_short_waits(running)
    node.well()
    reader.join(60)
    assert found and found[0][0] == 0 and found[0][2]


@pytest.mark.control
def test_a_member_whose_heartbeats_stand_behind_a_slow_commit_stays(node):
    fill(node, "seen", 1, 100)
    member = Member(node.bootstrap, "group", session_ms=6000)
    # The oldest heartbeat counts, as a client sends the next one when it has the answer to the last.
    node.slow_syncs(8000, every=3_600_000)
    correlation = member.send_commit("seen", 1)
    member.connection.receive(correlation)
    assert node.count("slow_syncs") == 1
    member.heartbeat()
