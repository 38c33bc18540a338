"""The measuring clients, the same for every server. Each returns a Sample of what one run of a client saw, with the server's
CPU time over the counted seconds."""

from __future__ import annotations

import dataclasses
import gzip
import json
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable

from nodes import CSV_PATH, Node


PROGRAMS = str(pathlib.Path(__file__).parent) + "/"


class ClientFailure(Exception):
    pass


@dataclasses.dataclass
class Sample:
    """`rate` is in the row's unit; `gigabytes` and `millions` are what was done a second, for the CPU's share."""

    rate: float
    cpu_per_second: float
    gigabytes_per_second: float
    millions_per_second: float
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    resident: int = 0
    order: int = 0  # which of the orders of servers it was measured in (Bench.orders)

    @property
    def cpu_per_gigabyte(self) -> float | None:
        return self.cpu_per_second / self.gigabytes_per_second if self.gigabytes_per_second else None

    @property
    def cpu_per_million(self) -> float | None:
        return self.cpu_per_second / self.millions_per_second if self.millions_per_second else None


def run(command: list[str], seconds: float = 180) -> dict:
    """A client that prints one line of JSON and counts the server's CPU itself, or is not counted."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise ClientFailure(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"[:2000])
    return json.loads(done.stdout.strip().splitlines()[-1])


def last_line(out: str) -> dict:
    return json.loads(out.strip().splitlines()[-1])


def of_h2load(out: str) -> dict:
    """What h2load prints of its main phase, in words."""
    rate = re.search(r"finished in [\d.]+s, ([\d.]+) req/s", out)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    if not rate or not counts or "Application protocol: h2" not in out:
        raise ClientFailure(f"h2load says: {out}"[:2000])
    return {"rate": float(rate[1]), "requests": int(counts[1]), "bad": sum(int(count) for count in counts.groups()[1:])}


def run_beside(node: Node, command: list[str], lead: float, read: Callable[[str], dict] = last_line) -> tuple[dict, float]:
    """Runs a client that does not count the server's CPU; that time a second, from `lead` seconds on, is added. `read`: what it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(lead)
    before, began = node.cpu_seconds(), time.monotonic()
    try:
        out, error = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ClientFailure(f"{' '.join(command)} did not end within 180 s") from None
    cpu = (node.cpu_seconds() - before) / (time.monotonic() - began)
    if process.returncode:
        raise ClientFailure(f"{' '.join(command)} ended with {process.returncode}: {out}{error}"[:2000])
    return read(out), cpu


