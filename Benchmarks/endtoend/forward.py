"""How fast a forwarder empties a queue that was filled before: into a topic of the broker itself, and of Apache Kafka.

    python3 Benchmarks/endtoend/forward.py [--messages 1000000] [--rounds 3] [--kafka LAUNCHER]

Each round has servers of its own. The time is from the signal by which the forwarder's configuration is read until all messages are counted
as forwarded; the CPU time is the forwarding broker's over it, the memory the most that it had, with the filling of the queue.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

from nodes import Kafka, Millrace

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MESSAGE_BYTES, PARTITIONS = 200, 2
WARM_RECORDS = 500_000
LIMIT_SECONDS = 300


class Source(Millrace):
    key, label = "source", "Millrace"
    queues = f"queues: {{jobs: {{partitions: {PARTITIONS}}}}}\ntopics: {{out: {{partitions: {PARTITIONS}}}}}\n"

    def launch(self) -> None:
        self.configuration = self.folder.parent / "source.yaml"
        self.configuration.write_text(self.queues)
        super().launch()

    def command(self) -> list[str]:
        return [*super().command(), "--config", str(self.configuration)]

    def forward(self, to: Kafka | None) -> None:
        cluster = f', cluster: {{bootstrap: "{to.bootstrap}"}}' if to else ""
        self.configuration.write_text(self.queues + f"forwarders: {{jobs: {{from: jobs, to: out{cluster}}}}}\n")
        self.process.send_signal(signal.SIGHUP)

    def forwarded(self) -> int:
        if self.process.poll() is not None:
            raise SystemExit(f"the broker has ended with {self.process.returncode}")
        page = urllib.request.urlopen(f"http://{self.http}/metrics", timeout=30).read().decode()
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in page.splitlines() if line.startswith("millrace_forwarder_records_total{"))

    def most_resident_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def produce(lean: str, bootstrap: str, topic: str, messages: int) -> None:
    subprocess.run(
        [lean, "produce", "-b", bootstrap, "-t", topic, "-s", str(MESSAGE_BYTES), "-c", "none", "-a", "all", "-p", str(PARTITIONS), "-n", "1", "-m", str(messages), "-d", "120", "-w", "0"],
        check=True, stdout=subprocess.DEVNULL)


def measure(options: argparse.Namespace, folder: pathlib.Path, kafka: str | None) -> tuple[float, float, int]:
    """Messages a second, microseconds of CPU a message, bytes of memory."""
    source, there = Source(options.binary, folder), Kafka(kafka, folder) if kafka else None
    try:
        if there:
            there.start()
            for topic in ("out", "warm"):
                subprocess.run([kafka, "topics", "--bootstrap-server", there.bootstrap, "--create", "--topic", topic, "--partitions", str(PARTITIONS)], check=True, stdout=subprocess.DEVNULL)
            produce(options.lean, there.bootstrap, "warm", WARM_RECORDS)
        source.start()
        produce(options.lean, source.bootstrap, "q.jobs", options.messages)
        os.sync()
        began, cpu = time.monotonic(), source.cpu_seconds()
        source.forward(there)
        while source.forwarded() < options.messages:
            if time.monotonic() - began > LIMIT_SECONDS:
                raise SystemExit(f"{source.forwarded()} of {options.messages} messages in {LIMIT_SECONDS} s")
            time.sleep(0.05)
        seconds = time.monotonic() - began
        return options.messages / seconds, (source.cpu_seconds() - cpu) / options.messages * 1e6, source.most_resident_bytes()
    finally:
        source.remove()
        if there:
            there.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    parser.add_argument("--lean", default=str(REPOSITORY / "Benchmarks/.build/release/lean"))
    parser.add_argument("--kafka", default=os.environ.get("MILLRACE_KAFKA"), help="the launcher of Apache Kafka; without it that row is left out")
    options = parser.parse_args()
    print("| destination | messages/s | CPU, us a message | memory, MB |\n| --- | --- | --- | --- |")
    for label, kafka in (("a topic of the broker", None), ("Apache Kafka", options.kafka)):
        if label == "Apache Kafka" and not kafka:
            continue
        found = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(options, pathlib.Path(folder), kafka))
        rates = [rate for rate, _, _ in found]
        print(
            f"| {label} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) | {statistics.median(cpu for _, cpu, _ in found):.2f} "
            f"| {statistics.median(size for _, _, size in found) / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
