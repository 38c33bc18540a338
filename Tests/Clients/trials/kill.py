"""Kills the broker with kill -9 at random moments under mixed load and checks every promise after each kill. Keeps the data
folder of the node that broke one. `--broker kafka` runs Apache Kafka, to check the trial."""

from __future__ import annotations

import sys

from harness.broker import Broker
from trials.command import FAILURES, SKIPPED, kafka_launcher, parser, remove_on_sigterm, say
from trials.deaths import NODE_SETTINGS, DeathTrial


def main() -> int:
    arguments = parser("kill-test", __doc__, seeded=True)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--broker", choices=["millrace", "kafka"], default="millrace")
    options = arguments.parse_args()
    remove_on_sigterm()
    program = options.binary if options.broker == "millrace" else kafka_launcher()
    if not program:
        return SKIPPED
    node = Broker(options.broker, program, NODE_SETTINGS)
    try:
        DeathTrial(node, options.seed, options.rounds, say=say).run()
    except FAILURES as failure:
        say(f"FAILED with seed {options.seed}: {failure}\nThe data is in {node.folder}")
        node.owns_folder = False
        return 1
    finally:
        node.remove()
    say(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
