"""One client attacks a broker of its own, others go on beside it, and what that did is judged.

A case is a function that gets a `Stage`: where the broker is, sockets that are closed in the end, and `must` for what the case
asks beyond what is asked of all: nobody else waits, memory stays bounded and is given back, descriptors too, and the broker
serves afterwards, also after a restart."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

from harness import http, wire
from harness.broker import Broker, BrokerFailure, end_with_parent

STALL_SECONDS = 0.5
PEAK_MB = 400
KEPT_MB = 100  # more than before, 5 s later
KEPT_DESCRIPTORS = 100  # other than of files in the data folder, which the broker keeps as it likes
REST_SECONDS = 5.0
# A machine whose own threads wake so much too late says nothing about how long others waited. Nor does, of a produce, a disk that
# takes half as long for a sync of somebody else's 4 KiB, for a produce may wait for a sync that has begun and for its own. The
# broker may have loaded that disk itself, so where nothing else was at fault the case is run again, at most twice. Nor does a
# machine whose processors others use for half or more: what the broker does for who waits then takes several times as long.
MACHINE_SECONDS = 0.2
OTHERS_SHARE = 0.5
TRIES = 3


@dataclasses.dataclass
class Case:
    name: str
    about: str
    attack: collections.abc.Callable[["Stage"], None]
    is_short: bool = True  # runs in tools/test, too
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    descriptors: int | None = None  # the broker's limit
    keeps_connection: bool = False  # of the other client's HTTP requests: where new connections may be refused
    restarts: bool = False
    broker: type[Broker] = Broker


CASES: list[Case] = []


def case(about: str, **options):
    """Registers a case, named by its function."""

    def register(attack):
        CASES.append(Case(attack.__name__.replace("_", "-"), about, attack, **options))
        return attack

    return register


class Stage:
    def __init__(self, broker: Broker, is_short: bool):
        self.broker, self.is_short = broker, is_short
        self.kafka, self.http = broker.bootstrap, broker.http
        self.sockets: list[socket.socket] = []
        self.faults: list[str] = []
        self.notes: list[str] = []

    def size(self, long, short):
        return short if self.is_short else long

    def must(self, is_right: bool, otherwise: str) -> None:
        if not is_right:
            self.faults.append(otherwise)

    def connect(self, address: str | None = None, timeout: float = 30, receive_buffer: int | None = None) -> socket.socket:
        host, port = (address or self.kafka).rsplit(":", 1)
        made = socket.socket()
        self.sockets.append(made)
        if receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.settimeout(timeout)
        made.connect((host, int(port)))
        return made

    def connect_many(self, count: int, address: str | None = None, **options) -> list[socket.socket]:
        """As many as are let in."""
        made = []
        for _ in range(count):
            try:
                made.append(self.connect(address, **options))
            except OSError:
                break
        return made

    def push(self, pieces: list[bytes], connections: int, seconds: float, address: str | None = None, hold: float = 0) -> None:
        """Sends on several connections side by side as long as the broker takes it, and never reads. `hold`: seconds at most for which
        they then stay as they are."""
        end = time.monotonic() + seconds

        def send(connection: socket.socket) -> None:
            connection.settimeout(0.5)
            try:
                for piece in pieces:
                    if time.monotonic() > end:
                        return
                    connection.sendall(piece)
            except OSError:
                pass

        threads = [threading.Thread(target=send, args=(one,)) for one in self.connect_many(connections, address)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(max(0.0, min(hold, end - time.monotonic())))

    @contextlib.contextmanager
    def crowd(self, count: int, turn: collections.abc.Callable[[wire.Connection], None]):
        """Runs `turn` again and again in `count` threads, each with a connection of its own, beside what the case does in the
        block; gives how often each has begun one. A thread whose turn fails meanwhile, or that never came to one, is a fault: a
        case that is left alone by its clients shows nothing."""
        is_over, begun, failures = threading.Event(), [0] * count, []

        def run(number: int) -> None:
            try:
                connection = self.client()
                while not is_over.is_set():
                    begun[number] += 1
                    turn(connection)
            except Exception as failure:  # told below
                # In the end connections are closed while their clients wait.
                if not is_over.is_set():
                    failures.append(repr(failure))

        for number in range(count):
            threading.Thread(target=run, name=f"crowd-{number}", args=(number,), daemon=True).start()
        try:
            yield begun
        finally:
            is_over.set()
        self.must(not failures, f"{len(failures)} of {count} clients beside it failed, the first with {failures[:1]}")
        self.must(all(begun), f"{begun.count(0)} of {count} clients beside it never began")
        self.notes.append(f"{sum(begun)} turns of {count} clients")

    def close_all(self) -> None:
        for one in self.sockets:
            one.close()
        self.sockets.clear()

    # MARK: Kafka

    def client(self, timeout: float = 30) -> wire.Connection:
        made = wire.Connection(self.kafka, timeout=timeout)
        self.sockets.append(made.socket)
        return made

    def create(self, topic: str, partitions: int = 1, **settings) -> None:
        with wire.Connection(self.kafka, timeout=30) as connection:
            code = connection.create_topic(topic, partitions, **settings)
            assert code in (0, 36), f"CreateTopics of {topic}: error {code}"

    def ask(self, api: int, version: int, body: bytes, patience: float = 30) -> int:
        """One request and its whole reply; gives the reply's length. A closed connection or none within `patience` is -1: a
        broker may refuse that way, others are what counts."""
        try:
            connection = self.connect(timeout=patience)
            head = wire.int16(api) + wire.int16(version) + wire.int32(1) + wire.string("attack")
            connection.sendall(wire.int32(len(head) + len(body)) + head)
            connection.sendall(body)
            length = self.drain(connection)
            self.notes.append(f"a reply of {length} bytes")
            return length
        except OSError as failure:
            self.notes.append(type(failure).__name__)
            return -1

    @staticmethod
    def drain(connection: socket.socket) -> int:
        """Reads one Kafka reply; gives its length."""
        head = b""
        while len(head) < 4:
            part = connection.recv(4 - len(head))
            if not part:
                return -1
            head += part
        length = left = struct.unpack(">i", head)[0]
        while left > 0:
            part = connection.recv(min(left, 1 << 20))
            if not part:
                return -1
            left -= len(part)
        return length

    # MARK: HTTP

    def post(self, path: str, body: bytes, *fields: str, patience: float = 30, media: str = "application/json", source: str = "") -> int:
        """The status, 0 without a reply. The reply is read to its end."""
        lines = [f"POST {path} HTTP/1.1", "Host: attack", f"Content-Type: {media}", f"Content-Length: {len(body)}", *fields, "", ""]
        return self.speak("\r\n".join(lines).encode() + body, patience, source)

    def get(self, path: str, patience: float = 30) -> int:
        return self.speak(f"GET {path} HTTP/1.1\r\nHost: attack\r\n\r\n".encode(), patience)

    def speak(self, raw: bytes, patience: float = 30, source: str = "", rest: bytes = b"") -> int:
        """`rest` is sent a moment after `raw`."""
        try:
            connection = http.Connection(self.http, timeout=patience, source=source)
            self.sockets.append(connection.socket)
            connection.send(raw)
            if rest:
                time.sleep(0.01)
                connection.send(rest)
            reply = connection.receive()
            self.notes.append(f"{reply.status} with {len(reply.body)} bytes")
            return reply.status
        except (OSError, http.NoReply, AssertionError) as failure:
            self.notes.append(type(failure).__name__)
            return 0


@dataclasses.dataclass
class Outcome:
    name: str
    stall: dict[str, float]
    machine: float  # how much too late a thread woke, at most
    disk: float  # longest sync of somebody else's file
    others: float  # share of the processors that others have used
    peak: int
    start: int
    kept: int
    descriptors: tuple[int, int]
    serves: bool
    seconds: float
    faults: list[str]
    waits: list[str]  # faults too: that others waited
    notes: list[str]

    def is_excused(self) -> bool:
        """Whether all that is held against the broker may be the machine's doing."""
        if self.faults or not self.waits:
            return False
        return self.machine >= MACHINE_SECONDS or self.others >= OTHERS_SHARE or self.stall["http"] < STALL_SECONDS and 2 * self.disk >= self.stall["kafka"]

    def line(self) -> str:
        verdict = "FAIL: " + "; ".join(self.faults + self.waits) if self.faults or self.waits else "ok"
        return (f"{self.name:26} {self.stall.get('http', -1):6.2f} {self.stall.get('kafka', -1):6.2f} {self.peak:6} {self.start:5} {self.kept:5} "
                f"{self.descriptors[0]:5} {self.descriptors[1]:5} {'yes' if self.serves else 'NO':>6} {self.seconds:5.1f}  {verdict}")


