"""The short forms of tools/bit-flip-test and tools/disk-full-test."""

import pathlib

import pytest

from conftest import program
from harness.broker import Broker
from harness.disks.small_disk import NoSmallDisk, SmallDisk
from trials.bit_flip import BitFlipTrial
from trials.disk_full import DiskFullTrial


@pytest.fixture
def millrace(pytestconfig) -> str:
    if pytestconfig.getoption("--broker") != "millrace":
        pytest.skip("runs on millrace alone")
    return program(pytestconfig)


@pytest.mark.control
@pytest.mark.timeout(300)
def test_a_flipped_bit_is_never_served_and_never_hides_anything(millrace, seed):
    test = BitFlipTrial(millrace, seed, 60)
    try:
        test.run()
    finally:
        test.remove()
    assert not test.faults


@pytest.mark.control
@pytest.mark.timeout(300)
def test_a_full_disk_refuses_records_and_recovers_by_itself(millrace, seed, tmp_path):
    try:
        disk = SmallDisk(512 << 20)
    except NoSmallDisk as reason:
        pytest.skip(f"no small disk on this machine: {reason}")
    node = Broker("millrace", millrace, folder=str(disk.folder))
    node.log_path = pathlib.Path(tmp_path) / "output.log"
    try:
        DiskFullTrial(node, disk, seed).run()
    finally:
        node.remove()
        disk.remove()
