"""Counts what one request costs the release binary and holds it against committed thresholds. Started by tools/check-counts.

  allocations   calls of malloc and its kin (an interposed library)
  bytes         that they asked for
  syscalls      of the broker's own code: epoll, sockets, files, syncs, wakes (the same library; futexes are not seen)
  instructions, retains, releases   with --instructions: by callgrind

What timing moves is no count, so nothing here depends on it: one event loop, one connection, the next request when the last one
is answered and each read only when it has come whole, and a monotonic clock that stands still while is counted, so that no timer
falls due and no commit looks slow.
Threads that write behind are not counted. What is left of the background falls into some passes and not into others, and only
adds: a count is the least of several passes. Runs on one machine, idle or busy, give the same."""

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
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests/Clients"))

from harness.broker import end_with_parent, free_port  # noqa: E402
from harness.certificates import Certificates  # noqa: E402

import operations  # noqa: E402

# The order is interpose.c's too. Behind them are the place that holds the clock, and that of a turn's bytes.
COUNTERS = ["allocations", "bytes", "epoll_wait", "epoll_ctl", "receive", "send", "pread", "pwrite", "sync", "wake", "other"]
CLOCK_IS_HELD = len(COUNTERS)
TURN_BYTES = CLOCK_IS_HELD + 1
PASSES = 5
# Threads that work behind the requests, when they come round to it. The order of interpose.c's list does not matter.
BACKGROUND = {"maintenance", "cleaner", "window", "alarms"}
# Turns before anything counts: pools are filled then, and averages of measured times have followed the held clock.
WARM_UP = 96


class Page:
    """What is shared with the library inside the broker: its counters, and the schedule that it keeps to."""

    def __init__(self, folder: pathlib.Path):
        self.path = folder / "counts"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)

    def read(self) -> tuple[int, ...]:
        return struct.unpack_from(f"{len(COUNTERS)}Q", self.memory)

    def begin(self, operation: operations.Operation) -> None:
        """From now on only turns of this operation come, each read when it is whole, by a clock that stands still."""
        struct.pack_into("Q", self.memory, 8 * TURN_BYTES, operation.turn_bytes)
        struct.pack_into("Q", self.memory, 8 * CLOCK_IS_HELD, 1)

    def end(self) -> None:
        struct.pack_into("2Q", self.memory, 8 * CLOCK_IS_HELD, 0, 0)


