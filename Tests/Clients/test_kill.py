"""The short form of tools/kill-test."""

import pytest

from conftest import program
from harness.broker import Broker
from harness.kill import KillTest


@pytest.mark.control
@pytest.mark.timeout(900)
def test_killed_at_random_moments_under_load(pytestconfig, seed):
    node = Broker(pytestconfig.getoption("--broker"), program(pytestconfig))
    try:
        KillTest(node, seed, pytestconfig.getoption("--rounds")).run()
    finally:
        node.remove()
