"""Cuts the power of the broker's disk at random moments under mixed load and checks every promise after each cut. First, as a
control, a broker that does not sync must be caught losing something."""

from __future__ import annotations

import sys

from harness.broker import BrokerFailure
from harness.disks.power_disk import NoPowerDisk
from harness.disks.power_ext4 import Ext4PowerNode, KilledExt4PowerNode
from harness.disks.power_node import KilledPowerNode, PowerNode
from harness.loads.writers import Damaged, Lost
from trials.command import FAILURES, SKIPPED, parser, remove_on_sigterm, say
from trials.deaths import NODE_SETTINGS, DeathTrial

CONTROL_TRIES = 10


def power_node(options, unsafe: bool = False) -> PowerNode:
    kinds = {("strict", False): PowerNode, ("strict", True): KilledPowerNode, ("ext4", False): Ext4PowerNode, ("ext4", True): KilledExt4PowerNode}
    return kinds[options.disk, options.kills](options.binary, NODE_SETTINGS, unsafe=unsafe, buffered=options.buffered)


def control(options) -> bool:
    """The same trial on a node that does not sync must find that something acknowledged is lost: is not there, or is refused as
    damaged. Such a node may also notice by itself that something is missing, before a client would, and tell of damage or
    refuse to start; that is counted, and tried again."""
    refusals = 0
    for seed in range(options.seed, options.seed + CONTROL_TRIES):
        node = power_node(options, unsafe=True)
        try:
            DeathTrial(node, seed, 10, say=lambda text: None).run()
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
    if refusals == CONTROL_TRIES:
        say(f"control: a node that does not sync is caught: each of {CONTROL_TRIES} told of damage itself or refused to start")
        return True
    say(f"control: FAILED with seed {options.seed}: a node that does not sync was not caught")
    return False


def main() -> int:
    arguments = parser("power-off-test", __doc__, seeded=True)
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--disk", choices=["strict", "ext4"], default="strict", help="what the power is cut of")
    arguments.add_argument("--kills", action="store_true", help="most cuts come after kill -9 and a start")
    arguments.add_argument("--buffered", action="store_true", help="the disk refuses O_DIRECT")
    arguments.add_argument("--no-control", action="store_true", help="leave out the node that must be caught")
    options = arguments.parse_args()
    remove_on_sigterm()
    try:
        if not options.no_control and not control(options):
            return 1
        node = power_node(options)
    except NoPowerDisk as reason:
        say(f"SKIPPED: no disk whose power can be cut on this machine: {reason}")
        return SKIPPED
    try:
        DeathTrial(node, options.seed, options.rounds, say=say).run()
        counts = node.disk.count()
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe node's output is {node.log_path}")
        return 1
    finally:
        node.remove()
    say("the disk: " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items() if name != "frozen"))
    say(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
