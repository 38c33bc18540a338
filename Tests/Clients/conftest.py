"""Options and fixtures of the client suite.

    pytest Tests/Clients                                  against .build/release/millrace, started here
    pytest Tests/Clients --broker kafka                   against Apache Kafka (MILLRACE_KAFKA), to check the tests
    pytest Tests/Clients --bootstrap HOST:PORT [--http HOST:PORT]   against a node that runs already
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import wire  # noqa: E402
from harness.broker import Broker, ExternalBroker  # noqa: E402
from harness.clients.named import clients_of  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    group = parser.getgroup("broker under test")
    group.addoption("--broker", choices=["millrace", "kafka"], default="millrace", help="what to start (default: millrace)")
    group.addoption("--binary", default=str(REPOSITORY / ".build/release/millrace"), help="the millrace binary")
    group.addoption("--bootstrap", help="HOST:PORT of a running node; nothing is started")
    group.addoption("--http", help="HOST:PORT of that node's gateway")
    group.addoption("--seed", type=int, help="seed of the random tests (default: a new one, printed)")
    group.addoption("--rounds", type=int, default=5, help="rounds of the kill test")


def pytest_configure(config):
    config.addinivalue_line("markers", "gateway: needs the HTTP gateway, which Apache Kafka has not")
    config.addinivalue_line("markers", "control: restarts or kills the node, so it must be one of ours")
    config.addinivalue_line("markers", "client(name, ...): the clients that a case is about, where its text does not say (harness/clients/named.py)")
    # What nohup or a shell's background made this process ignore, every program that it starts would ignore, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    seed = config.getoption("--seed")
    config.seed = seed if seed is not None else int.from_bytes(os.urandom(4), "big")


def pytest_report_header(config):
    return f"broker: {config.getoption('--bootstrap') or config.getoption('--broker')}, seed: {config.seed}"


def pytest_collection_modifyitems(config, items):
    for item in items:
        # They come into the JUnit file, where tools/conformance finds them.
        item.user_properties += [("client", name) for name in clients_of(item)]
        if item.get_closest_marker("gateway") and not has_gateway(config):
            item.add_marker(pytest.mark.skip(reason="no gateway: the broker under test is Apache Kafka, or --http is not given"))
        if item.get_closest_marker("control") and config.getoption("--bootstrap"):
            item.add_marker(pytest.mark.skip(reason="--bootstrap names a node that is not ours to restart"))


def has_gateway(config) -> bool:
    if config.getoption("--bootstrap"):
        return bool(config.getoption("--http"))
    return config.getoption("--broker") == "millrace"


def program(config) -> str:
    if config.getoption("--broker") == "kafka":
        launcher = os.environ.get("MILLRACE_KAFKA")
        if not launcher:
            pytest.exit("--broker kafka needs MILLRACE_KAFKA, the launcher of a Kafka distribution", 2)
        return launcher
    binary = config.getoption("--binary")
    if not os.access(binary, os.X_OK):
        pytest.exit(f"{binary} is not there: swift build -c release", 2)
    return binary


@pytest.fixture(scope="session")
def broker(pytestconfig):
    """The node that most tests share."""
    if pytestconfig.getoption("--bootstrap"):
        yield ExternalBroker(pytestconfig.getoption("--broker"), pytestconfig.getoption("--bootstrap"), pytestconfig.getoption("--http"))
        return
    node = Broker(pytestconfig.getoption("--broker"), program(pytestconfig))
    try:
        yield node.start()
        node.check_alive()
        node.stop()
    finally:
        node.remove()


@pytest.fixture
def new_broker(pytestconfig):
    """Makes nodes that a test may restart and kill; they are removed afterwards."""
    nodes = []

    def make(**settings) -> Broker:
        node = Broker(pytestconfig.getoption("--broker"), program(pytestconfig), {k.replace("_", "."): str(v) for k, v in settings.items()})
        nodes.append(node)
        return node.start()

    yield make
    for node in nodes:
        node.remove()


@pytest.fixture(autouse=True)
def broker_lives(request):
    """Whatever a test did, the shared node must have survived it."""
    yield
    if "broker" in request.fixturenames:
        request.getfixturevalue("broker").check_alive()


def create_topic(bootstrap: str, name: str, partitions: int = 1, **configs) -> str:
    from confluent_kafka.admin import AdminClient, NewTopic

    config = {k.replace("_", "."): str(v) for k, v in configs.items()}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=config)], operation_timeout=10)[name].result(20)
    with wire.Connection(bootstrap) as connection:
        # Apache Kafka's reply comes a moment before every partition has its leader.
        for partition in range(partitions):
            deadline = time.monotonic() + 10
            while connection.list_offset(name, partition, -1)[0] and time.monotonic() < deadline:
                time.sleep(0.02)
    return name


@pytest.fixture
def new_topic(broker, request):
    """Creates topics with names of their own: `new_topic(partitions=2, retention_ms=1000)`."""

    def make(partitions: int = 1, **configs) -> str:
        name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60]
        return create_topic(broker.bootstrap, f"{name}-{uuid.uuid4().hex[:8]}", partitions, **configs)

    return make


@pytest.fixture
def seed(pytestconfig):
    return pytestconfig.seed


@pytest.fixture(scope="session")
def sample_data():
    """The folder of real sample data, when the environment names one."""
    folder = os.environ.get("MILLRACE_DATA")
    if not folder:
        pytest.skip("MILLRACE_DATA is not set: no real sample data")
    return pathlib.Path(folder)
