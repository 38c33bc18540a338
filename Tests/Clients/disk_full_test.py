"""tools/disk-full-test runs it. Exits 1 when a promise is broken, 77 when this machine cannot mount a small disk."""

import argparse
import os
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness.broker import Broker, BrokerFailure  # noqa: E402
from harness.disk_full import DiskFullTest  # noqa: E402
from harness.load import Violation  # noqa: E402
from harness.small_disk import NoSmallDisk, SmallDisk  # noqa: E402
from harness.wire import DamagedBatch, WireError  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512, help="size of the disk")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted or started is removed on the way out
    for number in range(options.rounds):
        try:
            disk = SmallDisk(options.mib << 20)
        except NoSmallDisk as reason:
            print(f"SKIPPED: no small disk on this machine: {reason}")
            return 77
        node = Broker("millrace", options.binary, folder=str(disk.folder))
        node.log_path = pathlib.Path(tempfile.mkdtemp(prefix="disk-full-")) / "output.log"
        try:
            DiskFullTest(node, disk, options.seed + number, say=lambda text: print(text, flush=True)).run()
        except (Violation, BrokerFailure, WireError, DamagedBatch) as failure:
            print(f"FAILED with seed {options.seed + number}: {failure}\nThe node's output is {node.log_path}", flush=True)
            return 1
        finally:
            node.remove()
            disk.remove()
    print(f"passed: {options.rounds} rounds, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
