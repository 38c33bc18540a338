"""The short forms of tools/kill-test and tools/power-off-test."""

import pytest

from conftest import program
from harness.broker import Broker, BrokerFailure
from harness.disks.power_disk import NoPowerDisk
from harness.disks.power_node import KilledPowerNode, PowerNode
from harness.loads.writers import Damaged, Lost
from trials.deaths import NODE_SETTINGS, DeathTrial


@pytest.mark.control
@pytest.mark.timeout(900)
def test_killed_at_random_moments_under_load(pytestconfig, seed):
    node = Broker(pytestconfig.getoption("--broker"), program(pytestconfig), NODE_SETTINGS)
    try:
        DeathTrial(node, seed, pytestconfig.getoption("--rounds")).run()
    finally:
        node.remove()


def power_node(config, kind=PowerNode, **settings) -> PowerNode:
    if config.getoption("--broker") != "millrace":
        pytest.skip("the power test runs on millrace alone")
    try:
        return kind(program(config), NODE_SETTINGS, **settings)
    except NoPowerDisk as reason:
        pytest.skip(f"no disk whose power can be cut on this machine: {reason}")


@pytest.mark.control
@pytest.mark.timeout(300)
def test_power_cut_at_random_moments_under_load(pytestconfig, seed):
    node = power_node(pytestconfig)
    try:
        DeathTrial(node, seed, 4).run()
    finally:
        node.remove()


@pytest.mark.control
@pytest.mark.timeout(300)
def test_power_cut_soon_after_a_kill_and_a_start(pytestconfig, seed):
    node = power_node(pytestconfig, KilledPowerNode, buffered=seed % 2 == 0)
    try:
        DeathTrial(node, seed, 4).run()
    finally:
        node.remove()


@pytest.mark.control
@pytest.mark.timeout(300)
def test_a_node_that_does_not_sync_is_caught_by_the_power_cut(pytestconfig, seed):
    for attempt in range(10):
        node = power_node(pytestconfig, unsafe=True)
        try:
            DeathTrial(node, seed + attempt, 30).run()
        except Lost as loss:
            print(f"caught: {loss}")
            return
        except Damaged:
            # It noticed by itself that records are missing. That is right, too, but not what is tested here.
            continue
        except BrokerFailure as failure:
            assert "cannot start: " in str(failure)
        finally:
            node.remove()
    pytest.fail("a node that does not sync was not caught")
