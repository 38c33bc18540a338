"""The raw figures of a run as JSON, and several runs as one."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# What is told of each run; the rest of its raw figures are rows.
OF_A_RUN = ("command", "date", "took_s", "form", "rounds", "seconds", "warm_s", "slow_warm_s", "filled", "text", "machine", "versions")


def versions(bench) -> dict[str, str]:
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


def write_raw(bench, about: dict, is_short: bool, seconds: float, began: float) -> dict:
    options = bench.options
    raw = {
        "command": " ".join(["tools/bench", *map(shlex.quote, sys.argv[1:])]),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "took_s": round(time.monotonic() - began),
        "form": "short" if is_short else "full",
        "rounds": options.rounds, "seconds": seconds, "warm_s": options.warm, "slow_warm_s": options.slow_warm, "filled": not options.no_fill,
        "text": bench.source.name if bench.source else "generated JSON",
        "machine": about, "versions": bench.versions,
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


def merge(raws: list[dict], order: list[str]) -> dict:
    """One table of several runs: a row that was measured again replaces the older one, and each says which run it is of."""
    rows, skipped, problems, runs = {}, {}, {}, []
    start, start_run = {}, None
    for number, raw in enumerate(sorted(raws, key=lambda raw: raw["date"])):
        runs.append({key: raw.get(key, raw["warm_s"] if key == "slow_warm_s" else None) for key in OF_A_RUN})
        for row in raw["rows"]:
            rows[row["key"]] = {**row, "run": number}
            problems.pop(row["key"], None)
        skipped.update(raw["skipped"])
        for problem in raw["problems"]:
            problems[problem.split(":", 1)[0]] = problem
        if raw["start"]:
            start, start_run = raw["start"], number
    table = sorted(rows.values(), key=lambda row: order.index(row["key"]) if row["key"] in order else len(order))
    return {"runs": runs, "rows": table, "start": start, "start_run": start_run,
            "skipped": {key: why for key, why in skipped.items() if key not in rows}, "problems": list(problems.values())}