HEADING = (f"{'case':26} {'stall of others, s':>13}   memory in MB         descriptors\n"
           f"{'':26} {'HTTP':>6} {'Kafka':>6} {'peak':>6} {'start':>5} {'after':>5} {'start':>5} {'after':>5} {'serves':>6} {'took':>5}")


def run_case(one: Case, binary: str, is_short: bool) -> Outcome:
    for attempt in range(1, TRIES + 1):
        outcome = _run(one, binary, is_short)
        if attempt == TRIES or not outcome.is_excused():
            return outcome
        print(f"{one.name}: {'; '.join(outcome.waits)}, but a thread of the machine woke {outcome.machine:.2f} s too late, "
              f"a sync took {outcome.disk:.2f} s, and others used {outcome.others:.0%} of the processors; again", flush=True)
    raise AssertionError("unreachable")


def _run(one: Case, binary: str, is_short: bool) -> Outcome:
    began = time.monotonic()
    broker = one.broker("millrace", binary, one.settings)
    if one.descriptors:
        limited = broker.folder / "limited"
        limited.write_text(f'#!/bin/sh\nulimit -n {one.descriptors}\nexec "{binary}" "$@"\n')
        limited.chmod(0o755)
        broker.program = str(limited)
    pinger, faults, seen = None, [], {"http": {"longest": 0}, "kafka": {"longest": 0}, "machine": 0, "disk": 0}
    start = kept = peak = 0
    descriptors, serves = (0, 0), False
    notes: list[str] = []
    others = 0.0
    try:
        broker.start()
        stage = Stage(broker, is_short)
        stage.create("ping")
        pinger = start_pinger(broker, one)
        start, open_at_start = memory(broker, "VmRSS"), count_descriptors(broker)
        processors = Processors()
        try:
            one.attack(stage)
        finally:
            others = processors.used_by_others()
            stage.close_all()
        faults, notes = stage.faults, stage.notes
        # How much stays is looked at when it was given back, or 5 s later.
        deadline = time.monotonic() + REST_SECONDS
        while True:
            kept, after = memory(broker, "VmRSS"), count_descriptors(broker)
            is_given_back = kept <= start + KEPT_MB and after <= open_at_start + KEPT_DESCRIPTORS
            if time.monotonic() > deadline or is_short and is_given_back:
                break
            time.sleep(0.1)
        descriptors, peak = (open_at_start, after), memory(broker, "VmHWM")
        seen = stop_pinger(pinger)
        pinger = None
        serves = check_serves(stage, faults)
        if one.restarts:
            broker.stop()
            broker.start()
            serves = check_serves(stage, faults) and serves
        stage.close_all()
    except (BrokerFailure, OSError, wire.WireError, ValueError, AssertionError) as failure:
        faults.append(f"{type(failure).__name__}: {' '.join(str(failure).split())}"[:300])
        if broker.process is not None and broker.process.poll() is not None:
            faults.append(f"the broker ended with status {broker.process.returncode}")
    finally:
        if pinger is not None:
            pinger.kill()
            pinger.wait()
        broker.remove()
    stall, waits = {edge: seen[edge]["longest"] for edge in ("http", "kafka")}, []
    for edge, longest in stall.items():
        if longest >= STALL_SECONDS:
            why = f" ({seen[edge]['failures']} failures, the last: {seen[edge]['last'][:80]})" if seen[edge].get("failures") else ""
            # Who was refused did not only wait.
            (faults if why else waits).append(f"others waited {longest:.2f} s on the {edge} edge{why}")
    if peak >= PEAK_MB:
        faults.append(f"{peak} MB at the peak")
    if kept > start + KEPT_MB:
        faults.append(f"{kept - start} MB kept")
    if descriptors[1] > descriptors[0] + KEPT_DESCRIPTORS:
        faults.append(f"{descriptors[1] - descriptors[0]} descriptors kept")
    if not serves and not faults:
        faults.append("it does not serve")
    return Outcome(one.name, stall, seen["machine"], seen["disk"], others, peak, start, kept, descriptors, serves, time.monotonic() - began, faults, waits, notes)


