"""The short form of tools/access-change-test."""

import pytest

from conftest import program
from trials.access_change import GuardedBroker, change


def test_no_request_is_decided_by_rules_that_an_acknowledged_change_has_replaced(pytestconfig):
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("Apache Kafka's broker is a moment behind its controller")
    node = GuardedBroker(program(pytestconfig))
    try:
        node.start()
        checked, ended = change(node, 60)
        node.check_alive()
        assert checked >= 30 * 8 and ended == 60
    finally:
        node.remove()
