"""From raw figures to a table, plots and the documentation's page."""

from __future__ import annotations

import pathlib
import statistics

import plot

LABELS = {"millrace": "Millrace", "millrace-routes": "Millrace, own route", "millrace-before": "Millrace before", "millrace-tls": "Millrace, TLS", "millrace-key": "Millrace, API key", "millrace-token": "Millrace, token", "millrace-https": "Millrace, https", "kafka": "Kafka", "kafka-tls": "Kafka, TLS", "kafka-fsync": "Kafka fsync", "lightspeed-sync": "lightspeed sync", "lightspeed-journal": "lightspeed journal", "lightspeed-direct": "lightspeed direct", "nginx": "nginx", "nginx-h2": "nginx, HTTP/2", "nginx-h2-tls": "nginx, HTTP/2 by TLS"}


# The least share of the build before that a rate may be, and its inverse the most that CPU may be.
WITHIN = 0.97


def values(row: dict, system: str, metric: str, order: int | None = None) -> list[float]:
    """The figures of all rounds, or of those in one order of the servers alone."""
    found = []
    for sample in row["samples"].get(system, []):
        if order is not None and sample.get("order", 0) != order:
            continue
        if metric == "cpu":
            amount = sample["millions_per_second"] if row["cpu"] == "record" else sample["gigabytes_per_second"]
            if amount:
                found.append(sample["cpu_per_second"] / amount)
        elif sample.get(metric) is not None:
            found.append(sample[metric])
    return found


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(found: list[float]) -> str:
    if not found:
        return "-"
    return number(statistics.median(found)) + (f" ({number(min(found))}-{number(max(found))})" if len(found) > 1 else "")


def verdict(raw: dict, row: dict, target: dict) -> tuple[str, bool | None]:
    """What was reached against what is asked; None when there is nothing to compare with."""
    metric, peer, bound = target["metric"], target["peer"], target["bound"]
    ours = values(row, target.get("ours", "millrace"), metric)
    asked = f"{'at least' if target['at_least'] else 'at most'} {bound:g}"
    what = {"rate": "", "cpu": "CPU ", "p99": "p99 "}[metric]
    if not ours:
        return "", None
    if not peer:
        unit = {"rate": row["unit"], "cpu": "s/GB", "p99": "ms"}[metric]
        reached, text = statistics.median(ours), f"{asked} {unit}"
    else:
        if peer.startswith("row:"):
            # A ratio is of one run; what another run gave is no base.
            other = next((r for r in raw["rows"] if r["key"] == peer[4:] and r["run"] == row["run"]), None)
            theirs, name = (values(other, "millrace", metric) if other else []), f"our {peer[4:]}"
        else:
            theirs, name = values(row, peer, metric), LABELS[peer]
        if not theirs or not statistics.median(theirs):
            return f"{what}{name}: not measured (asked: {asked})", None
        reached = ratio(row, metric, target.get("ours", "millrace"), peer) if peer == "millrace-before" else statistics.median(ours) / statistics.median(theirs)
        text = f"{asked}x {name}"
    holds = reached >= bound if target["at_least"] else reached <= bound
    return f"{what}{number(reached)}{'x' if peer else ''} ({text}): {'holds' if holds else '**short**'}", holds


def ratio(row: dict, metric: str, ours: str, theirs: str) -> float:
    """The geometric mean of the ratios in each order of the servers, so that what favours who starts first cancels out."""
    orders = sorted({sample.get("order", 0) for sample in row["samples"][theirs]})
    pairs = [(values(row, ours, metric, order), values(row, theirs, metric, order)) for order in orders]
    return statistics.geometric_mean([statistics.median(mine) / statistics.median(its) for mine, its in pairs if mine and its])


def against_before(row: dict) -> list[dict]:
    targets = [{"metric": "rate", "peer": "millrace-before", "bound": WITHIN, "at_least": True}]
    if values(row, "millrace-before", "cpu"):
        targets.append({"metric": "cpu", "peer": "millrace-before", "bound": round(1 / WITHIN, 3), "at_least": False})
    return targets


