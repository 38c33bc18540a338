"""The short forms of tools/kill-test and tools/power-off-test."""

import types

import pytest

from conftest import program
from harness.broker import Broker, BrokerFailure
from harness.disks.power_disk import NoPowerDisk
from harness.disks.power_node import KilledPowerNode, PowerNode
from harness.loads.writers import Damaged, Lost, Violation
from trials import deaths
from trials.deaths import CONTROL_TRIES, NODE_SETTINGS, DeathTrial, control


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
    control(lambda: power_node(pytestconfig, unsafe=True), seed)


class Ended:
    """A trial that ends with the next of `outcomes`, of a node that was not started."""

    outcomes: list[Exception | None] = []

    def __init__(self, *arguments, **options):
        pass

    def run(self):
        if outcome := self.outcomes.pop(0):
            raise outcome

    def remove(self):
        pass


REFUSED = BrokerFailure("it ended at start: cannot start: a segment is missing")


@pytest.mark.parametrize(("outcomes", "is_caught"), [
    ([Damaged("told"), REFUSED, None, Lost("not there")], True),
    ([Damaged("told")] * CONTROL_TRIES, False),
    ([REFUSED] * CONTROL_TRIES, False),
    ([None] * CONTROL_TRIES, False),
    ([Violation("a record is there twice")], False),
    ([BrokerFailure("it ended with status 132")], False),
], ids=["a-loss", "told", "refused", "nothing", "another-promise", "ended"])
def test_only_a_loss_that_the_trial_finds_passes_its_control(monkeypatch, outcomes, is_caught):
    monkeypatch.setattr(deaths, "DeathTrial", Ended)
    monkeypatch.setattr(Ended, "outcomes", [*outcomes])
    if is_caught:
        return control(Ended, 1)
    with pytest.raises((Violation, BrokerFailure)):
        control(Ended, 1)


SEQUENCE = "bulk-0: KafkaError{FATAL,code=OUT_OF_ORDER_SEQUENCE_NUMBER}"


@pytest.mark.parametrize(("problems", "kind"), [
    ([SEQUENCE], Lost), ([SEQUENCE, SEQUENCE], Lost), ([SEQUENCE, "bulk-1: a record was given up"], Violation), (["a record was given up"], Violation),
])
def test_a_batch_that_does_not_follow_the_log_tells_of_a_loss(problems, kind):
    trial = DeathTrial(None, 1, 1)
    trial.loads = [types.SimpleNamespace(problems=problems)]
    with pytest.raises(Violation) as found:
        trial._raise_problems()
    assert found.type is kind