class Broker:
    """The release binary with one event loop, something between it and its libraries, and maybe valgrind around it."""

    def __init__(self, binary: str, folder: pathlib.Path, prefix: list[str], defines: list[str]):
        library, self.page = folder / "interpose.so", Page(folder)
        source = str(pathlib.Path(__file__).with_name("interpose.c"))
        subprocess.run([shutil.which("cc") or "clang", "-O2", "-shared", "-fPIC", *defines, "-o", str(library), source, "-ldl"], check=True)
        self.kafka, self.ssl, self.http, self.https = (f"127.0.0.1:{free_port()}" for _ in range(4))
        certificates = Certificates(folder / "certificates")
        pair, self.authority = certificates.sign("server"), str(certificates.path("authority.pem"))
        configuration = folder / "millrace.yaml"
        configuration.write_text(operations.CONFIGURATION)
        command = [*prefix, binary, "serve", "--config", str(configuration), "--data-dir", str(folder / "data"), "--kafka", f"PLAINTEXT://{self.kafka},SSL://{self.ssl}",
                   "--http", f"http://{self.http},https://{self.https}", "--set", f"ssl.keystore.location={pair}", "--set", "num.network.threads=1",
                   # What nobody has read is in its file, where `fetch` and `fetch-file` find it.
                   "--set", "log.window.memory.percent=0"]
        # No setting of this shell is the broker's.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}
        environment.update(LD_PRELOAD=str(library), COUNTS_FILE=str(self.page.path))
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment, preexec_fn=end_with_parent)
        deadline = time.monotonic() + 120
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("check-counts: the broker did not start:\n" + (folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=30) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        self.page.end()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def send(operation: operations.Operation, turns: int) -> None:
    """One turn is whole before the broker reads it, and the next follows when all of it is answered."""
    for _ in range(turns):
        for bytes in operation.writes:
            operation.socket.sendall(bytes)
        for _ in range(operation.at_once):
            operation.read()


def least(passes: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(one[key] for one in passes) for key in passes[0]}


def passes_left(passes: list[dict[str, float]], usual: int, limits: dict[str, float]) -> bool:
    """Whether to count once more: a count that is above its threshold after the usual passes may be what a busy machine adds to each of
    them, and gets as many again, twice."""
    if len(passes) < usual:
        return True
    return len(passes) < 3 * usual and any(value > limits[key] for key, value in least(passes).items() if key in limits)


def interposed(options: argparse.Namespace, folder: pathlib.Path, limits: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    broker, found = Broker(options.binary, folder, [], []), {}
    page = broker.page
    try:
        if page.read()[0] == 0:
            raise SystemExit("check-counts: the broker's allocations are not seen")
        for operation in operations.all_operations(broker):
            operation.before()
            page.begin(operation)
            send(operation, WARM_UP)
            passes = []
            while passes_left(passes, 2 * PASSES, limits.get(operation.name, {})):
                before = page.read()
                send(operation, options.turns)
                counted = [(after - b) / options.turns / operation.at_once for b, after in zip(before, page.read())]
                passes.append({**dict(zip(COUNTERS, counted)), "syscalls": sum(counted[2:])})
            found[operation.name] = least(passes)
            page.end()
    finally:
        broker.stop()
    return found


def callgrind(options: argparse.Namespace, folder: pathlib.Path, limits: dict[str, dict[str, float]]) -> tuple[dict[str, dict[str, float]], str]:
    """Instructions, retains and releases a request: what the broker did between two dumps, divided. And which CRC ran, for
    instructions can be compared with the same one only."""
    folder = folder / "callgrind"
    folder.mkdir()
    # Valgrind gives up at debug information that is newer than itself; symbols are all that is needed.
    program = str(folder / "millrace")
    subprocess.run(["objcopy", "--strip-debug", options.binary, program], check=True)
    broker = Broker(program, folder, ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/out", "--error-limit=no"], ["-DSCHEDULE_ONLY"])
    found, checksum = {}, "none"

    def control(word: str) -> None:
        subprocess.run(["callgrind_control", word, str(broker.process.pid)], check=True, capture_output=True, timeout=120)

    def dump() -> list[pathlib.Path]:
        """The files of the threads that count: out.DUMP-THREAD, threads numbered as they were made."""
        before = set(folder.glob("out.*-*"))
        control("--dump")
        names = [(task / "comm").read_text().strip() for task in sorted(pathlib.Path(f"/proc/{broker.process.pid}/task").iterdir(), key=lambda task: int(task.name))]
        new = set(folder.glob("out.*-*")) - before
        if not new:
            raise SystemExit("check-counts: callgrind wrote no dump")
        return [path for path in new if names[int(path.name.rsplit("-", 1)[1]) - 1] not in BACKGROUND]

    try:
        for operation in operations.all_operations(broker):
            operation.before()
            broker.page.begin(operation)
            send(operation, min(WARM_UP, operation.counted_turns * 4))
            passes = []
            while passes_left(passes, PASSES, limits.get(operation.name, {})):
                control("--zero")
                send(operation, operation.counted_turns)
                new = dump()
                requests = operation.counted_turns * operation.at_once
                passes.append({key: value / requests for key, value in totals(new).items()})
            found[operation.name] = least(passes)
            broker.page.end()
            if operation.name == "produce-batch":
                checksum = checksum_function(new)
    finally:
        broker.stop()
    return found, checksum


def checksum_function(paths: list[pathlib.Path]) -> str:
    names = {name for path in paths for name in re.findall(r"\) (crc32c_\w+)", path.read_text(errors="replace"))}
    return " ".join(sorted(names)) or "none"


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
    print(f"{'operation':18} {'count':13} {'a request':>12} {'at most':>12}")
    worse, unmeasured = [], []
    for name, limits in thresholds.items():
        for count, limit in limits.items():
            if name not in found or count not in found[name]:
                unmeasured.append(f"{name} {count}")
                continue
            value = found[name][count]
            print(f"{name:18} {count:13} {value:12,.2f} {limit:12,.2f}{'' if value <= limit else '   TOO MANY'}")
            if value > limit:
                worse.append(f"{name}: {value:,.2f} {count} a request, at most {limit:,.2f} are allowed")
    for name in found:
        if name not in thresholds:
            worse.append(f"{name} has no threshold")
    if unmeasured:
        print(f"not measured: {', '.join(sorted({name.split()[1] for name in unmeasured}))}")
    if worse:
        print("\ncheck-counts: a request costs more than Benchmarks/thresholds.json allows:\n  " + "\n  ".join(worse))
        print("If the cost is worth it, raise the threshold in the same change and say why; `tools/check-counts --instructions --renew` writes what is measured now.")
        return 1
    print("\nEvery count is within its threshold.")
    return 0


# Factor and addend: more than ever differed between runs, too little for one allocation or system call more a request, or two
# retains. Instructions differ by the C library's own choice for a processor. Bytes have no threshold: a pool that grows within
# a pass moves them by a factor.
# A reply that is longer than a socket takes at once leaves in pieces, on a busy machine in more of them: a system call or two more.
IN_PIECES = {"fetch-file": 1.5}
SLACK = {"allocations": (1.02, 0.4), "syscalls": (1.02, 0.4), "instructions": (1.08, 200), "retains": (1.02, 1.5), "releases": (1.02, 1.5)}
ABOUT = "Most that one request may cost; tools/check-counts checks it, and --renew writes it. Instructions are with the CRC named here."


def renew(found: dict[str, dict[str, float]], checksum: str, path: pathlib.Path, old: dict) -> None:
    limits = {}
    for name, counts in found.items():
        kept = {count: limit for count, limit in old.get("operations", {}).get(name, {}).items() if count in SLACK and count not in counts}
        limits[name] = {**kept, **{count: round(counts[count] * factor + extra, 1) for count, (factor, extra) in SLACK.items() if count in counts}}
        if name in IN_PIECES:
            limits[name]["syscalls"] = round(limits[name]["syscalls"] + IN_PIECES[name], 1)
    path.write_text(json.dumps({"about": ABOUT, "checksum": checksum or old.get("checksum", "none"), "operations": limits}, indent=2) + "\n")
    print(f"written: {path}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/check-counts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    parser.add_argument("--thresholds", type=pathlib.Path, default=REPOSITORY / "Benchmarks/thresholds.json")
    parser.add_argument("--turns", type=int, default=128, help="of each operation in each of ten passes, for allocations and system calls")
    parser.add_argument("--instructions", action="store_true", help="count instructions, retains and releases too")
    parser.add_argument("--renew", action="store_true", help="write what is measured, with slack, as the new thresholds")
    parser.add_argument("--json", action="store_true", help="print every count as JSON")
    options = parser.parse_args()
    known = json.loads(options.thresholds.read_text()) if options.thresholds.exists() else {}
    checksum = ""
    # What is written anew is the least of the usual passes.
    limits = {} if options.renew else known.get("operations", {})
    with tempfile.TemporaryDirectory(prefix="millrace-counts-") as name:
        folder = pathlib.Path(name)
        found = interposed(options, folder, limits)
        lacking = [program for program in ("valgrind", "objcopy") if not shutil.which(program)]
        if options.instructions and (lacking or platform.machine() != "x86_64"):
            why = f"{' and '.join(lacking)} not installed" if lacking else "the thresholds are for x86-64"
            print(f"skipped: instructions, retains and releases: {why}")
        elif options.instructions:
            counted, checksum = callgrind(options, folder, limits)
            for operation, counts in counted.items():
                if not options.renew and checksum != known.get("checksum"):
                    del counts["instructions"]
                found[operation].update(counts)
            if not options.renew and checksum != known.get("checksum"):
                print(f"skipped: instructions: the thresholds are with {known.get('checksum')}, this processor runs {checksum}")
    if options.json:
        print(json.dumps(found, indent=1))
    if options.renew:
        renew(found, checksum, options.thresholds, known)
        return 0
    return judge(found, known.get("operations", {}))


if __name__ == "__main__":
    sys.exit(main())
