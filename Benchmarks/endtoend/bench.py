"""Measures Millrace beside other servers, in turn, in one run. Started by tools/bench, which says more."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
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
import results
import rows as row_table
from clients import ClientFailure, Clients, Sample

REPOSITORY = results.REPOSITORY
NODES = {kind.key: kind for kind in (nodes.Millrace, nodes.MillraceRoutes, nodes.MillraceTLS, nodes.MillraceKey, nodes.MillraceToken, nodes.MillraceHTTPS, nodes.MillraceBefore, nodes.Kafka, nodes.KafkaTLS, nodes.KafkaSync, nodes.LightspeedSync, nodes.LightspeedJournal, nodes.LightspeedDirect, nodes.Nginx, nodes.NginxHTTP2, nodes.NginxHTTP2TLS, nodes.ElasticMQ)}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options: argparse.Namespace, scratch: pathlib.Path):
        self.options, self.scratch = options, scratch
        environment = os.environ.get
        nginx = shutil.which("nginx") or ("/usr/sbin/nginx" if os.access("/usr/sbin/nginx", os.X_OK) else None)
        kafka, lightspeed = environment("MILLRACE_BENCH_KAFKA"), environment("MILLRACE_BENCH_LIGHTSPEED")
        self.programs = {"millrace": options.binary, "millrace-routes": options.binary, "millrace-tls": options.binary, "millrace-key": options.binary, "millrace-token": options.binary, "millrace-https": options.binary, "millrace-before": options.before, "kafka": kafka, "kafka-tls": kafka, "kafka-fsync": kafka, "lightspeed-sync": lightspeed, "lightspeed-journal": lightspeed, "lightspeed-direct": lightspeed, "nginx": nginx, "nginx-h2": nginx, "nginx-h2-tls": nginx, "elasticmq": environment("MILLRACE_BENCH_ELASTICMQ")}
        self.source = events.source(environment("MILLRACE_BENCH_DATA"))
        self.clients = Clients(options.lean, environment("MILLRACE_BENCH_RAWLOAD"), environment("MILLRACE_BENCH_ACKS"), shutil.which("wrk"), shutil.which("h2load"), java_tools(kafka), self.text(), scratch)
        for kind in events.KINDS:
            self.clients.take_events(kind, events.load(self.source, kind))
        self.clients.take_bodies(events.csv_rows(), events.load(self.source), 4_000_000)
        self.cache = None if options.no_fill else machine.PageCache(scratch)
        self.samples: dict[str, dict[str, list[Sample]]] = {}
        self.start: dict[str, dict[str, list[float]]] = {}
        self.skipped: dict[str, str] = {}
        self.problems: list[str] = []
        self.rows: list[row_table.Row] = []
        self.versions = results.versions(self)

    def text(self) -> str | None:
        return str(self.source) if self.source else None

    def missing(self, row: row_table.Row) -> str | None:
        for program in row.needs:
            if (self.programs[program] if program in self.programs else getattr(self.clients, program)) is None:
                return {"wrk": "wrk is not installed", "h2load": "h2load is not installed (apt-get install nghttp2-client)", "nginx": "nginx is not installed", "java": "MILLRACE_BENCH_KAFKA is not set, or its tools do not run"}.get(program, f"MILLRACE_BENCH_{program.upper()} is not set")
        return None

    def systems(self, keys: tuple[str, ...]) -> list[str]:
        wanted = self.options.systems
        # The build before stands beside this one in each row, whatever else the row is measured against.
        keys = tuple(key for own in keys for key in ((own, "millrace-before") if own == "millrace" else (own,)))
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
        orders = self.orders(row)
        self.samples[row.key] = {key: [] for key in orders[0]}
        self.rows.append(row)
        for order, keys in enumerate(orders):
            if not self.measure_in(row, order, keys):
                break

    def orders(self, row: row_table.Row) -> list[list[str]]:
        """The servers in the orders that they start and are measured in. Of two builds that are compared each is once in front of the
        other: which of two servers starts first alone moved ratios of equal builds by up to 20 %."""
        keys = self.systems(row.systems)
        if not {"millrace", "millrace-before"} <= set(keys):
            return [keys]
        swapped = {"millrace": "millrace-before", "millrace-before": "millrace"}
        return [keys, [swapped.get(key, key) for key in keys]]

    def measure_in(self, row: row_table.Row, order: int, keys: list[str]) -> bool:
        """All rounds, by servers of their own; false when something failed."""
        running = {key: self.node(key, row.partitions) for key in keys}
        try:
            for node in running.values():
                node.launch()
            for node in running.values():
                node.wait_ready()
            for node in running.values():
                self.warm(row, node)
            for number in range(1, self.options.rounds + 1):
                for key, node in running.items():
                    self.round(row, order, number, key, node)
            return True
        except (ClientFailure, nodes.NodeFailure, subprocess.TimeoutExpired) as failure:
            self.problems.append(f"{row.key}: {str(failure).strip().splitlines()[-1][:300]}")
            say(f"{row.key}: FAILED: {failure}")
            return False
        finally:
            for node in running.values():
                node.remove()
            self.refill()

    def node(self, key: str, partitions: int) -> nodes.Node:
        node = NODES[key](self.programs[key], self.scratch)
        if isinstance(node, nodes.Lightspeed):
            node.partitions = partitions
        return node

    def warm(self, row: row_table.Row, node: nodes.Node) -> None:
        say(f"{row.key}: warming {node.label}")
        seconds, lead = self.clients.seconds, self.clients.lead
        self.clients.seconds, self.clients.lead = self.options.slow_warm if node.warms_slowly else self.options.warm, 0.5
        topic = self.topic(row, 0)
        try:
            self.clients.create(node, topic, row.partitions)
            if row.fill:
                # What is read later is written here, and read once: both are the warming.
                machine.wait_for_disk(self.scratch, self.options.disk)
                self.clients.lean_fill(node, topic, row.fill[1], row.fill[0], row.partitions, row.transactions)
            row.measure(self.clients, row.key, node, topic)
        finally:
            self.clients.seconds, self.clients.lead = seconds, lead
        self.clear(row, node, topic)

    def topic(self, row: row_table.Row, number: int) -> str:
        return "kept" if row.fill or row.keeps_topic else f"round-{number}"

    def round(self, row: row_table.Row, order: int, number: int, key: str, node: nodes.Node) -> None:
        machine.wait_for_disk(self.scratch, self.options.disk)
        topic = self.topic(row, number)
        if topic != "kept":
            self.clients.create(node, topic, row.partitions)
        # Reading rows find their files where writing left them, in the page cache, unless they are to come from the disk.
        machine.settle(None if row.fill else self.cache)
        if row.is_cold:
            machine.drop(node.folder)
        sample = row.measure(self.clients, row.key, node, topic)
        sample.order = order
        self.samples[row.key][key].append(sample)
        per = sample.cpu_per_million if row.cpu == "record" else sample.cpu_per_gigabyte
        say(f"{row.key} {number}: {node.label}: {sample.rate:,.0f} {row.unit}, broker CPU {per or 0:.2f} {'us/record' if row.cpu == 'record' else 's/GB'}" + (f", p99 {sample.p99:.2f} ms" if sample.p99 is not None else ""))
        self.clear(row, node, topic)

    def clear(self, row: row_table.Row, node: nodes.Node, topic: str) -> None:
        """Takes out what a run wrote, unless it is read again."""
        if row.fill:
            return
        if node.restarts_each_round:
            node.restart_empty()
        elif topic != "kept":
            self.clients.delete(node, topic)
            node.wait_deleted(topic)
        self.refill()

    def refill(self) -> None:
        """At once: pages that were free for seconds have gone back to a virtual machine's host, and cost ten times as much."""
        if self.cache:
            self.cache.fill()

    def peak_of_kafka(self) -> float:
        """Records a second of 1 KiB: from the row L-1k of this run, or measured now."""
        known = self.samples.get("L-1k", {}).get("kafka")
        if not known and self.systems(("kafka",)):
            row = next(row for row in row_table.must_hold(1) if row.key == "L-1k")
            row.systems = ("kafka",)
            self.measure(row)
            known = self.samples["L-1k"]["kafka"]
            self.rows.remove(row)  # Kafka's alone is no row of the table
        return statistics.median(sample.rate for sample in known) * 1e6 / 1024 if known else 0

    def startup(self) -> None:
        """Seconds from exec to the first answer, memory three seconds later, and CPU over idle seconds, of all side by side."""
        for number in range(1, self.options.rounds + 1):
            running = {key: self.node(key, 1) for key in self.systems(row_table.BROKERS)}
            try:
                for key, node in running.items():
                    cells = self.start.setdefault(key, {"seconds": [], "resident": [], "idle": []})
                    cells["seconds"].append(node.start())
                    time.sleep(3)
                    cells["resident"].append(node.resident_bytes())
                before = {key: node.cpu_seconds() for key, node in running.items()}
                began = time.monotonic()
                time.sleep(self.options.idle)
                for key, node in running.items():
                    cells = self.start[key]
                    cells["idle"].append((node.cpu_seconds() - before[key]) / (time.monotonic() - began))
                    say(f"start {number}: {node.label}: {cells['seconds'][-1]:.3f} s, {cells['resident'][-1] / 1e6:.0f} MB, {cells['idle'][-1]:.2%} of a core")
            finally:
                for node in running.values():
                    node.remove()


