"""The short form of tools/idempotency-test."""

import pytest

from conftest import program
from trials.idempotency import idempotent_node, run


@pytest.mark.timeout(300)
def test_no_event_with_a_key_is_lost_or_repeated_by_kills(pytestconfig, seed):
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("Apache Kafka has no HTTP")
    node = idempotent_node(program(pytestconfig))
    try:
        run(node, seed, pytestconfig.getoption("--rounds"))
    finally:
        node.remove()