class Processors:
    """Tells what of the processors others than this session's programs (the broker, the attacker, the client beside it) use from now on."""

    def __init__(self) -> None:
        self.began, self.before = time.monotonic(), used_by_others()

    def used_by_others(self) -> float:
        """As a share of what all processors could do meanwhile."""
        ticks = (time.monotonic() - self.began) * os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)
        return max(0.0, (used_by_others() - self.before) / ticks)


def used_by_others(proc: pathlib.Path = pathlib.Path("/proc")) -> int:
    """Ticks that the processors have worked for others than this session's programs, since the machine began. Programs that ended are theirs who
    started them once those have asked for it."""
    # Fields of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what another machine took is used, too.
    busy = [int(field) for field in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    ours, session = 0, os.getsid(0)
    for stat in proc.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(") ")[2].split()
            if int(fields[3]) == session:
                ours += sum(int(field) for field in fields[11:15])  # with its children that have ended
    return sum(busy) - busy[3] - busy[4] - ours


def start_pinger(broker: Broker, one: Case) -> subprocess.Popen:
    command = [sys.executable, str(pathlib.Path(__file__).with_name("pinger.py")), broker.bootstrap, broker.http, "ping", str(broker.folder)]
    # The attacker stands for another machine: it must not take the CPU from the client beside it.
    pinger = subprocess.Popen([*command, *(["--keep"] if one.keeps_connection else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent)
    if pinger.stdout.readline() != "ready\n":
        raise BrokerFailure("the client beside the attack did not start")
    return pinger


def stop_pinger(pinger: subprocess.Popen) -> dict:
    found, _ = pinger.communicate(timeout=90)
    return json.loads(found)


def check_serves(stage: Stage, faults: list[str]) -> bool:
    """Both edges take a record and give it back."""
    deadline, failure = time.monotonic() + 5, "nothing was tried"
    while time.monotonic() < deadline:
        try:
            with wire.Connection(stage.kafka, timeout=5) as connection:
                produced = connection.produce("ping", 0, wire.Batch([b"after"]).encode())
                stored = connection.fetch("ping", 0, produced.base_offset)[2] if produced.error == 0 else b""
            status = stage.post("/v1/topics/ping/events", b'{"after":true}', patience=5)
            if stored and status == 201:
                return True
            failure = f"Produce {produced.error}, POST {status}"
        except (OSError, wire.WireError) as problem:
            failure = repr(problem)
        time.sleep(0.2)
    faults.append(f"it does not serve: {failure[:120]}")
    return False


def memory(broker: Broker, kind: str) -> int:
    for line in pathlib.Path(f"/proc/{broker.process.pid}/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) // 1024
    raise BrokerFailure("the broker has ended")


def cpu_seconds(broker: Broker) -> float:
    """What its threads have used, to the nanosecond; those that have ended are not counted."""
    return thread_seconds(pathlib.Path(f"/proc/{broker.process.pid}/task"))


def thread_seconds(tasks: pathlib.Path) -> float:
    used = []
    for thread in tasks.iterdir():
        with contextlib.suppress(FileNotFoundError):
            used.append(int((thread / "schedstat").read_text().split()[0]))
    if not used:
        # A cost of nothing would be within every bound.
        raise BrokerFailure(f"no thread's time can be read in {tasks}")
    return sum(used) / 1e9


def count_descriptors(broker: Broker) -> int:
    """Without the files in its data folder."""
    folder, count = f"/proc/{broker.process.pid}/fd", 0
    for name in os.listdir(folder):
        try:
            count += not os.readlink(f"{folder}/{name}").startswith(str(broker.folder / "data"))
        except FileNotFoundError:
            pass
    return count
