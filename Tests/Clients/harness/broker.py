"""A broker process under a test's control: Millrace itself, or Apache Kafka to check the test against."""

from __future__ import annotations

import ctypes
import itertools
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from . import wire

START_SECONDS = {"millrace": 15, "kafka": 60}
STOP_SECONDS = {"millrace": 5, "kafka": 40}

# The same on both, where both have it. Short waits keep the suite short; what they hide is not under test.
SETTINGS = {
    "auto.create.topics.enable": "true",
    "num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
}

DAMAGE = ("millrace_storage_quarantined_partitions", "millrace_storage_partitions_refusing_appends")


class BrokerFailure(Exception):
    """The broker did not start, did not stop in time, or ended on its own."""


def _server_ports() -> Iterator[int]:
    """Every second port, from a random one on and around again, below the range that the kernel takes the ports of outgoing
    connections from: a port in that range is free when it is looked for, and a client's when the server starts."""
    lowest_of_kernel = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(10_000, lowest_of_kernel if lowest_of_kernel >= 20_000 else 65_535, 2)
    first = random.SystemRandom().randrange(len(ports))
    return itertools.cycle([*ports[first:], *ports[:first]])


_ports = _server_ports()


def free_port() -> int:
    """A free TCP port, and the next one free as well: Apache Kafka's controller takes it. Neither comes again before all others
    have: two ports asked for before either is bound are never the same."""
    for port in _ports:
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
                return port
        except OSError:
            continue
    raise AssertionError("the ports are a cycle")


def environment_without_ours() -> dict[str, str]:
    """MILLRACE_ variables are configuration to the binary: what a test starts gets none but its own."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}


def end_with_parent() -> None:
    """A test run that is itself killed must not leave its nodes behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Broker:
    """One node. `kind` is "millrace" or "kafka"; `program` is the binary, or the launcher of a Kafka distribution."""

    death = "kill -9"
    rests = False  # clients send nothing for a while before most deaths
    produced_partitions: int | None = None  # of trials/deaths.py: fewer than it has by itself
    configuration: str | None = None  # text of its file

    def __init__(self, kind: str, program: str, settings: dict[str, str] | None = None, folder: str | None = None):
        self.kind, self.program = kind, program
        self.settings = {**SETTINGS, **(settings or {})}
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix=f"clients-{kind}-"))
        self.owns_folder = folder is None
        self.kafka_port, self.http_port = free_port(), free_port()
        self.process: subprocess.Popen | None = None
        self.log_path = self.folder / "output.log"
        self.environment: dict[str, str] = {}  # beside its settings

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.kafka_port}"

    @property
    def http(self) -> str | None:
        return f"127.0.0.1:{self.http_port}" if self.kind == "millrace" else None

    def addresses(self) -> list[str]:
        """The options of `millrace serve` that say where it listens."""
        return ["--kafka", self.bootstrap, "--http", f"127.0.0.1:{self.http_port}"]

    def start(self, wait: bool = True, commits: bool = True) -> "Broker":
        """`commits`: waits until records are taken; else, as on a full disk, until clients are answered."""
        assert self.process is None
        if self.kind == "millrace":
            command = [self.program, "serve", "--data-dir", str(self.folder / "data"), *self.addresses()]
            if self.configuration:
                file = self.folder / "millrace.yaml"
                file.write_text(self.configuration)
                command += ["--config", str(file)]
            for key, value in self.settings.items():
                command += ["--set", f"{key}={value}"]
        else:
            command = [self.program, "start", str(self.folder), str(self.kafka_port), *(f"{k}={v}" for k, v in self.settings.items())]
        environment = {"KAFKA_HEAP": "-Xmx512m -Xms256m", **environment_without_ours(), **self.environment}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=end_with_parent)
        if wait:
            self.wait_ready(commits=commits)
        return self

    def wait_ready(self, limit: float | None = None, commits: bool = True) -> float:
        """Seconds until clients are served: 200 on /readyz, or a Metadata reply that names a broker."""
        began = time.monotonic()
        limit = limit or START_SECONDS[self.kind]
        while time.monotonic() - began < limit:
            if self.process.poll() is not None:
                raise BrokerFailure(f"{self.kind} ended with status {self.process.returncode} at start:\n{self.log_tail()}")
            if self.is_ready(commits):
                return time.monotonic() - began
            time.sleep(0.02)
        raise BrokerFailure(f"{self.kind} was not ready after {limit} s:\n{self.log_tail()}")

    def is_ready(self, commits: bool = True) -> bool:
        try:
            if self.kind == "millrace" and commits:
                with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=2) as reply:
                    return reply.status == 200
            with wire.Connection(self.bootstrap, timeout=2) as connection:
                return bool(connection.metadata([]).brokers)
        except (OSError, wire.WireError, urllib.error.URLError):
            return False

    def stop(self) -> float:
        """Ends the node in order; returns the seconds that took. Anything but status 0 in time is a failure."""
        process, self.process = self.process, None
        if process is None:
            return 0
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_SECONDS[self.kind])
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BrokerFailure(f"{self.kind} did not end within {STOP_SECONDS[self.kind]} s of SIGTERM:\n{self.log_tail()}") from None
        expected = (0,) if self.kind == "millrace" else (0, 143)  # a JVM reports the signal
        if status not in expected:
            raise BrokerFailure(f"{self.kind} ended with status {status} on SIGTERM:\n{self.log_tail()}")
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is not None:
                raise BrokerFailure(f"{self.kind} had ended on its own with status {process.returncode}:\n{self.log_tail()}")
            process.kill()
            process.wait()

    def die(self, chance: random.Random) -> str:
        """Ends without warning; says how."""
        self.kill()
        return "killed"

    def die_at_start(self, chance: random.Random) -> str:
        time.sleep(chance.uniform(0, 0.15 if self.kind == "millrace" else 3))
        self.kill()
        return "killed in recovery"

    def remove(self) -> None:
        """Ends the node however it is, and deletes its data."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def check_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            raise BrokerFailure(f"{self.kind} is not running:\n{self.log_tail()}")

    def resident_bytes(self) -> int:
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BrokerFailure("no VmRSS")

    def damage(self) -> dict[str, int]:
        """What Millrace's metrics tell of damage: partitions with a quarantined range, and those whose end is closed."""
        if self.kind != "millrace":
            return {}
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as reply:
            lines = [line.rsplit(" ", 1) for line in reply.read().decode().splitlines() if not line.startswith("#")]
        return {name: int(value) for name, value in lines if name in DAMAGE and value != "0"}

    def log_tail(self, size: int = 4000) -> str:
        return self.log_path.read_text(errors="replace")[-size:] if self.log_path.exists() else ""


class ExternalBroker:
    """A node that somebody else runs: tests that restart it are skipped."""

    def __init__(self, kind: str, bootstrap: str, http: str | None):
        self.kind, self.bootstrap, self.http = kind, bootstrap, http

    def check_alive(self) -> None:
        with wire.Connection(self.bootstrap, timeout=5) as connection:
            connection.metadata([])