class Clients:
    """Where the programs are, and how long a run counts."""

    def __init__(self, lean: str, rawload: str | None, acks: str | None, wrk: str | None, h2load: str | None, java: str | None, text: str | None, scratch: pathlib.Path):
        self.lean, self.rawload, self.acks, self.wrk, self.h2load, self.java, self.text, self.scratch = lean, rawload, acks, wrk, h2load, java, text, scratch
        self.seconds, self.lead = 5.0, 1.0
        self.said: dict[str, str] = {}  # the newest command of each row, for the page
        self.one_event: dict[str, str] = {}  # by the kind of events, as the two below
        self.hundred_events: dict[str, str] = {}
        self.event_lines: dict[str, str] = {}
        self.csv_lines = ""
        self.packed_lines: tuple[str, int, int] = ("", 0, 0)  # a file, its events, and their bytes unpacked

    def take_events(self, kind: str, lines: list[str]) -> None:
        path = self.scratch / f"{kind}.ndjson"
        path.write_text("\n".join(lines) + "\n")
        self.one_event[kind], self.hundred_events[kind], self.event_lines[kind] = lines[0], "[" + ",".join(lines[:100]) + "]", str(path)

    def take_bodies(self, rows: list[str], lines: list[str], body: int) -> None:
        """What the rows of CSV and of packed bodies post: lines of cells, and one body of about so many bytes by gzip."""
        path = self.scratch / "flat.csv"
        path.write_text("\n".join(rows) + "\n")
        self.csv_lines = str(path)
        events: list[str] = []
        size = 0
        while size < body:
            events.append(lines[len(events) % len(lines)])
            size += len(events[-1].encode()) + 1
        packed = self.scratch / "flat.ndjson.gz"
        packed.write_bytes(gzip.compress(("\n".join(events) + "\n").encode(), 6))
        self.packed_lines = (str(packed), len(events), size)

    def create(self, node: Node, topic: str, partitions: int) -> None:
        if node.has_topics:
            run([self.lean, "create", *node.client_options, "-b", node.bootstrap, "-t", topic, "-p", str(partitions)])

    def delete(self, node: Node, topic: str) -> None:
        if node.has_topics:
            run([self.lean, "delete", *node.client_options, "-b", node.bootstrap, "-t", topic])

    def note(self, row: str, node: Node, command: list[str], topic: str) -> None:
        words = [pathlib.Path(command[0]).name, *command[1:]]
        places = {node.bootstrap: "HOST:PORT", node.http: "HOST:PORT", topic: "TOPIC", str(node.process.pid): "PID", self.text or "": "TEXT"}
        self.said[row] = " ".join(places.get(word, word.replace(node.http, "HOST:PORT").replace(node.url.split("//")[1], "HOST:PORT").replace(str(self.scratch) + "/", "").replace(PROGRAMS, "").replace(topic, "TOPIC")) for word in words)

    # MARK: rawload and acks

    def rawload_produce(self, row: str, node: Node, topic: str, connections: int, inflight: int, records: int, partitions: int, size: int) -> Sample:
        command = [self.rawload, "produce", "-b", node.bootstrap, "-t", topic, "-p", str(partitions), "-n", str(connections), "-f", str(inflight), "-r", str(records),
                   "-s", str(size), "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}"]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, self.lead)
        return self.of_rawload(node, values, cpu, values["MB_per_s"] if records > 1 else values["requests_per_s"])

    def rawload_fetch(self, row: str, node: Node, topic: str, connections: int, size: int) -> Sample:
        command = [self.rawload, "fetch", "-b", node.bootstrap, "-t", topic, "-n", str(connections), "-m", str(size), "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}"]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, self.lead)
        return self.of_rawload(node, values, cpu, values["MB_per_s"])

    def of_rawload(self, node: Node, values: dict, cpu: float, rate: float) -> Sample:
        if values["errors"] or values["error_code"]:
            raise ClientFailure(f"rawload on {node.label}: {values}")
        return Sample(rate, cpu, values["MB_per_s"] / 1000, values["msgs_per_s"] / 1e6, values["p50_ms"], values["p99_ms"], values["p999_ms"], node.resident_bytes())

    def ready_made(self, row: str, node: Node, topic: str) -> Sample:
        sealed = ["--authority", node.authority] if node.authority else []
        command = [sys.executable, str(pathlib.Path(__file__).with_name("ready_made.py")), "-b", node.bootstrap, "-t", topic, *sealed, "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}"]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, self.lead)
        return self.of_rawload(node, values, cpu, values["MB_per_s"])

    def closed_loop(self, row: str, node: Node, topic: str, clients: int, partitions: int) -> Sample:
        command = [self.acks, "-b", node.bootstrap, "-t", topic, "-n", str(clients), "-s", "1024", "-d", f"{self.seconds:g}", "-p", str(partitions), *(["-spread"] if partitions > 1 else [])]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, 0)
        if values["errors"]:
            raise ClientFailure(f"acks on {node.label}: {values}")
        rate = values["acks_per_s"]
        return Sample(rate, cpu, rate * 1024 / 1e9, rate / 1e6, values["p50_ms"], values["p99_ms"], values["p999_ms"], node.resident_bytes())

    # MARK: lean

    def payload(self) -> list[str]:
        return ["-f", self.text] if self.text else []

    def lean_produce(self, row: str, node: Node, topic: str, size: int, *, codec: str = "none", acks: str = "all", partitions: int = 1, producers: int = 1,
                     idempotent: bool = False, rate: float = 0, unit: str = "MB/s", transactions: str = "") -> Sample:
        """`transactions`: they are committed after so many records ("100"), or milliseconds ("100ms"); the waits are those of commits."""
        command = [self.lean, "produce", *node.client_options, "-b", node.bootstrap, "-t", topic, "-s", str(size), "-c", codec, "-a", acks, "-p", str(partitions), "-n", str(producers),
                   "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}", *self.payload(), *(["-i"] if idempotent else []), *(["-T", transactions] if transactions else []), *(["-R", f"{rate:.0f}"] if rate else []), "-P", str(node.pid)]
        self.note(row, node, command, topic)
        values = run(command)
        # Flat out, a wait is mostly the client's own queue and says nothing of the broker.
        waits = (values["p50_ms"], values["p99_ms"], values["p999_ms"]) if rate or transactions else (None, None, None)
        return self.of_lean(node, values, unit, waits)

    def lean_fill(self, node: Node, topic: str, size: int, records: int, partitions: int = 1, transactions: str = "") -> None:
        run([self.lean, "produce", *node.client_options, "-b", node.bootstrap, "-t", topic, "-s", str(size), "-m", str(records), "-p", str(partitions), *(["-T", transactions] if transactions else []), *self.payload()])

    def lean_consume(self, row: str, node: Node, topic: str, records: int, *, partitions: int = 1, consumers: int = 1, unit: str = "MB/s", isolation: str = "") -> Sample:
        """`isolation`: "read_uncommitted"; librdkafka's default is read_committed."""
        command = [self.lean, "consume", *node.client_options, *(["-x", f"isolation.level={isolation}"] if isolation else []), "-b", node.bootstrap, "-t", topic, "-m", str(records), "-p", str(partitions), "-n", str(consumers), "-P", str(node.pid)]
        self.note(row, node, command, topic)
        return self.of_lean(node, run(command), unit, (None, None, None))

    def of_lean(self, node: Node, values: dict, unit: str, waits: tuple) -> Sample:
        rate = values["MB_per_s"] if unit == "MB/s" else values["records_per_s"]
        return Sample(rate, values["broker_cpu_s"] / values["seconds"], values["MB_per_s"] / 1000, values["records_per_s"] / 1e6, *waits, node.resident_bytes())

    def lean_follow(self, row: str, node: Node, topic: str) -> Sample:
        """A reader at the end of what a producer writes meanwhile, flat out; what the reader got counts, from the producer's start
        on, and both cost the server."""
        # As many as a quick run takes: the rate decides how long it lasts.
        records = max(10_000, round(300_000 * self.seconds))
        reader = self.lean_reader(node, topic, records)
        return self.beside(row, node, topic, reader, self.lean_writer(node, topic, records), reader_waits=0)

    def lean_behind(self, row: str, node: Node, topic: str, seconds: float, rate: int) -> Sample:
        """A reader that begins so many seconds after a producer of `rate` records a second, catches up, and follows to the end; what
        the reader got counts, and both cost the server from the reader's start on."""
        records = round(rate * (seconds + self.seconds))
        writer = [*self.lean_writer(node, topic, records), "-R", str(rate)]
        return self.beside(row, node, topic, self.lean_reader(node, topic, records), writer, reader_waits=seconds)

    def lean_reader(self, node: Node, topic: str, records: int) -> list[str]:
        return [self.lean, "consume", *node.client_options, "-b", node.bootstrap, "-t", topic, "-m", str(records), "-P", str(node.pid)]

    def lean_writer(self, node: Node, topic: str, records: int) -> list[str]:
        return [self.lean, "produce", *node.client_options, "-b", node.bootstrap, "-t", topic, "-s", "1024", "-m", str(records), "-p", "1", *self.payload()]

    def beside(self, row: str, node: Node, topic: str, reader: list[str], writer: list[str], reader_waits: float) -> Sample:
        """A reader and a writer at a time, the reader first or so many seconds later; what the reader saw."""
        running: list[subprocess.Popen] = []

        def start(command: list[str]) -> None:
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

        try:
            start(writer if reader_waits else reader)
            time.sleep(reader_waits)
            start(reader if reader_waits else writer)
            ended = [process.communicate(timeout=180) for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
        for process, (out, error) in zip(running, ended):
            if process.returncode:
                raise ClientFailure(f"{' '.join(process.args)} ended with {process.returncode}: {out}{error}"[:2000])
        self.note(row, node, reader, topic)
        read = self.said[row]
        self.note(row, node, writer, topic)
        self.said[row] = f"{read} beside {self.said[row]}" + (f", {reader_waits:g} s later" if reader_waits else "")
        return self.of_lean(node, json.loads(ended[1 if reader_waits else 0][0].strip().splitlines()[-1]), "MB/s", (None, None, None))

    # MARK: SQS

    def sqs_send(self, row: str, node: Node, queue: str, connections: int, size: int) -> Sample:
        command = [self.lean, "sqs-send", "-b", node.http, "-t", queue, "-n", str(connections), "-s", str(size), "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}", *self.payload(), "-P", str(node.pid)]
        return self.of_sqs(row, node, command, queue, size)

    def sqs_drain(self, row: str, node: Node, queue: str, connections: int, size: int, each: int) -> Sample:
        """Receives and deletes what was sent before: `each` messages of every connection."""
        words = ["-b", node.http, "-t", queue, "-n", str(connections)]
        run([self.lean, "sqs-send", *words, "-s", str(size), "-m", str(each), *self.payload()])
        return self.of_sqs(row, node, [self.lean, "sqs-drain", *words, "-m", str(connections * each), "-P", str(node.pid)], queue, size)

    def of_sqs(self, row: str, node: Node, command: list[str], queue: str, size: int) -> Sample:
        self.note(row, node, command, queue)
        values = run(command)
        run([self.lean, "sqs-delete", "-b", node.http, "-t", queue])
        rate = values["messages_per_s"]
        return Sample(rate, values["broker_cpu_s"] / values["seconds"], rate * size / 1e9, rate / 1e6, values["p50_ms"], values["p99_ms"], values["p999_ms"], node.resident_bytes())

    # MARK: Kafka's own perf tools

    def tool(self, command: list[str], node: Node) -> tuple[str, float]:
        """What it printed, and the server's CPU seconds meanwhile."""
        before = node.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if done.returncode:
            raise ClientFailure(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"[:2000])
        return done.stdout, node.cpu_seconds() - before

    def java_produce(self, row: str, node: Node, topic: str, size: int, rate: int) -> Sample:
        """`rate` is a guess at the records a second, so that a run takes about as long as the other rows'."""
        records = round(rate * self.seconds)
        command = [self.java, "producer-perf-test", "--bootstrap-server", node.bootstrap, "--topic", topic, "--num-records", str(records), "--record-size", str(size), "--throughput", "-1",
                   "--command-property", "acks=all", "linger.ms=5", "batch.size=131072", "buffer.memory=67108864"]
        self.note(row, node, command, topic)
        out, cpu = self.tool(command, node)
        found = re.search(r"([\d.]+) records/sec", out.strip().splitlines()[-1])
        if not found:
            raise ClientFailure(f"producer-perf-test on {node.label}: {out}"[:2000])
        return self.of_java(node, float(found[1]), records, size, cpu)

    def java_consume(self, row: str, node: Node, topic: str, records: int, size: int) -> Sample:
        command = [self.java, "consumer-perf-test", "--bootstrap-server", node.bootstrap, "--topic", topic, "--num-records", str(records), "--timeout", "30000"]
        self.note(row, node, command, topic)
        out, cpu = self.tool(command, node)
        lines = [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.count(",") >= 9]
        values = dict(zip(*lines[-2:])) if len(lines) > 1 else {}
        if "fetch.nMsg.sec" not in values:
            raise ClientFailure(f"consumer-perf-test on {node.label}: {out}"[:2000])
        # The fetch time leaves out joining the group, which takes seconds on some brokers and says nothing of throughput.
        return self.of_java(node, float(values["fetch.nMsg.sec"]), records, size, cpu)

    def of_java(self, node: Node, rate: float, records: int, size: int, cpu: float) -> Sample:
        return Sample(rate * size / 1e6, cpu / (records / rate), rate * size / 1e9, rate / 1e6, resident=node.resident_bytes())

    # MARK: HTTP

    def http_posts(self, row: str, node: Node, topic: str, body: str, events: int) -> Sample:
        script = self.scratch / f"{row}.lua"
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in node.http_fields) +
            f"wrk.body = [==[{body}]==]\n"
            "function done(summary, latency, requests)\n"
            "  local e = summary.errors\n"
            '  io.write(string.format(\'{"requests": %d, "us": %d, "bad": %d, "p50": %d, "p99": %d, "p999": %d}\\n\', summary.requests, summary.duration,\n'
            "    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))\n"
            "end\n")
        command = [self.wrk, "-t1", "-c64", f"-d{max(1, round(self.seconds))}s", "-s", str(script), f"{node.url}/v1/topics/{topic}/events"]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, 0)
        if values["bad"]:
            raise ClientFailure(f"wrk on {node.label}: {values}")
        rate = values["requests"] / values["us"] * 1e6
        return Sample(rate, cpu, rate * len(body.encode()) / 1e9, rate * events / 1e6, values["p50"] / 1e3, values["p99"] / 1e3, values["p999"] / 1e3, node.resident_bytes())

    def http2_posts(self, row: str, node: Node, topic: str, body: str, events: int) -> Sample:
        """As `http_posts`, by HTTP/2: 64 connections, a stream at a time on each."""
        event, log = self.scratch / f"{row}.json", self.scratch / f"{row}.log"
        event.write_text(body)
        log.unlink(missing_ok=True)
        fields = [word for name, value in node.http_fields for word in ("-H", f"{name}: {value}")]
        command = [self.h2load, "-t1", "-c64", "-m1", f"--duration={max(1, round(self.seconds))}", f"--warm-up-time={max(1, round(self.lead))}", f"--log-file={log}",
                   "-H", "Content-Type: application/json", *fields, "-d", str(event), f"{node.url}/v1/topics/{topic}/events"]
        self.note(row, node, command, topic)
        values, cpu = run_beside(node, command, max(1, round(self.lead)), of_h2load)
        lines = [line.split("\t") for line in log.read_text().splitlines()]
        # Requests that the end of the time has cut off have the status 0: one a connection at most.
        cut = sum(status == "0" for _, status, _ in lines)
        if values["bad"] or not values["requests"] or cut > 64 or any(status != "0" and not status.startswith("2") for _, status, _ in lines):
            raise ClientFailure(f"h2load on {node.label}: {values}, {cut} cut off, {sorted({status for _, status, _ in lines})}")
        waits = sorted(int(took) for _, status, took in lines if status != "0")
        part = lambda share: waits[min(len(waits) - 1, int(len(waits) * share))] / 1e3
        rate = values["rate"]
        return Sample(rate, cpu, rate * len(body.encode()) / 1e9, rate * events / 1e6, part(0.5), part(0.99), part(0.999), node.resident_bytes())

    def http_stream(self, row: str, node: Node, topic: str, lines: str, connections: int, body: int, path: str = "", more: tuple[str, ...] = ()) -> Sample:
        command = [self.lean, "http-stream", "-b", node.http, "-u", path or f"/v1/topics/{topic}/events", "-n", str(connections), "-B", str(body), "-f", lines, *more,
                   "-d", f"{self.seconds:g}", "-w", f"{self.lead:g}", "-P", str(node.pid)]
        self.note(row, node, command, topic)
        values = run(command)
        return Sample(values["MB_per_s"], values["broker_cpu_s"] / values["seconds"], values["MB_per_s"] / 1000, values["events_per_s"] / 1e6,
                      values["p50_ms"], values["p99_ms"], values["p999_ms"], node.resident_bytes())

    def http_csv(self, row: str, node: Node, topic: str, connections: int, body: int) -> Sample:
        return self.http_stream(row, node, topic, self.csv_lines, connections, body, CSV_PATH, ("-M", "text/csv"))

    def http_packed(self, row: str, node: Node, topic: str, connections: int) -> Sample:
        """The rate is that of the text that comes out of the bodies."""
        path, events, size = self.packed_lines
        return self.http_stream(row, node, topic, path, connections, size, more=("-C", "gzip", "-W", f"{events},{size}"))
