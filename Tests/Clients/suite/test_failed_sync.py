"""A sync that fails: the kernel may have dropped what it could not write, so nothing is retried, and nothing is acknowledged."""

import pytest

from conftest import program
from harness import http, wire
from harness.disks.power_disk import NoPowerDisk
from harness.disks.power_node import PowerNode

STORAGE_ERROR = 56


@pytest.fixture
def node(pytestconfig):
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("runs on millrace alone")
    try:
        node = PowerNode(program(pytestconfig))
    except NoPowerDisk as reason:
        pytest.skip(f"no disk that can fail on this machine: {reason}")
    yield node.start()
    node.remove()


def produce(node, value: bytes) -> int:
    with wire.Connection(node.bootstrap) as connection:
        return connection.produce("t", 0, wire.Batch([value]).encode()).error


def stored(node) -> list[bytes]:
    with wire.Connection(node.bootstrap) as connection:
        return [value for _, _, value in wire.stored_records(connection.fetch_all("t", 0)[1])]


@pytest.mark.control
def test_a_failed_sync_takes_the_node_offline_until_it_is_started_again(node):
    with wire.Connection(node.bootstrap) as connection:
        assert connection.create_topic("t", 1) == 0
    for n in range(20):
        assert produce(node, b"before %d" % n) == 0
    node.disk.sicken()
    # Whether this one is on the disk is not known, so it is refused, and may be there after the restart or not.
    assert produce(node, b"during") == STORAGE_ERROR
    # The disk is well again, but what the kernel dropped stays dropped.
    node.disk.sicken(False)
    for n in range(3):
        assert produce(node, b"after %d" % n) == STORAGE_ERROR
    assert http.call(node.http, "POST", "/v1/topics/t/events", b"{}", "application/json").status in (503, 507)
    assert http.call(node.http, "GET", "/readyz").status == 503
    assert http.call(node.http, "GET", "/healthz").status == 200
    assert stored(node)[:20] == [b"before %d" % n for n in range(20)]
    node.kill()
    node.disk.cut(keeping="nothing")
    node.start()
    found = stored(node)
    assert found[:20] == [b"before %d" % n for n in range(20)] and found[20:] in ([], [b"during"])
    assert produce(node, b"again") == 0
