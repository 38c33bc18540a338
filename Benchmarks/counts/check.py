"""Counts what one request costs the release binary and holds it against committed thresholds. Started by tools/check-counts.

Counts, unlike times, are nearly the same on every machine, so a change that makes a request dearer shows at once.

  allocations   calls of malloc and its kin, of all threads (an interposed library)
  bytes         that they asked for
  syscalls      of the broker's own code: epoll, sockets, files, syncs, wakes (the same library; futexes are not seen)
  instructions, retains, releases   with --instructions: by callgrind, where valgrind is installed

Requests are sent 16 at a time in one write, the next 16 when all replies are in, so group commits and loops see the same
load each time."""

from __future__ import annotations

import argparse
import json
import mmap
import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests/Clients"))

from harness.broker import end_with_parent, free_port  # noqa: E402

import operations  # noqa: E402

# The order is interpose.c's too.
COUNTERS = ["allocations", "bytes", "epoll_wait", "epoll_ctl", "receive", "send", "pread", "pwrite", "sync", "wake", "other"]
PIPELINE = 16


class Broker:
    """The release binary as a user starts it, with something between it and its libraries, or under valgrind."""

    def __init__(self, binary: str, folder: pathlib.Path, prefix: list[str], environment: dict[str, str]):
        self.kafka, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        command = [*prefix, binary, "serve", "--data-dir", str(folder / "data"), "--kafka", self.kafka, "--http", self.http]
        # No setting of this shell is the broker's.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**inherited, **environment}, preexec_fn=end_with_parent)
        deadline = time.monotonic() + 120
        while b" is ready " not in (folder / "log").read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("check-counts: the broker did not start:\n" + (folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def send(operation: operations.Operation, requests: int) -> None:
    for _ in range(requests // PIPELINE):
        operation.socket.sendall(operation.request * PIPELINE)
        for _ in range(PIPELINE):
            operation.read()


def interposed(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    library, counts = folder / "interpose.so", folder / "counts"
    subprocess.run([shutil.which("cc") or "clang", "-O2", "-shared", "-fPIC", "-o", str(library), str(pathlib.Path(__file__).with_name("interpose.c")), "-ldl"], check=True)
    counts.write_bytes(bytes(4096))
    found = {}
    with open(counts, "rb") as file, mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ) as page:
        read = lambda: struct.unpack(f"{len(COUNTERS)}Q", page[: 8 * len(COUNTERS)])
        broker = Broker(options.binary, folder, [], {"LD_PRELOAD": str(library), "COUNTS_FILE": str(counts)})
        try:
            if read()[0] == 0:
                raise SystemExit("check-counts: the broker's allocations are not seen")
            for operation in operations.all_operations(broker.kafka, broker.http):
                send(operation, options.requests // 4)
                # The median of three passes: something in the background may fall into one of them.
                passes = []
                for _ in range(3):
                    before = read()
                    send(operation, options.requests)
                    passes.append([(after - b) / options.requests for b, after in zip(before, read())])
                middle = dict(zip(COUNTERS, (sorted(column)[1] for column in zip(*passes))))
                middle["syscalls"] = sum(middle[name] for name in COUNTERS[2:])
                found[operation.name] = middle
        finally:
            broker.stop()
    return found


def callgrind(options: argparse.Namespace, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Instructions, retains and releases a request: what the broker did between two dumps, divided."""
    folder = folder / "callgrind"
    folder.mkdir()
    # Valgrind gives up at debug information that is newer than itself; symbols are all that is needed.
    program = str(folder / "millrace")
    subprocess.run(["objcopy", "--strip-debug", options.binary, program], check=True)
    broker = Broker(program, folder, ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--error-limit=no"], {})
    found = {}
    requests = PIPELINE * 8

    def control(*words: str) -> None:
        subprocess.run(["callgrind_control", *words, str(broker.process.pid)], check=True, capture_output=True, timeout=120)

    try:
        for operation in operations.all_operations(broker.kafka, broker.http):
            send(operation, PIPELINE * 4)
            passes = []
            for _ in range(5):
                control("--zero")
                send(operation, requests)
                dumped = set(folder.glob("out.*"))
                control("--dump")
                new = sorted(set(folder.glob("out.*")) - dumped)
                if not new:
                    raise SystemExit("check-counts: callgrind wrote no dump")
                passes.append({key: value / requests for key, value in totals(new).items()})
            # The least of the passes: what the broker does each second in the background falls into some of them, and only adds.
            found[operation.name] = {key: min(one[key] for one in passes) for key in passes[0]}
    finally:
        broker.stop()
    return found


def totals(paths: list[pathlib.Path]) -> dict[str, int]:
    sums = {"instructions": 0, "retains": 0, "releases": 0}
    kinds = {"swift_retain": "retains", "swift_release": "releases"}
    for path in paths:
        names, called = {}, ""
        for line in path.read_text(errors="replace").splitlines():
            if match := re.match(r"(?:c?fn)=\((\d+)\)(?: (.*))?", line):
                if match[2]:
                    names[match[1]] = match[2]
                if line.startswith("c"):
                    called = names.get(match[1], "")
            elif line.startswith("calls=") and called in kinds:
                sums[kinds[called]] += int(line[6:].split()[0])
            elif line.startswith("totals:"):
                sums["instructions"] += int(line.split()[1])
    return sums


def judge(found: dict[str, dict[str, float]], thresholds: dict[str, dict[str, float]]) -> int:
    print(f"{'operation':14} {'count':13} {'a request':>12} {'at most':>12}")
    worse, unmeasured = [], []
    for name, limits in thresholds.items():
        for count, limit in limits.items():
            if name not in found or count not in found[name]:
                unmeasured.append(f"{name} {count}")
                continue
            value = found[name][count]
            print(f"{name:14} {count:13} {value:12,.2f} {limit:12,.2f}{'' if value <= limit else '   TOO MANY'}")
            if value > limit:
                worse.append(f"{name}: {value:,.2f} {count} a request, at most {limit:,.2f} are allowed")
    for name in found:
        if name not in thresholds:
            worse.append(f"{name} has no threshold")
    if unmeasured:
        print(f"not measured: {', '.join(sorted({name.split()[1] for name in unmeasured}))}")
    if worse:
        print("\ncheck-counts: a request costs more than Benchmarks/thresholds.json allows:\n  " + "\n  ".join(worse))
        print("If the cost is worth it, raise the threshold in the same change and say why; `tools/check-counts --update` writes what is measured now.")
        return 1
    print("\nEvery count is within its threshold.")
    return 0


# Factor and addend: enough for what timing moves between runs, too little for one allocation or system call more a request.
# Bytes have no threshold: a pool that grows within a pass moves them by a factor.
SLACK = {"allocations": (1.05, 0.6), "syscalls": (1.4, 0.3), "instructions": (1.25, 0), "retains": (1.3, 3), "releases": (1.3, 3)}


def update(found: dict[str, dict[str, float]], path: pathlib.Path, old: dict) -> None:
    limits = {}
    for name, counts in found.items():
        kept = {count: limit for count, limit in old.get(name, {}).items() if count in SLACK and count not in counts}
        limits[name] = {**kept, **{count: round(counts[count] * factor + extra, 1) for count, (factor, extra) in SLACK.items() if count in counts}}
    path.write_text(json.dumps({"about": "Most that one request may cost; tools/check-counts checks it. Allocations of all threads, with slack for what the load's timing moves.", "operations": limits}, indent=2) + "\n")
    print(f"written: {path}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/check-counts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    parser.add_argument("--thresholds", type=pathlib.Path, default=REPOSITORY / "Benchmarks/thresholds.json")
    parser.add_argument("--requests", type=int, default=2048, help="of each operation, three times")
    parser.add_argument("--instructions", action="store_true", help="count instructions, retains and releases too")
    parser.add_argument("--update", action="store_true", help="write what is measured, with slack, as the new thresholds")
    parser.add_argument("--json", action="store_true", help="print every count as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-counts-") as name:
        folder = pathlib.Path(name)
        found = interposed(options, folder)
        lacking = [program for program in ("valgrind", "objcopy") if not shutil.which(program)]
        if options.instructions and (lacking or platform.machine() != "x86_64"):
            why = f"{' and '.join(lacking)} not installed" if lacking else "the thresholds are for x86-64"
            print(f"skipped: instructions, retains and releases: {why}")
        elif options.instructions:
            for operation, counts in callgrind(options, folder).items():
                found[operation].update(counts)
    if options.json:
        print(json.dumps(found, indent=1))
    known = json.loads(options.thresholds.read_text())["operations"] if options.thresholds.exists() else {}
    if options.update:
        update(found, options.thresholds, known)
        return 0
    return judge(found, known)


if __name__ == "__main__":
    sys.exit(main())