def table(raw: dict, rows: list[dict]) -> list[str]:
    systems = [key for key in LABELS if any(key in row["samples"] for row in rows)]
    several = len(raw["runs"]) > 1
    lines = ["| Row | Work | " + ("Run | " if several else "") + " | ".join(LABELS[key] for key in systems) + " | Millrace against them |", "|---" * (len(systems) + 3 + several) + "|"]
    for row in rows:
        cells = []
        for key in systems:
            if not row["samples"].get(key):
                cells.append("")
                continue
            text = cell(values(row, key, "rate"))
            if values(row, key, "cpu"):
                text += f"; {number(statistics.median(values(row, key, 'cpu')))}"
            cells.append(text)
        found = [verdict(raw, row, target)[0] for target in row["targets"]]
        if row["samples"].get("millrace-before"):
            found += [verdict(raw, row, target)[0] for target in against_before(row)]
        if not row["targets"]:
            for peer in ("kafka", "kafka-fsync"):
                ours, theirs = values(row, "millrace", "rate"), values(row, peer, "rate")
                if ours and theirs:
                    found.append(f"{number(statistics.median(ours) / statistics.median(theirs))}x {LABELS[peer]}")
        unit = f"{row['unit']}; CPU {'µs a record' if row['cpu'] == 'record' else 's/GB'}"
        lines.append(f"| {row['key']} | {row['title']}: {unit} | " + (f"{row['run'] + 1} | " if several else "") + " | ".join(cells) + " | " + "; ".join(text for text in found if text) + " |")
    return lines


def waits(rows: list[dict]) -> list[str]:
    lines = ["| Row | Server | p50 ms | p99 ms | p99.9 ms |", "|---|---|---|---|---|"]
    for row in rows:
        for key in LABELS:
            if values(row, key, "p99"):
                lines.append(f"| {row['key']} | {LABELS[key]} | " + " | ".join(cell(values(row, key, metric)) for metric in ("p50", "p99", "p999")) + " |")
    return lines if len(lines) > 2 else []


def start(raw: dict) -> list[str]:
    found = raw["start"]
    if not found:
        return []
    resident = {key: max([sample["resident"] for row in raw["rows"] for sample in row["samples"].get(key, [])], default=0) for key in found}
    lines = ["| | " + " | ".join(LABELS[key] for key in found) + " | asked of Millrace |", "|---" * (len(found) + 2) + "|"]
    own = found.get("millrace")

    def judged(ok: bool | None) -> str:
        return "" if ok is None else ": holds" if ok else ": **short**"

    def line(name: str, texts: list[str], asked: str, ok: bool | None) -> None:
        lines.append(f"| {name} | " + " | ".join(texts) + f" | {asked}{judged(ok)} |")

    middle = lambda key, what: statistics.median(found[key][what])
    line("start to first answer, s", [cell(found[key]["seconds"]) for key in found], "at most 0.1", middle("millrace", "seconds") <= 0.1 if own else None)
    line("resident 3 s after the start, MB", [cell([v / 1e6 for v in found[key]["resident"]]) for key in found], "at most 30", middle("millrace", "resident") <= 30e6 if own else None)
    line("CPU when idle, % of a core", [cell([v * 100 for v in found[key]["idle"]]) for key in found], "at most 0.5", middle("millrace", "idle") <= 0.005 if own else None)
    both = own and resident.get("kafka")
    line("resident at most, after the runs, MB", [f"{resident[key] / 1e6:,.0f}" for key in found], "at most an eighth of Kafka's", resident["millrace"] * 8 <= resident["kafka"] if both else None)
    return lines


def panels(rows: list[dict], metric: str, unit) -> list[dict]:
    found = []
    for row in rows:
        shown = []
        for key in LABELS:
            got = values(row, key, metric)
            if got:
                shown.append((key, LABELS[key], statistics.median(got), min(got), max(got)))
        if len(shown) > 0 and any(most > 0 for *_, most in shown):
            found.append({"title": f"{row['key']} {row['title']}", "unit": unit(row), "bars": shown})
    return found


MATRIX = [
    "Millrace acknowledges what is on the disk, in every row and for acks=1 as well; of Kafka the column Kafka acknowledges from the page cache and Kafka fsync from the disk, so",
    "acks=all is there both durable and on a page-cache topic.",
]


