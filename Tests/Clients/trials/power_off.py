"""Cuts the power of the broker's disk at random moments under mixed load and checks every promise after each cut. First, as a
control, a broker that does not sync must be caught losing something."""

from __future__ import annotations

import sys

from harness.disks.power_disk import NoPowerDisk
from harness.disks.power_ext4 import Ext4PowerNode, KilledExt4PowerNode
from harness.disks.power_node import KilledPowerNode, PowerNode
from trials.command import FAILURES, SKIPPED, parser, remove_on_sigterm, say
from trials.deaths import NODE_SETTINGS, DeathTrial, control


def power_node(options, unsafe: bool = False) -> PowerNode:
    kinds = {("strict", False): PowerNode, ("strict", True): KilledPowerNode, ("ext4", False): Ext4PowerNode, ("ext4", True): KilledExt4PowerNode}
    return kinds[options.disk, options.kills](options.binary, NODE_SETTINGS, unsafe=unsafe, buffered=options.buffered)


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
        if not options.no_control:
            control(lambda: power_node(options, unsafe=True), options.seed, say)
        node = power_node(options)
    except FAILURES as failure:
        say(f"control: FAILED with seed {options.seed}: {failure}")
        return 1
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
