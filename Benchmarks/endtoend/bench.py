"""Measures Millrace beside other servers, in turn, in one run. Started by tools/bench, which says more."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import events
import machine
import nodes
import report
import rows as row_table
from clients import ClientFailure, Clients, Sample

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
NODES = {kind.key: kind for kind in (nodes.Millrace, nodes.Kafka, nodes.KafkaSync, nodes.LightspeedSync, nodes.LightspeedDirect, nodes.Nginx)}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options: argparse.Namespace, scratch: pathlib.Path):
        self.options, self.scratch = options, scratch
        environment = os.environ.get
        nginx = shutil.which("nginx") or ("/usr/sbin/nginx" if os.access("/usr/sbin/nginx", os.X_OK) else None)
        kafka, lightspeed = environment("MILLRACE_BENCH_KAFKA"), environment("MILLRACE_BENCH_LIGHTSPEED")
        self.programs = {"millrace": options.binary, "kafka": kafka, "kafka-fsync": kafka, "lightspeed-sync": lightspeed, "lightspeed-direct": lightspeed, "nginx": nginx}
        self.source = events.source(environment("MILLRACE_BENCH_DATA"))
        self.clients = Clients(options.lean, environment("MILLRACE_BENCH_RAWLOAD"), environment("MILLRACE_BENCH_ACKS"), shutil.which("wrk"), self.text(), scratch)
        lines = events.load(self.source)
        (scratch / "events.ndjson").write_text("\n".join(lines) + "\n")
        self.clients.event_lines = str(scratch / "events.ndjson")
        self.clients.one_event, self.clients.hundred_events = lines[0], "[" + ",".join(lines[:100]) + "]"
        self.cache = None if options.no_fill else machine.PageCache(scratch)
        self.samples: dict[str, dict[str, list[Sample]]] = {}
        self.start: dict[str, dict[str, list[float]]] = {}
        self.skipped: dict[str, str] = {}
        self.problems: list[str] = []
        self.rows: list[row_table.Row] = []

    def text(self) -> str | None:
        return str(self.source) if self.source else None

    def missing(self, row: row_table.Row) -> str | None:
        for program in row.needs:
            if getattr(self.clients, program) is None:
                variable = f"MILLRACE_BENCH_{program.upper()} is not set" if program != "wrk" else "wrk is not installed"
                return variable
        return None

    def systems(self, keys: tuple[str, ...]) -> list[str]:
        wanted = self.options.systems
        return [key for key in keys if self.programs[key] and (wanted is None or key in wanted)]

    # MARK: Rows

    def measure(self, row: row_table.Row) -> None:
        missing = self.missing(row)
        if missing:
            self.skipped[row.key] = missing
            return say(f"{row.key}: skipped: {missing}")
        rate = 0.0
        if row.follows_rate:
            peak = self.peak_of_kafka()
            if not peak:
                self.skipped[row.key] = "no rate of Kafka's to take half of (MILLRACE_BENCH_KAFKA)"
                return say(f"{row.key}: skipped: {self.skipped[row.key]}")
            rate = peak / 2
            row.title = f"lean: 1 KiB at {rate:,.0f} records/s, half of Kafka's peak rate"
            row.measure = row_table.lean(1024, rate=rate)
        running = {key: self.node(key, row.partitions) for key in self.systems(row.systems)}
        self.samples[row.key] = {key: [] for key in running}
        self.rows.append(row)
        try:
            for node in running.values():
                node.launch()
            for node in running.values():
                node.wait_ready()
            seconds, lead = self.clients.seconds, self.clients.lead
            for node in running.values():
                say(f"{row.key}: warming {node.label}")
                self.clients.seconds, self.clients.lead = self.options.warm, 0.5
                try:
                    self.warm(row, node)
                finally:
                    self.clients.seconds, self.clients.lead = seconds, lead
            for number in range(1, self.options.rounds + 1):
                for key, node in running.items():
                    self.round(row, number, key, node)
        except (ClientFailure, nodes.NodeFailure, subprocess.TimeoutExpired) as failure:
            self.problems.append(f"{row.key}: {str(failure).strip().splitlines()[-1][:300]}")
            say(f"{row.key}: FAILED: {failure}")
        finally:
            for node in running.values():
                node.remove()

    def node(self, key: str, partitions: int) -> nodes.Node:
        node = NODES[key](self.programs[key], self.scratch)
        if isinstance(node, nodes.Lightspeed):
            node.partitions = partitions
        return node

    def warm(self, row: row_table.Row, node: nodes.Node) -> None:
        if row.fill:
            # What is read later is written here, and read once: both are the warming.
            machine.wait_for_disk(self.scratch, self.options.disk)
            self.clients.create(node, "read", row.partitions)
            self.clients.lean_fill(node, "read", row.fill[1], row.fill[0], row.partitions)
            row.measure(self.clients, row.key, node, "read")
            return
        self.clients.create(node, "warm", row.partitions)
        row.measure(self.clients, row.key, node, "warm")
        self.clients.delete(node, "warm")
        if node.restarts_each_round:
            node.restart_empty()

    def round(self, row: row_table.Row, number: int, key: str, node: nodes.Node) -> None:
        machine.wait_for_disk(self.scratch, self.options.disk)
        topic = "read" if row.fill else f"round-{number}"
        if not row.fill:
            if node.restarts_each_round and number > 1:
                node.restart_empty()
            self.clients.create(node, topic, row.partitions)
        # Reading rows find their files where writing left them, in the page cache, unless they are to come from the disk.
        machine.settle(None if row.fill else self.cache)
        if row.is_cold:
            machine.drop(node.folder)
        sample = row.measure(self.clients, row.key, node, topic)
        self.samples[row.key][key].append(sample)
        per = sample.cpu_per_million if row.cpu == "record" else sample.cpu_per_gigabyte
        say(f"{row.key} {number}: {node.label}: {sample.rate:,.0f} {row.unit}, broker CPU {per or 0:.2f} {'us/record' if row.cpu == 'record' else 's/GB'}" + (f", p99 {sample.p99:.2f} ms" if sample.p99 is not None else ""))
        if not row.fill:
            self.clients.delete(node, topic)

    def peak_of_kafka(self) -> float:
        """Records a second of 1 KiB: from the row L-1k of this run, or measured now."""
        known = self.samples.get("L-1k", {}).get("kafka")
        if not known and self.systems(("kafka",)):
            row = next(row for row in row_table.must_hold(1) if row.key == "L-1k")
            row.systems = ("kafka",)
            self.measure(row)
            known = self.samples["L-1k"]["kafka"]
        return statistics.median(sample.rate for sample in known) * 1e6 / 1024 if known else 0

    def startup(self) -> None:
        """Seconds from exec to the first answer, memory three seconds later, and CPU over ten idle seconds."""
        for number in range(1, self.options.rounds + 1):
            for key in self.systems(row_table.BROKERS):
                node = self.node(key, 1)
                try:
                    seconds = node.start()
                    time.sleep(3)
                    before = node.cpu_seconds()
                    time.sleep(self.options.idle)
                    cells = self.start.setdefault(key, {"seconds": [], "resident": [], "idle": []})
                    cells["seconds"].append(seconds)
                    cells["resident"].append(node.resident_bytes())
                    cells["idle"].append((node.cpu_seconds() - before) / self.options.idle)
                    say(f"start {number}: {node.label}: {seconds:.3f} s, {cells['resident'][-1] / 1e6:.0f} MB, {cells['idle'][-1]:.2%} of a core")
                finally:
                    node.remove()


def versions(bench: Bench) -> dict[str, str]:
    def first(command: list[str]) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            return next((line for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown")
        except OSError:
            return "unknown"

    found = {"Millrace": first([bench.options.binary, "--version"]).removeprefix("millrace ") + ", commit " + first(["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"])}
    launcher = bench.programs["kafka"]
    if launcher:
        jars = sorted((pathlib.Path(launcher).parent / "libs").glob("kafka-clients-*.jar"))
        match = re.search(r"clients-([\d.]+)\.jar", jars[0].name) if jars else None
        found["Apache Kafka"] = match[1] if match else "unknown"
        found["Java"] = first(["java", "-version"])
    if bench.programs["nginx"]:
        found["nginx"] = first([bench.programs["nginx"], "-v"]).removeprefix("nginx version: ")
    found["librdkafka"] = first(["pkg-config", "--modversion", "rdkafka"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench", description=pathlib.Path(REPOSITORY / "tools/bench").read_text().split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every row and the matrix, longer runs")
    parser.add_argument("--rows", help="these rows only, by their keys; * ends a prefix, such as R-* or M-*")
    parser.add_argument("--list", action="store_true", help="show the rows and end")
    parser.add_argument("--systems", help="these servers only: " + ", ".join(NODES))
    parser.add_argument("--rounds", type=int, help="default: 5; 3 in the short form")
    parser.add_argument("--seconds", type=float, help="that count, of each run; default: 5; 2 in the short form")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("bench-results"), help="folder for the table, the plots and the raw figures")
    parser.add_argument("--write-page", action="store_true", help="write the results page of the documentation")
    parser.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()), help="where data folders go")
    parser.add_argument("--no-fill", action="store_true", help="leave free memory as it is")
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    parser.add_argument("--lean", default=str(REPOSITORY / "Benchmarks/.build/release/lean"))
    parser.add_argument("--report-only", type=pathlib.Path, metavar="JSON", help="write table, plots and page anew from raw figures")
    options = parser.parse_args()
    if options.report_only:
        return finish(json.loads(options.report_only.read_text()), options)
    is_short = not options.full and not options.rows
    options.rounds = options.rounds or (3 if is_short else 5)
    seconds = options.seconds or (2 if is_short else 5)
    options.warm, options.idle, options.disk = (3, 5, 12 << 30) if is_short else (8, 10, 16 << 30)
    options.systems = options.systems.split(",") if options.systems else None
    table = row_table.must_hold(0.4 if is_short else 1)
    everything = table + row_table.matrix()
    if options.list:
        print("start      start-up, memory and idle CPU")
        for row in everything:
            print(f"{row.key:10} {row.title}")
        return 0
    if options.rows:
        patterns = options.rows.split(",")
        fits = lambda key: any(key == p or (p.endswith("*") and key.startswith(p[:-1])) for p in patterns)
        if unknown := [p for p in patterns if not any(fits_one(p, row.key) for row in everything) and p != "start"]:
            raise SystemExit(f"bench: no row {', '.join(unknown)}; --list shows them")
        chosen, with_start = [row for row in everything if fits(row.key)], fits("start")
    else:
        chosen = everything if options.full else [row for row in table if row.key in row_table.SHORT]
        with_start = True
    if is_short:
        for row in chosen:
            row.systems = tuple(key for key in row.systems if not key.startswith("lightspeed") or key == "lightspeed-direct" and row.key.startswith("R-"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=options.scratch) as name:
        bench = Bench(options, pathlib.Path(name))
        bench.clients.seconds, bench.clients.lead = seconds, 0.5 if is_short else 1.0
        about = machine.describe(options.scratch)
        try:
            if bench.cache:
                say("filling free memory with clean page cache")
                bench.cache.fill()
            if with_start:
                bench.startup()
            for row in chosen:
                bench.measure(row)
                if row.key not in bench.skipped:
                    write_raw(bench, about, is_short, seconds, began)
        except KeyboardInterrupt:
            bench.problems.append("interrupted")
        raw = write_raw(bench, about, is_short, seconds, began)
        if bench.cache:
            bench.cache.remove()
    return finish(raw, options)


def fits_one(pattern: str, key: str) -> bool:
    return key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1]))


def write_raw(bench: Bench, about: dict, is_short: bool, seconds: float, began: float) -> dict:
    options = bench.options
    raw = {
        "command": " ".join(["tools/bench", *map(shlex.quote, sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "took_s": round(time.monotonic() - began),
        "form": "short" if is_short else "full",
        "rounds": options.rounds, "seconds": seconds, "warm_s": options.warm,
        "text": bench.source.name if bench.source else "generated JSON",
        "machine": about, "versions": versions(bench),
        "start": bench.start, "skipped": bench.skipped, "problems": bench.problems,
        "rows": [
            {"key": row.key, "title": row.title, "unit": row.unit, "cpu": row.cpu, "command": bench.clients.said.get(row.key, ""),
             "targets": [dataclasses.asdict(target) for target in row.targets],
             "samples": {key: [dataclasses.asdict(sample) for sample in samples] for key, samples in bench.samples[row.key].items()}}
            for row in bench.rows if any(bench.samples[row.key].values())
        ],
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "results.json").write_text(json.dumps(raw, indent=1) + "\n")
    return raw


def finish(raw: dict, options: argparse.Namespace) -> int:
    options.results.mkdir(parents=True, exist_ok=True)
    text = report.write(raw, options.results, "")
    print(text)
    say(f"Written to {options.results}: results.md, results.json and the plots.")
    if options.write_page:
        page = REPOSITORY / "Benchmarks/Benchmarks.docc"
        report.write(raw, page, "page")
        say(f"Written: {page / 'Results.md'}")
    return 1 if raw["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
