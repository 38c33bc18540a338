"""The long form of test_kill.py; tools/kill-test runs it. Exits 1 when a promise is broken, and keeps the data folder then."""

import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.broker import Broker, BrokerFailure  # noqa: E402
from harness.kill import KillTest, Violation  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--broker", choices=["millrace", "kafka"], default="millrace")
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    options = parser.parse_args()
    program = options.binary if options.broker == "millrace" else os.environ["MILLRACE_KAFKA"]
    node = Broker(options.broker, program)
    try:
        KillTest(node, options.seed, options.rounds, say=lambda text: print(text, flush=True)).run()
    except (Violation, BrokerFailure) as failure:
        print(f"FAILED with seed {options.seed}: {failure}\nThe data is in {node.folder}", flush=True)
        node.owns_folder = False
        return 1
    finally:
        node.remove()
    print(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
