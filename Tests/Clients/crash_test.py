"""The long forms of test_crash.py; tools/kill-test and tools/power-off-test run it. Exits 1 when a promise is broken, and
keeps the data folder of a killed node then; 77 when this machine has no way to cut a disk's power."""

import argparse
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.broker import Broker, BrokerFailure  # noqa: E402
from harness.crash import NODE_SETTINGS, CrashTest  # noqa: E402
from harness.load import Damaged, Lost, Violation  # noqa: E402
from harness.power_disk import NoPowerDisk  # noqa: E402
from harness.power_ext4 import Ext4PowerNode, KilledExt4PowerNode  # noqa: E402
from harness.power_node import KilledPowerNode, PowerNode  # noqa: E402
from harness.wire import DamagedBatch, WireError  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
FAILURES = (Violation, BrokerFailure, WireError, DamagedBatch)


def say(text: str) -> None:
    print(text, flush=True)


def kill(options) -> int:
    program = options.binary if options.broker == "millrace" else os.environ["MILLRACE_KAFKA"]
    node = Broker(options.broker, program, NODE_SETTINGS)
    try:
        CrashTest(node, options.seed, options.rounds, say=say).run()
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe data is in {node.folder}")
        node.owns_folder = False
        return 1
    finally:
        node.remove()
    return 0


def power_node(options, unsafe: bool = False) -> PowerNode:
    kinds = {("strict", False): PowerNode, ("strict", True): KilledPowerNode, ("ext4", False): Ext4PowerNode, ("ext4", True): KilledExt4PowerNode}
    return kinds[options.disk, options.kills](options.binary, NODE_SETTINGS, unsafe=unsafe, buffered=options.buffered)


def cut_power(options) -> int:
    if options.broker != "millrace":
        say("the power test runs on millrace alone")
        return 2
    try:
        if not options.no_control and not control(options):
            return 1
        node = power_node(options)
    except NoPowerDisk as reason:
        say(f"SKIPPED: no disk whose power can be cut on this machine: {reason}")
        return SKIPPED
    try:
        CrashTest(node, options.seed, options.rounds, say=say).run()
        counts = node.disk.count()
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe node's output is {node.log_path}")
        return 1
    finally:
        node.remove()
    say("the disk: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items() if name != "frozen"))
    return 0


def control(options) -> bool:
    """The same test on a node that does not sync must find that something acknowledged is lost: is not there, or is refused as
    damaged. Such a node may also notice by itself that something is missing, before a client would, and tell of damage or
    refuse to start; that is counted, and tried again."""
    refusals = 0
    for seed in range(options.seed, options.seed + 10):
        node = power_node(options, unsafe=True)
        try:
            CrashTest(node, seed, 10, say=lambda text: None).run()
        except Lost as loss:
            say(f"control: a node that does not sync is caught: {loss}" + (f" (after {refusals} that told of it first)" if refusals else ""))
            return True
        except Damaged:
            refusals += 1
        except BrokerFailure as failure:
            if "cannot start: " not in str(failure):
                say(f"control: FAILED with seed {seed}: {failure}")
                return False
            refusals += 1
        except FAILURES as failure:
            say(f"control: FAILED with seed {seed}: not a loss, but: {failure}\nThe node's output is {node.log_path}")
            return False
        finally:
            node.remove()
    if refusals == 10:
        say("control: a node that does not sync is caught: each of 10 told of damage itself or refused to start")
        return True
    say(f"control: FAILED with seed {options.seed}: a node that does not sync was not caught")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("death", choices=["kill", "power"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--broker", choices=["millrace", "kafka"], default="millrace")
    parser.add_argument("--disk", choices=["strict", "ext4"], default="strict", help="what the power is cut of")
    parser.add_argument("--kills", action="store_true", help="power: most cuts come after kill -9 and a start")
    parser.add_argument("--buffered", action="store_true", help="power: the disk refuses O_DIRECT")
    parser.add_argument("--no-control", action="store_true", help="power: leave out the node that must be caught")
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted or started is removed on the way out
    result = kill(options) if options.death == "kill" else cut_power(options)
    if result == 0:
        say(f"passed: {options.rounds} rounds, seed {options.seed}")
    return result


if __name__ == "__main__":
    sys.exit(main())
