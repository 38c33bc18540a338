"""tools/bit-flip-test runs it. Exits 1 when a flipped bit was served, or hid something that had been acknowledged."""

import argparse
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.bit_flip import BitFlipTest  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted or started is removed on the way out
    test = BitFlipTest(options.binary, options.seed, options.flips, say=lambda text: print(text, flush=True))
    try:
        test.run()
    finally:
        test.remove()
    print(f"{'FAILED' if test.faults else 'passed'}: {options.flips} flips, {len(test.faults)} faults, seed {options.seed}")
    return 1 if test.faults else 0


if __name__ == "__main__":
    sys.exit(main())
