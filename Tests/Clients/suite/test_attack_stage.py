"""What an attack is judged by must not come out well where nothing was measured."""

import os
import subprocess
import sys
import threading
import time

import pytest

from conftest import REPOSITORY, program
from harness.broker import Broker, BrokerFailure
from trials.attack.stage import Outcome, Stage, thread_seconds, used_by_others


class FakeStage(Stage):
    """Its clients connect to nobody."""

    def client(self, timeout: float = 30):
        return None


@pytest.fixture
def stage():
    node = Broker("millrace", "not started")
    yield FakeStage(node, True)
    node.remove()


def test_clients_beside_a_case_that_go_on_are_no_fault(stage):
    all_began = threading.Barrier(4)
    with stage.crowd(3, lambda connection: all_began.wait(10)) as begun:
        all_began.wait(10)
    assert all(begun) and not stage.faults


def test_a_client_beside_a_case_that_fails_is_a_fault_of_it(stage):
    failed = threading.Event()

    def turn(connection):
        failed.set()
        raise OSError("closed")

    with stage.crowd(1, turn):
        assert failed.wait(10)
        # The thread ends once it has told of its failure.
        for thread in threading.enumerate():
            if thread.name.startswith("crowd"):
                thread.join(10)
    assert len(stage.faults) == 1 and "closed" in stage.faults[0]


def test_a_client_that_never_came_to_its_turn_is_a_fault(stage, monkeypatch):
    waits = threading.Event()
    monkeypatch.setattr(stage, "client", lambda: waits.wait(10))
    with stage.crowd(2, lambda connection: None):
        pass
    waits.set()
    assert stage.faults == ["2 of 2 clients beside it never began"]


def test_time_that_cannot_be_read_is_not_none_used(tmp_path):
    (tmp_path / "17").mkdir()
    with pytest.raises(BrokerFailure):
        thread_seconds(tmp_path)
    (tmp_path / "17/schedstat").write_text("1500000000 0 1\n")
    assert thread_seconds(tmp_path) == 1.5


def outcome(http: float, kafka: float, machine: float = 0, disk: float = 0, others: float = 0, faults: list[str] = []) -> Outcome:
    waits = [edge for edge, longest in (("http", http), ("kafka", kafka)) if longest >= 0.5]
    return Outcome("a-case", {"http": http, "kafka": kafka}, machine, disk, others, 0, 0, 0, (0, 0), True, 1.0, faults, waits, [])


def test_a_disk_excuses_only_a_produce_that_waited_about_as_long():
    assert outcome(0.1, 1.4, disk=0.8).is_excused()
    assert not outcome(0.1, 1.4, disk=0.3).is_excused()
    assert not outcome(0.6, 1.4, disk=0.8).is_excused()
    assert not outcome(0.1, 0.1, disk=0.8).is_excused()


def test_a_machine_that_stands_still_excuses_waits_alone():
    assert outcome(0.6, 0.6, machine=0.3).is_excused()
    assert not outcome(0.6, 0.6, machine=0.1).is_excused()
    assert not outcome(0.6, 0.6, machine=0.3, disk=2, faults=["the broker ended with status 134"]).is_excused()


def test_a_machine_that_others_use_excuses_waits_alone():
    assert outcome(0.6, 0.6, others=0.6).is_excused()
    assert not outcome(0.6, 0.6, others=0.4).is_excused()
    assert not outcome(0.6, 0.6, others=0.9, faults=["500 MB at the peak"]).is_excused()


def test_what_this_session_uses_is_not_others(tmp_path):
    """Its processes, and their children that have ended; what another machine took is used by others."""
    (tmp_path / "stat").write_text("cpu  100 20 30 7000 800 4 5 6 999 999\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    session = os.getsid(0)
    for process, of_session, ticks in ((7, session, "10 2 30 4"), (8, session + 1, "500 500 0 0")):
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "stat").write_text(f"{process} (a) b) S 1 {process} {of_session} 0 -1 0 0 0 0 0 {ticks} 20 0 1 0 0\n")
    assert used_by_others(tmp_path) == 100 + 20 + 30 + 4 + 5 + 6 - (10 + 2 + 30 + 4)


@pytest.mark.control
def test_an_attack_that_is_ended_removes_its_broker(pytestconfig, tmp_path):
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("attacks run on millrace alone")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "Tests/Clients"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "trials.attack", "--binary", program(pytestconfig), "idle-connections"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as attack:
        deadline = time.monotonic() + 20
        while not any(tmp_path.glob("*/data")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert any(tmp_path.glob("*/data")), "it has started no broker"
        attack.terminate()
        assert attack.wait(20) == 143
    assert not list(tmp_path.iterdir())