def java_tools(launcher: str | None) -> str | None:
    """The launcher, if its tools run: it may find no Java."""
    if not launcher:
        return None
    try:
        done = subprocess.run([launcher, "producer-perf-test", "--help"], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    return launcher if "--record-size" in done.stdout + done.stderr else None


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
    parser.add_argument("--before", metavar="BINARY", help="measure this other build of Millrace in turn with the first, all rounds in both orders, and say whether each row holds within 3 %%")
    parser.add_argument("--lean", default=str(REPOSITORY / "Benchmarks/.build/release/lean"))
    parser.add_argument("--report-only", type=pathlib.Path, metavar="JSON", nargs="+", help="write table, plots and page from the raw figures of one or several runs; a row of a later run replaces that of an earlier one")
    options = parser.parse_args()
    if options.report_only:
        return finish([json.loads(path.read_text()) for path in options.report_only], options)
    is_short = not options.full and not options.rows
    options.rounds = options.rounds or (3 if is_short else 5)
    seconds = options.seconds or (2 if is_short else 5)
    # A JVM compiles what runs often enough; everything else is warm once its files and buffers are there.
    options.slow_warm, options.warm = (3, 1) if is_short else (min(8, 3 * seconds), min(3, seconds))
    options.idle, options.disk = (5, 12 << 30) if is_short else (10, 16 << 30)
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
        fits = lambda key: any(fits_one(pattern, key) for pattern in patterns)
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
        bench.clients.seconds, bench.clients.lead = seconds, min(1.0, max(0.5, seconds / 4))
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
                    results.write_raw(bench, about, is_short, seconds, began)
        except KeyboardInterrupt:
            bench.problems.append("interrupted")
        raw = results.write_raw(bench, about, is_short, seconds, began)
        if bench.cache:
            bench.cache.remove()
    return finish([raw], options)


def fits_one(pattern: str, key: str) -> bool:
    return key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1]))


def finish(raws: list[dict], options: argparse.Namespace) -> int:
    order = [row.key for row in row_table.must_hold(1) + row_table.matrix()]
    merged = results.merge(raws, order)
    print(report.write(merged, options.results, ""))
    say(f"Written to {options.results}: results.md and the plots" + ("." if options.report_only else ", results.json."))
    if options.write_page:
        page = REPOSITORY / "Benchmarks/Benchmarks.docc"
        report.write(merged, page, "page")
        say(f"Written: {page / 'Results.md'}")
    return 1 if merged["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