def runs(found: list[dict]) -> list[str]:
    """How the figures came to be: in words for one run, with a table for several."""
    newest = found[-1]
    machine = newest["machine"]
    lines = [f"Machine: {machine['cpu']}, {machine['memory']}, {machine['kernel']}, {machine['file system']}. " + "; ".join(f"{name} {version}" for name, version in newest["versions"].items()) + ".", ""]
    how = lambda run: f"{run['rounds']} round{'s' if run['rounds'] > 1 else ''} of {run['seconds']:g} s"
    if len(found) == 1:
        lines = [f"`{newest['command']}`, {newest['date']}, took {newest['took_s']} s; load before the run {machine['load before']}.", "", *lines]
        counted = f"{how(newest)} (least-most)"
    else:
        lines += ["| Run | Date | Command | Took | Rounds | Warmed, s; Kafka, s | Memory filled | Millrace | Load before |", "|---|---|---|---|---|---|---|---|---|"]
        lines += [f"| {number} | {run['date']} | `{run['command']}` | {run['took_s']} s | {how(run)} | {run['warm_s']:g}; {run['slow_warm_s']:g} | {'no' if run['filled'] is False else 'yes'} | {run['versions']['Millrace']} | {run['machine']['load before']} |" for number, run in enumerate(found, 1)]
        lines += [""]
        counted = "its run's rounds (least-most)"
    filled = all(run["filled"] is not False for run in found)
    orders = "; of two builds each is once in front of the other, and their ratio is the geometric mean of both orders" if any("--before" in run["command"] for run in found) else ""
    warm = "" if len(found) > 1 else f" for {newest['warm_s']:g} s, Kafka for {newest['slow_warm_s']:g} s"
    lines += [
        f"A cell is the median of {counted}, then the server's CPU time. The rounds alternate between the servers of a row; each server starts on an empty folder and is warmed by the row's "
        f"own load{warm}{orders}; before each round everything is synced{' and memory is filled with clean page cache' if filled else ''}. "
        f"Clients and server share the CPUs. Payload of the `lean` and gateway rows: {newest['text']}. Millrace's acknowledgements are always durable; Kafka's are from the page cache, "
        "and with `log.flush.interval.messages=1` (fsync) from the disk. lightspeed is a bound, not a broker.",
    ]
    return lines


def write(raw: dict, folder: pathlib.Path, form: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    main = [row for row in raw["rows"] if not row["key"].startswith("M-")]
    matrix = [row for row in raw["rows"] if row["key"].startswith("M-")]
    plots = []
    for name, title, rows, metric, unit in [
        ("bench-rates", "Throughput", main, "rate", lambda row: row["unit"]),
        ("bench-cpu", "The server's CPU time", main, "cpu", lambda row: "µs a record" if row["cpu"] == "record" else "s/GB"),
        ("bench-p99", "99th percentile of the wait", main, "p99", lambda row: "ms"),
        ("bench-matrix", "Matrix: throughput", matrix, "rate", lambda row: row["unit"]),
    ]:
        found = panels(rows, metric, unit)
        if found:
            (folder / f"{name}.svg").write_text(plot.bars(title, found))
            plots.append(f"![{title}]({name}{'' if form == 'page' else '.svg'})")
    lines = ["# Results", "", "What `tools/bench` measured last, with the command and the date.", "", "## Overview", ""] if form == "page" else ["# Benchmark results", ""]
    lines += [*runs(raw["runs"]), ""]
    if main:
        lines += table(raw, main) + [""]
    begin = start(raw)
    if begin and len(raw["runs"]) > 1:
        begin += ["", f"From run {raw['start_run'] + 1}; the last line is of all runs."]
    crossed = [*MATRIX, "", *table(raw, matrix)] if matrix else []
    for heading, part in (("Start and memory", begin), ("Waits", waits(main)), ("Matrix", crossed)):
        if part:
            lines += [f"## {heading}", "", *part, ""]
    if raw["skipped"]:
        lines += ["Skipped: " + "; ".join(f"{key} ({why})" for key, why in raw["skipped"].items()) + ".", ""]
    if raw["problems"]:
        lines += ["Failed: " + "; ".join(raw["problems"]) + ".", ""]
    lines += ["## Plots", "", *[line for plot_line in plots for line in (plot_line, "")], "## Commands", ""]
    lines += [f"- {row['key']}: `{row['command']}`" for row in raw["rows"]]
    text = "\n".join(lines).rstrip() + "\n"
    (folder / ("Results.md" if form == "page" else "results.md")).write_text(text)
    return text
